package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a fleet with workers, and fleetctl to look at it.
type world struct {
	*testing.T
	fleet *fleet.Fleet
	srv   *wstest.Server
}

func newWorld(t *testing.T, workers ...string) *world {
	t.Helper()
	w := &world{T: t, srv: wstest.NewServer()}
	t.Cleanup(w.srv.Close)
	f, err := fleet.Open(t.Context(), fleet.Config{Listen: "127.0.0.1:0", Lease: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	for _, name := range workers {
		worker, err := f.NewWorker(fleet.WorkerConfig{Name: name, Connect: func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
			return r.NewClient(r.Endpoint)
		}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			require.NoError(t, <-ended)
		})
	}
	return w
}

// try runs fleetctl.
func (w *world) try(stdin string, args ...string) (string, error) {
	c := command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader(stdin))
	c.SetArgs(append([]string{"--url", w.fleet.URL()}, args...))
	err := c.ExecuteContext(w.Context())
	return out.String(), err
}

func (w *world) ctl(args ...string) string {
	w.Helper()
	out, err := w.try("", args...)
	require.NoError(w, err, "fleetctl %v", args)
	return out
}

// same hides what differs from run to run.
func same(out string) string {
	for _, hidden := range [][2]string{
		{`ws://127\.0\.0\.1:\d+`, "ws://backend"},
		{` +`, " "},
		{`\b\d+m?s\b`, "TIME"},
		{`\b[1-9]\d*\b`, "N"},
	} {
		out = regexp.MustCompile(hidden[0]).ReplaceAllString(out, hidden[1])
	}
	return strings.ReplaceAll(out, " \n", "\n")
}

func (w *world) untilHeld() {
	w.Helper()
	require.Eventually(w, func() bool {
		return !strings.Contains(w.ctl("rooms"), " - ws") && w.ctl("rooms", "--free", "--json") == ""
	}, 20*time.Second, 50*time.Millisecond)
}

func TestRoomsFromAddToRemove(t *testing.T) {
	w := newWorld(t, "a")
	assert.Equal(t, "red added\n", w.ctl("add", "red", "--endpoint", w.srv.URL()+"/ws?token=hidden", "--id", "room=7,user=1", "--secret", "token=env:TOKEN"))
	assert.Equal(t, `{"done":"added","name":"blue"}`+"\n", w.ctl("add", "blue", "--endpoint", w.srv.URL(), "--json"))
	w.untilHeld()
	assert.Equal(t, "ROOM WORKER FOR FENCE MOVED TO ENDPOINT\nblue a TIME N - ws://backend\nred a TIME N - ws://backend/ws?…\n", same(w.ctl("rooms")))
	assert.Equal(t, "ROOM WORKER FOR FENCE MOVED TO ENDPOINT\n", same(w.ctl("rooms", "--worker", "other")))

	var status fleet.Status
	require.NoError(t, json.Unmarshal([]byte(w.ctl("rooms", "red", "--json")), &status))
	assert.Equal(t, "a", status.Worker)
	assert.Equal(t, map[string]string{"room": "7", "user": "1"}, status.IDs)
	assert.Equal(t, map[string]string{"token": "env:TOKEN"}, status.Secrets)
	assert.NotContains(t, status.Endpoint, "hidden")

	assert.Equal(t, "red removed\nblue removed\n", w.ctl("remove", "red", "blue"))
	assert.Empty(t, w.ctl("rooms", "--json"))
}

func TestAddFromAFile(t *testing.T) {
	w := newWorld(t)
	out, err := w.try(`{"id":"one","endpoint":"ws://x"} {"id":"two","options":{"a":"b"}}`, "add", "-f", "-")
	require.NoError(t, err)
	assert.Equal(t, "one added\ntwo added\n", out)
	file := filepath.Join(t.TempDir(), "rooms.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"id":"two","endpoint":"ws://y"}`), 0o600))
	assert.Equal(t, "two updated\n", w.ctl("update", "-f", file))
	assert.Contains(t, w.ctl("rooms", "two"), "ws://y")
	_, err = w.try(`{"id":"three"} {`, "add", "-f", "-")
	assert.ErrorContains(t, err, "spec 2")
	assert.NotContains(t, w.ctl("rooms"), "three", "nothing is done by halves")
}

func TestMoveAndDrain(t *testing.T) {
	w := newWorld(t, "a", "b")
	for _, room := range []string{"1", "2", "3", "4", "5", "6"} {
		w.ctl("add", room, "--endpoint", w.srv.URL())
	}
	w.untilHeld()
	for _, worker := range []string{"b", "a"} {
		assert.Equal(t, "1 is held by "+worker+"\n", w.ctl("move", "1", worker))
		assert.Regexp(t, `1 +`+worker+` +\S+ +\d+ +`+worker, w.ctl("rooms", "1"))
	}
	w.ctl("move", "--back", "1")
	assert.Equal(t, "WORKER HOST PID UP STATE ROOMS OPEN IN OUT ERRORS\n",
		regexp.MustCompile(`(?m)^[ab] .*ready.*\n`).ReplaceAllString(same(w.ctl("workers")), ""))
	assert.Equal(t, "a has handed over its rooms and ended\n", w.ctl("drain", "a"))
	assert.NotRegexp(t, `(?m)^a `, w.ctl("workers"))
	assert.Contains(t, w.ctl("workers", "--json"), `"name":"b"`)
	w.untilHeld()
	_, err := w.try("", "drain", "a")
	assert.ErrorIs(t, err, fleet.ErrNoWorker)
}

func TestTailAndSend(t *testing.T) {
	w := newWorld(t, "a")
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	conn, err := w.srv.NextConn(t.Context())
	require.NoError(t, err)
	type result struct {
		out string
		err error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := w.try("", "tail", "red", "--type", "message", "--json", "-n", "1")
		ended <- result{out, err}
	}()
	var r result
	require.Eventually(t, func() bool {
		require.NoError(t, conn.Send(`{"msg_type":"other"}`))
		require.NoError(t, conn.Send(`{"msg_type":"message","content":"<hello>"}`))
		select {
		case r = <-ended:
			return true
		default:
			return false
		}
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, r.err)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &line))
	assert.Equal(t, "red", line["room"])
	assert.Equal(t, map[string]any{"msg_type": "message", "content": "<hello>"}, line["data"])

	assert.Equal(t, "red gets it\n", w.ctl("send", "red", `{"msg_type":"x"}`))
	for {
		m, err := conn.Receive(t.Context())
		require.NoError(t, err)
		if m.Text() == `{"msg_type":"x"}` {
			break
		}
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args  string
		says  string
		wrong bool
	}{
		{"rooms nowhere", `no such room: "nowhere"`, false},
		{"remove nowhere", `no such room: "nowhere"`, false},
		{"remove", "ROOM is missing", true},
		{"tail", "ROOM is missing", true},
		{"tail nowhere", "no such room", false},
		{"move r", "WORKER is missing", true},
		{"drain a b", `"b" is too much`, true},
		{"drain a", "no such worker", false},
		{"workers --jason", "unknown flag", true},
		{"send r {", "not JSON", true},
		{"add r --endpoint ws://u:hidden@h", "must not have user info", true},
		{"add r --secret token=hidden", "must be a reference", true},
		{"add", "give one ROOM", true},
		{"add r -f x", "everything is in the file", true},
		{"rooms --name other", `no such fleet: "other"`, false},
		{"rooms --name a.b", "letters, digits", true},
		{"rooms --url nats://u:hidden@h:port", "Config.URL", true},
		{"rooms --url nats://127.0.0.1:1 --timeout 300ms", "cannot be reached", false},
	} {
		_, err := w.try("", strings.Fields(c.args)...)
		require.Error(t, err, c.args)
		assert.Contains(t, err.Error(), c.says, c.args)
		assert.Equal(t, c.wrong, isWrong(err), c.args)
		assert.NotContains(t, err.Error(), "hidden", c.args)
	}
	assert.Empty(t, w.ctl("rooms", "--json"))
}

func TestCompletion(t *testing.T) {
	w := newWorld(t, "worker-a")
	w.ctl("add", "red")
	require.Eventually(t, func() bool { return strings.Contains(w.ctl("workers"), "worker-a") }, 20*time.Second, 50*time.Millisecond)
	assert.Contains(t, w.ctl("__complete", "tail", ""), "red\n")
	assert.Contains(t, w.ctl("__complete", "move", "red", ""), "worker-a\n")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, w.ctl("completion", shell), "fleetctl")
	}
	assert.NotContains(t, w.ctl("--help"), "127.0.0.1", "a URL may hold a password")
}
