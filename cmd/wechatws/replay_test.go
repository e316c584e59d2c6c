package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
)

// events reads a recording without its times and the client's own waits.
func events(t *testing.T, file string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	r, err := recording.Read(bytes.NewReader(text))
	require.NoError(t, err, string(text))
	for _, attempt := range r.Attempts {
		for _, e := range attempt {
			if e.T = 0; e.Heartbeat {
				continue
			}
			line, err := json.Marshal(e)
			require.NoError(t, err)
			lines = append(lines, string(line))
		}
	}
	return lines
}

// A session with a replayed recording is recorded like the session itself.
func TestARecordingIsServedAsItWas(t *testing.T) {
	dir := t.TempDir()
	original, again := filepath.Join(dir, "original"), filepath.Join(dir, "again")
	connect := func(url, file string) *process {
		return start(t, "connect", url, "--token", "t0ps3cret", "--retry", "10ms", "--no-heartbeat", "--record", file, "--json")
	}
	server := start(t, "serve", "--backend", "silent", "--addr", "127.0.0.1:0", "--control", "none", "--json")
	url := server.until("listening")["url"].(string)
	server.write("refuse 503")
	server.until("command")
	client := connect(url, original)
	server.until("message") // the login
	server.write(`send {"msg_type":"welcome","token":"t0ps3cret"}`)
	client.until("received")
	server.write("close 4000 moved")
	server.until("open")
	server.until("message")
	server.write("send hello")
	client.until("received")
	client.write("/quit")
	require.Equal(t, done, client.code(), &client.errs)

	player := start(t, "replay", original, "--addr", "127.0.0.1:0", "--in-step", "--json")
	client = connect(player.until("listening")["url"].(string), again)
	require.Equal(t, done, player.code(), &player.errs)
	client.write("/quit")
	require.Equal(t, done, client.code(), &client.errs)

	want, got := events(t, original), events(t, again)
	require.GreaterOrEqual(t, len(got), 9)
	// The end differs: the client had closed, and replay is gone then.
	assert.Equal(t, want[:8], got[:8])
	assert.Contains(t, want[8], `"closed","by":"client","code":1000`)
	assert.Contains(t, got[8], `"closed","by":"server","code":1000`)
}

func TestWrongReplays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(file, []byte(`{"recording":"wechatws","version":1}`+"\n"), 0o600))
	for line, want := range map[string]string{
		"":                     "FILE is missing",
		"/no/such/file":        "/no/such/file",
		"replay_test.go":       "replay_test.go: it is not a recording of wechatws connect --record",
		file:                   "there is no attempt to connect in it",
		file + " --speed -1":   "--speed -1: must be 0, or from 0.001 to 1e6",
		file + " --speed NaN":  "--speed NaN: must be 0, or from 0.001 to 1e6",
		file + " --speed 1e-9": "--speed 1e-09: must be 0, or from 0.001 to 1e6",
		file + " --for -1s":    "--for -1s: must be zero or longer",
	} {
		out, errs, code := try(limited(t), "", append([]string{"replay"}, strings.Fields(line)...)...)
		assert.Equal(t, wrong, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
	}
}
