package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	f, err := fleet.Open(t.Context(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(5*time.Second))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	for _, name := range workers {
		w.start(name)
	}
	return w
}

// start starts a worker.
func (w *world) start(name string) {
	w.Helper()
	worker, err := w.fleet.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint)
	}, fleet.WithWorkerName(name))
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		require.NoError(w, <-ended)
	})
}

// untilThere waits until a worker is there.
func (w *world) untilThere(name string) {
	w.Helper()
	require.Eventually(w, func() bool { return strings.Contains(w.ctl("workers", "--json"), `"name":"`+name+`"`) },
		20*time.Second, 50*time.Millisecond)
}

// try runs fleetctl, and returns what it writes, what it says of errors, and what it ends
// with.
func (w *world) try(ctx context.Context, stdin string, args ...string) (out, errs string, code int) {
	c := command()
	var stdout, stderr bytes.Buffer
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SetIn(strings.NewReader(stdin))
	c.SetArgs(append([]string{"--url", w.fleet.URL()}, args...))
	code = execute(ctx, c)
	return stdout.String(), stderr.String(), code
}

// ctl runs fleetctl, which must succeed.
func (w *world) ctl(args ...string) string {
	w.Helper()
	return w.ctlIn("", args...)
}

func (w *world) ctlIn(stdin string, args ...string) string {
	w.Helper()
	out, errs, code := w.try(w.Context(), stdin, args...)
	require.Zero(w, code, "fleetctl %v: %s", args, errs)
	if args[0] != "__complete" {
		require.Empty(w, errs, "fleetctl %v", args)
	}
	return out
}

// same hides what differs from run to run.
func same(out string) string {
	for _, hidden := range [][2]string{
		{`ws://127\.0\.0\.1:\d+`, "ws://backend"},
		{`"session":"\w+"`, `"session":"S"`},
		{`"host":"[^"]+"`, `"host":"H"`},
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "MOMENT"},
		{`\b\d\d:\d\d:\d\d\.\d{3}\b`, "CLOCK"},
		{` +`, " "},
		{`\b[\d.]+m?s\b`, "TIME"},
		{`\b[1-9]\d*(\.\d+)?\b`, "N"},
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
	assert.Equal(t, `{"room":"blue","done":"added"}`+"\n", w.ctl("add", "blue", "--endpoint", w.srv.URL(), "--json"))
	w.untilHeld()
	assert.Equal(t, "ROOM WORKER FOR FENCE MOVED TO ENDPOINT\nblue a TIME N - ws://backend\nred a TIME N - ws://backend/ws?…\n", same(w.ctl("rooms")))
	assert.Equal(t, "ROOM WORKER FOR FENCE MOVED TO ENDPOINT\n", same(w.ctl("rooms", "--worker", "other")))
	assert.Equal(t, `{"id":"red","endpoint":"ws://backend/ws?…","ids":{"room":"N","user":"N"},"secrets":{"token":"env:TOKEN"},`+
		`"worker":"a","session":"S","fence":N,"since":"MOMENT"}`+"\n", same(w.ctl("rooms", "red", "--json")))

	assert.Equal(t, "red removed\n", w.ctl("remove", "red"))
	assert.Equal(t, `{"room":"blue","done":"removed"}`+"\n", w.ctl("remove", "blue", "--json"))
	assert.Empty(t, w.ctl("rooms", "--json"))
}

func TestRemoveTellsWhatWasNotSent(t *testing.T) {
	w := newWorld(t)
	for _, room := range []string{"red", "blue"} {
		w.ctl("add", room)
		w.ctl("send", room, `{"msg_type":"x"}`)
	}
	assert.Equal(t, "red removed, and with it 1 messages that had not been sent\n", w.ctl("remove", "red"))
	assert.Equal(t, `{"room":"blue","done":"removed","undelivered":1}`+"\n", w.ctl("remove", "blue", "--json"))
}

func TestAddFromAFile(t *testing.T) {
	w := newWorld(t)
	assert.Equal(t, "one added\ntwo added\nthree added\n",
		w.ctlIn(`{"id":"one","endpoint":"ws://x"} [{"id":"two","options":{"a":"b"}},{"id":"three"}]`, "add", "-f", "-"))
	assert.Equal(t, "two is there already\nfour added\n", w.ctlIn(`{"id":"two"}{"id":"four"}`, "add", "-f", "-", "--missing"))
	file := filepath.Join(t.TempDir(), "rooms.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"id":"two","endpoint":"ws://y"}`), 0o600))
	assert.Equal(t, "two updated\n", w.ctl("update", "-f", file))
	assert.Contains(t, w.ctl("rooms", "two"), "ws://y")

	for stdin, says := range map[string]string{
		`{"id":"no"} {`:                   "-: spec 2: unexpected EOF",
		`{"id":"no","endpiont":"ws://x"}`: `-: spec 1: json: unknown field "endpiont"`,
		`[{"id":"no"},{"endpoint":"x"}]`:  "-: spec 2: it has no id",
		`"no"`:                            "-: spec 1: json: cannot unmarshal string",
	} {
		_, errs, code := w.try(t.Context(), stdin, "add", "-f", "-")
		assert.Contains(t, errs, says)
		assert.Equal(t, failed, code, stdin)
	}
	assert.NotContains(t, w.ctl("rooms"), "no ", "nothing is done by halves")
	_, errs, _ := w.try(t.Context(), `{"id":"five"}{"id":"two"}`, "add", "-f", "-")
	assert.Equal(t, `fleetctl: 1 of 2 added; then "two": fleet: the room exists already: "two"`+"\n", errs)
}

// An update without flags would remove all of the spec.
func TestUpdateNeedsASpec(t *testing.T) {
	w := newWorld(t)
	w.ctl("add", "r", "--endpoint", "ws://x", "--id", "a=b")
	before := w.ctl("rooms", "--json")
	for _, args := range [][]string{{"update", "r"}, {"update"}, {"update", "r", "--json"}} {
		_, errs, code := w.try(t.Context(), "", args...)
		assert.Contains(t, errs, "give the whole spec", args)
		assert.Equal(t, wrong, code, args)
	}
	assert.Equal(t, before, w.ctl("rooms", "--json"))
	assert.Equal(t, "r updated\n", w.ctl("update", "r", "--id", "a=c"))
	assert.Contains(t, w.ctl("rooms", "--json"), `"ids":{"a":"c"}`)
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
	assert.Equal(t, w.ctl("rooms", "1", "--json"), w.ctl("rooms", "--moved", "--json"))
	assert.Equal(t, `{"room":"1","worker":"a","done":"moved"}`+"\n", w.ctl("move", "1", "a", "--json"))
	assert.Equal(t, "1 is not kept anywhere any more\n", w.ctl("move", "--back", "1"))
	assert.Empty(t, w.ctl("rooms", "--moved", "--json"))

	assert.Equal(t, "a has handed over its rooms and ended\n", w.ctl("drain", "a"))
	assert.NotRegexp(t, `(?m)^a `, w.ctl("workers"))
	w.untilHeld()
	_, errs, code := w.try(t.Context(), "", "drain", "a")
	assert.Equal(t, "fleetctl: fleet: no such worker: \"a\"\n", errs)
	assert.Equal(t, failed, code)
	assert.Equal(t, `{"worker":"b","done":"draining"}`+"\n", w.ctl("drain", "b", "--no-wait", "--json"))
}

// A worker that is started again under its name is not the one that drains.
func TestDrainWaitsForTheSessionAndNotForTheName(t *testing.T) {
	w := newWorld(t, "a")
	w.untilThere("a")
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for ctx := t.Context(); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			workers, err := w.fleet.Control().Workers(ctx)
			if err == nil && (len(workers) == 0 || workers[0].Draining) {
				w.start("a")
				return
			}
		}
	}()
	assert.Equal(t, "a has handed over its rooms and ended\n", w.ctl("drain", "a"))
	<-restarted
	w.untilThere("a")
}

func TestWorkers(t *testing.T) {
	w := newWorld(t, "a")
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	require.Eventually(t, func() bool { // also in the lease, with its next renewal
		text := w.ctl("workers", "--json")
		return strings.Contains(text, `"rooms":1,"stats"`) && strings.Contains(text, `"open":1`)
	}, 20*time.Second, 50*time.Millisecond)
	assert.Regexp(t, `^WORKER HOST PID UP STATE ROOMS OPEN IN OUT ERRORS LEASE\na \S+ N TIME ready N N \d \d 0 TIME\n$`, same(w.ctl("workers")))
	assert.Regexp(t, `^{"name":"a","host":"H","pid":N,"session":"S","since":"MOMENT","rooms":N,"stats":{"ready":true,"lease_seconds":N,`+
		`"rooms":N,"open":N,"taken":N,"released":0,"in":\w+,"unpublished":0,"over_budget":0,"out":0,"expired":0,"undeliverable":0,"errors":0}}\n$`, same(w.ctl("workers", "--json")))
}

// A worker that hangs takes no time away from the others.
func TestAWorkerThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t, "b")
	w.untilThere("b")
	nc, err := nats.Connect(w.fleet.URL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	leases, err := js.KeyValue(t.Context(), "wechatws-leases-1")
	require.NoError(t, err)
	_, err = leases.Put(t.Context(), "S", []byte(`{"name":"a","since":"2026-01-01T00:00:00Z"}`))
	require.NoError(t, err)
	_, err = nc.SubscribeSync("wechatws.ask.a.stats")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	assert.Regexp(t, `(?m)^a - 0 \S+ silent 0 - - - - -\nb .* ready `, same(w.ctl("workers", "--timeout", "5s")))
	assert.NotContains(t, strings.Split(w.ctl("workers", "--json", "--timeout", "5s"), "\n")[0], "stats")
}

// A following is a fleetctl that goes on.
type following struct {
	*testing.T
	lines chan string
	stop  context.CancelFunc
	ended chan int
}

// follow runs fleetctl until stop.
func (w *world) follow(args ...string) *following {
	ctx, stop := context.WithCancel(w.Context())
	f := &following{w.T, make(chan string, 100), stop, make(chan int, 1)}
	in, out := io.Pipe()
	c := command()
	c.SetOut(out)
	c.SetErr(out)
	c.SetArgs(append([]string{"--url", w.fleet.URL()}, args...))
	go func() {
		code := execute(ctx, c)
		out.Close()
		f.ended <- code
	}()
	go func() {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			f.lines <- lines.Text()
		}
		close(f.lines)
	}()
	w.Cleanup(stop)
	return f
}

// next is the next line.
func (f *following) next() string {
	f.Helper()
	select {
	case line, ok := <-f.lines:
		require.True(f, ok, "it has ended")
		return line
	case <-time.After(20 * time.Second):
		f.Fatal("it writes nothing")
		return ""
	}
}

func TestTailAndSend(t *testing.T) {
	w := newWorld(t, "a")
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	conn, err := w.srv.NextConn(t.Context())
	require.NoError(t, err)
	asJSON := w.follow("tail", "red", "--type", "message", "--type", "", "--json")
	words := w.follow("tail", "red", "--type", "message", "-n", "1")
	// When they have begun is not known: they show the messages that come from then on.
	talking, quiet := context.WithCancel(t.Context())
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		for ; talking.Err() == nil; time.Sleep(20 * time.Millisecond) {
			assert.NoError(t, conn.Send(`{"msg_type":"other"}`))
			assert.NoError(t, conn.Send(`{"msg_type":"message","content":"<hello>"}`))
		}
	}()
	line, text := asJSON.next(), words.next()
	quiet()
	<-silent
	assert.Equal(t, `{"room":"red","type":"message","received":"MOMENT","worker":"a","fence":N,"connection":N,"seq":N,`+
		`"data":{"msg_type":"message","content":"<hello>"}}`, same(line))
	assert.Equal(t, `CLOCK a message {"msg_type":"message","content":"<hello>"}`, same(text))
	assert.Equal(t, done, <-words.ended)
	require.NoError(t, conn.Send("not JSON"))
	for strings.Contains(line, `"type":"message"`) {
		line = asJSON.next()
	}
	assert.Contains(t, line, `"raw":"bm90IEpTT04="`)
	asJSON.stop()
	assert.Equal(t, done, <-asJSON.ended, "Ctrl-C is how it ends")

	assert.Equal(t, "red gets it\n", w.ctl("send", "red", `{"msg_type":"x"}`))
	assert.Equal(t, `{"room":"red","done":"sent"}`+"\n", w.ctl("send", "red", `{"msg_type":"y"}`, "--json", "--expire", "1m"))
	for _, want := range []string{`{"msg_type":"x"}`, `{"msg_type":"y"}`} {
		for {
			m, err := conn.Receive(t.Context())
			require.NoError(t, err)
			if m.Text() == want {
				break
			}
		}
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	w.ctl("add", "red", "--endpoint", w.srv.URL()+"?token=hidden")
	all := w.follow("watch", "--json")
	red := w.follow("watch", "red")
	assert.Equal(t, `{"id":"red","endpoint":"ws://backend?…"}`, same(all.next()))
	assert.Equal(t, "CLOCK red has no worker", same(red.next()))
	w.ctl("add", "blue", "--endpoint", w.srv.URL())
	assert.Equal(t, `{"id":"blue","endpoint":"ws://backend"}`, same(all.next()))
	w.start("a")
	assert.Equal(t, "CLOCK red is held by a, fence N", same(red.next()))
	w.untilHeld()
	w.ctl("remove", "red")
	for line := ""; !strings.Contains(line, "removed"); {
		line = red.next()
		assert.Contains(t, line, "red")
	}
	for !strings.Contains(all.next(), `"removed":true`) {
	}
	for _, f := range []*following{all, red} {
		f.stop()
		assert.Equal(t, done, <-f.ended, "Ctrl-C is how it ends")
	}
	assert.Equal(t, "CLOCK blue is held by a, fence N\n", same(w.ctl("watch", "-n", "1")))
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args string
		says string
		code int
	}{
		{"bogus", `unknown command "bogus"`, wrong},
		{"room", "did you mean rooms?", wrong},
		{"completion bash x", "unknown command", wrong},
		{"rooms nowhere", `no such room: "nowhere"`, failed},
		{"remove nowhere", `no such room: "nowhere"`, failed},
		{"remove", "ROOM is missing", wrong},
		{"tail", "ROOM is missing", wrong},
		{"tail nowhere", "no such room", failed},
		{"move r", "WORKER is missing", wrong},
		{"move --back", "ROOM is missing", wrong},
		{"drain a b", `"b" is too much`, wrong},
		{"drain a", "no such worker", failed},
		{"workers --jason", "unknown flag", wrong},
		{"send r {", "not JSON", wrong},
		{"send r {} --expire -1s", "ExpireAfter", wrong},
		{"add r --endpoint ws://u:hidden@h", "must not have user info", wrong},
		{"add r --secret token=hidden", "must be a reference", wrong},
		{"add r --secret hidden", "the value of --secret cannot be used", wrong},
		{"add r --option hidden", "the value of --option cannot be used", wrong},
		{"add", "give one ROOM", wrong},
		{"add r -f x", "everything is in the file", wrong},
		{"add -f /nowhere", "no such file", failed},
		{"rooms --name other", `no such fleet: "other"`, failed},
		{"rooms --name a.b", "letters, digits", wrong},
		{"rooms --url nats://u:hidden@h:port", "WithNATS", wrong},
		{"rooms --url nats://127.0.0.1:1 --timeout 300ms", "cannot be reached", failed},
		{"rooms --timeout 0s", "must be longer than zero", wrong},
		{"rooms --timeout soon", `invalid argument "soon"`, wrong},
		{"rooms --tls-cert x", "belong together", wrong},
		{"rooms --creds /nowhere", "no such file", failed},
	} {
		out, errs, code := w.try(t.Context(), "", strings.Fields(c.args)...)
		assert.Empty(t, out, c.args)
		assert.Regexp(t, "^fleetctl: .*\n$", errs)
		assert.Contains(t, errs, c.says, c.args)
		assert.Equal(t, c.code, code, c.args)
		assert.NotContains(t, errs, "hidden", c.args)
	}
	assert.Empty(t, w.ctl("rooms", "--json"))
}

func TestNoURL(t *testing.T) {
	t.Setenv("NATS_URL", "")
	c := command()
	c.SetErr(io.Discard)
	c.SetArgs([]string{"rooms"})
	assert.Equal(t, wrong, execute(t.Context(), c))
}

// What is interrupted before it is done has not succeeded.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, _, code := w.try(ctx, "", "rooms", "--url", "nats://127.0.0.1:1")
	assert.Equal(t, interrupted, code)
}

func TestTimeout(t *testing.T) {
	w := newWorld(t, "a")
	w.untilThere("a")
	w.ctl("add", "red", "--endpoint", w.srv.URL())
	w.ctl("move", "red", "a")
	nc, err := nats.Connect(w.fleet.URL())
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.SubscribeSync("wechatws.ask.b.drain") // which hangs
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	_, errs, code := w.try(t.Context(), "", "drain", "b", "--timeout", "1s")
	assert.Equal(t, "fleetctl: fleet: worker \"b\": context deadline exceeded; --timeout is 1s\n", errs)
	assert.Equal(t, failed, code)
}

func TestCompletion(t *testing.T) {
	w := newWorld(t, "worker-a")
	for _, room := range []string{"red", "rose", "blue", "tab\tbed"} {
		w.ctl("add", room)
	}
	w.untilThere("worker-a")
	for args, want := range map[string]string{
		"tail |":               "blue red rose :4",
		"tail r|":              "red rose :4",
		"tail red |":           ":4",
		"remove red r|":        "rose :4",
		"rooms red blue |":     "rose :4",
		"rooms --worker |":     "worker-a :4",
		"move red |":           "worker-a :4",
		"drain |":              "worker-a :4",
		"add |":                ":4",
		"workers |":            ":4",
		"add --secret |":       ":4",
		"add -f |":             "json jsonl ndjson :8",
		"rooms --name other |": ":5",
	} {
		begun := args[strings.LastIndexByte(args, ' ')+1 : len(args)-1]
		line := append([]string{"__complete"}, strings.Fields(args[:strings.LastIndexByte(args, ' ')])...)
		assert.Equal(t, want, strings.Join(strings.Fields(w.ctl(append(line, begun)...)), " "), args)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, w.ctl("completion", shell), "fleetctl")
	}
	assert.Contains(t, w.ctl("__complete", "ro"), "rooms\tlist rooms")
	help := w.ctl("--help")
	assert.NotContains(t, help, "127.0.0.1", "a URL may hold a password")
	assert.Equal(t, help, w.ctlIn("", []string{"--json=false"}...), "and without a command")
}

func TestWhatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	w.ctl("add", "r")
	for _, one := range []struct {
		args []string
		says string
		code int
	}{
		{[]string{"watch", "nope"}, `no such room: "nope"`, failed},
		{[]string{"watch", "r", "nope"}, `no such room: "nope"`, failed},
		{[]string{"watch", "r", "-n", "-1"}, `"-1"`, wrong},
		{[]string{"tail", "r", "-n", "-1"}, `"-1"`, wrong},
		{[]string{"add", "s", "--id", "=v"}, "--id: a name is missing before =", wrong},
		{[]string{"add", "s", "--option", "a=b,=v"}, "--option: a name is missing before =", wrong},
		{[]string{"update", "r", "--secret", "=env:X"}, "--secret: a name is missing before =", wrong},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, errs, code := w.try(ctx, "", one.args...)
		cancel()
		assert.Contains(t, errs, one.says, one.args)
		assert.Equal(t, one.code, code, one.args)
	}
	assert.Contains(t, w.ctl("watch", "r", "-n", "1"), "r  has no worker")
}
