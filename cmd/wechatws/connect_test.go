package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// limited returns a context for what takes a moment on any machine.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// The options of the library do what they do.
func TestOptionsAsFlags(t *testing.T) {
	server := wstest.NewServer(wstest.WithTLS())
	defer server.Close()
	server.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("v2"), wstest.WithCompression()))
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if m.Text() == `{"kind":"ping"}` {
			_ = c.Send(`{"kind":"late"}`)
			_ = c.Close(1000, "")
		}
	})
	t.Setenv("TOKEN", "t0ps3cret")
	out, errs, code := try(limited(t), "", "connect", server.URL(), "--tls-insecure", "-H", "X-Room: 7", "-H", "Authorization: env:TOKEN",
		"--subprotocol", "v1", "--subprotocol", "v2", "--token", "env:TOKEN", "--type-field", "kind", "--heartbeat-interval", "20ms",
		"--compression", "--no-reconnect", "--json")
	require.Equal(t, failed, code, out)
	assert.Contains(t, errs, "close code 1000")

	r := server.Handshakes()[0]
	assert.Equal(t, "7", r.Header.Get("X-Room"))
	assert.Equal(t, "t0ps3cret", r.Header.Get("Authorization"))
	assert.Equal(t, "v1,v2", strings.ReplaceAll(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), " ", ""))
	assert.Contains(t, r.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	messages := server.Conns()[0].Received()
	assert.Equal(t, `{"kind":"login","token":"t0ps3cret"}`, messages[0].Text())
	assert.Contains(t, out, `"type":"late"`)
	assert.NotContains(t, out+errs, "t0ps3cret")
}

func TestWrongFlags(t *testing.T) {
	const url = "ws://127.0.0.1:1/?token=s3cret"
	for line, want := range map[string]string{
		"--live 1":                        "--live and --user are of no use without --room",
		"--for -3s":                       "--for -3s: must be zero or longer",
		"--token s3cret --login s3cret":   "--login and --token exclude each other",
		"--header s3cret":                 `--header: must be "Name: value"`,
		"--token env:NO_SUCH_VARIABLE":    "--token env:NO_SUCH_VARIABLE: the variable is not set",
		"--token file:/no/such/file":      "--token file:/no/such/file",
		"--retry often":                   "--retry often: must be delays and attempts",
		"--read-limit 0":                  "--read-limit 0",
		"--queue -1":                      "--queue",
		"--queue-full wait":               "--queue-full wait: must be fail or drop-oldest",
		"--proxy s3cret":                  "--proxy: must be a URL",
		"--no-heartbeat --heartbeat x":    "--no-heartbeat and --heartbeat exclude each other",
		"--no-pings --silence-timeout 3s": "--no-pings and --silence-timeout exclude each other",
		"--no-reconnect --retry 3s":       "--no-reconnect and --retry exclude each other",
		"--type-field a --type-path b":    "--type-field and --type-path exclude each other",
		"--tls-ca connect_test.go":        "there is no certificate in it",
		"--tls-cert x":                    "--tls-cert and --tls-key belong together",
		"--record-secrets":                "of no use without --record",
		"--record /dev/null":              "--record /dev/null: must be a file that can be made",
		"--record x --record-limit 1":     "--record-limit 1: must be 4096 bytes or more",
		"--ping-interval 20s":             "--ping-interval",
		"--heartbeat-interval s3cret":     "the value of --heartbeat-interval cannot be used",
		"ws://s3cret":                     "2 arguments are too much: there is only URL",
		"--demo":                          "--demo has a server of its own",
		"--jitter 2":                      "--jitter 2: must be from 0 to 1",
		"--stable-after 0s":               "--stable-after 0s",
		"--permanent-after -1s":           "--permanent-after -1s",
		"--drain-timeout -1s":             "--drain-timeout -1s",
		"--endpoint ftp://h?t=s3cret":     "--endpoint",
		"--endpoint env:NO_SUCH_VARIABLE": "--endpoint env:NO_SUCH_VARIABLE: the variable is not set",
	} {
		out, errs, code := try(limited(t), "", append([]string{"connect", url}, strings.Fields(line)...)...)
		assert.Equal(t, wrong, code, "%s: %s", line, errs)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
		assert.NotContains(t, errs, "s3cret", line)
	}
}

// Each wrong option has a line.
func TestWrongFlagsTogether(t *testing.T) {
	_, errs, code := try(limited(t), "", "connect", "ws://127.0.0.1:1", "--jitter", "2", "--queue", "-1")
	assert.Equal(t, wrong, code)
	assert.Equal(t, 2, strings.Count(errs, "\n"), errs)
	assert.Equal(t, 2, strings.Count(errs, "wechatws: --"), errs)
}

// The URL is a secret where it has a token, and the server behind it may be one of several.
func TestURLsFromTheEnvironment(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	gone := wstest.NewServer()
	gone.Close()
	t.Setenv("FIRST", gone.URL()+"/?token=f1rsts3cret")
	t.Setenv("SECOND", server.URL()+"/live?token=t0ps3cret")
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	server.OnConn(func(c *wstest.Conn) {
		if len(server.Conns()) > 1 { // the message on the first one has been shown
			cancel()
		}
		_ = c.Send(`{"msg_type":"init","token":"t0ps3cret"}`)
		_ = c.Close(1000, "")
	})
	out, errs, code := try(ctx, "", "connect", "env:FIRST", "--endpoint", "env:SECOND", "--retry", "10ms", "--jitter", "0.2")
	require.Equal(t, done, code, errs)
	assert.Equal(t, "t0ps3cret", server.Handshakes()[0].URL.Query().Get("token"))
	assert.Contains(t, out, `init {"msg_type":"init","token":"[secret]"}`)
	assert.NotContains(t, out+errs, "s3cret")

	_, errs, code = try(limited(t), "", "connect", "env:NOT_SET_12")
	assert.Equal(t, wrong, code)
	assert.Contains(t, errs, "URL env:NOT_SET_12: the variable is not set, or empty")
}

func TestDemo(t *testing.T) {
	out, errs, code := try(limited(t), "hello\n", "connect", "--demo", "--retry", "10ms", "--name", "Ann")
	require.Equal(t, done, code, errs)
	assert.Contains(t, out, "message 小明: 大家好")
	assert.Contains(t, out, "waiting: attempt 2")
	assert.Contains(t, out, "connected again")
}

// A recording has what happened, and no secret.
func TestRecord(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	server.Answer(wstest.Status(503, http.Header{"Retry-After": {"0"}}, "busy"), wstest.CutHandshake(wstest.RST))
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if strings.Contains(m.Text(), "login") {
			_ = c.Send(`{"msg_type":"welcome","you_sent":"t0ps3cret","and":"1n-the-url"}`)
			_ = c.SendBinary([]byte{1, 2})
			_ = c.Close(4000, "t0ps3cret is used elsewhere")
		}
	})
	file := filepath.Join(t.TempDir(), "session.jsonl")
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	server.OnConn(func(c *wstest.Conn) {
		if c.ID() == 2 {
			cancel()
		}
	})
	_, errs, code := try(ctx, "", "connect", server.URL()+"/?Token=1n-the-url&room=9527", "--token", "t0ps3cret", "--retry", "10ms", "--record", file)
	require.Equal(t, done, code, errs)
	info, err := os.Stat(file)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // has other permissions
		assert.Zero(t, info.Mode().Perm()&0o077)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "t0ps3cret")
	assert.NotContains(t, string(text), "1n-the-url")

	var events []string
	for line := range strings.Lines(string(text)) {
		var e struct{ Event, Recording, By, Cut, URL string }
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		events = append(events, e.Event+e.Recording+e.By)
	}
	require.GreaterOrEqual(t, len(events), 8, string(text))
	assert.Equal(t, []string{"wechatws", "refused", "failed", "open", "sent", "received", "received", "closedserver"}, events[:8])
	assert.Contains(t, string(text), `"code":4000,"reason":"[secret] is used elsewhere"`)

	_, errs, code = try(limited(t), "", "connect", server.URL(), "--record", file)
	assert.Equal(t, wrong, code, "a file that exists is left alone")
	assert.Contains(t, errs, "file exists")
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"__complete ":                      "connect\t",
		"__complete connect --queue-full ": "drop-oldest",
		"__complete connect --record-":     "--record-limit",
		"__complete connect ":              ":4",
		"__complete serve --backend ":      "silent",
		"__complete serve --like ":         "gatewayworker",
		"__complete serve --numbers-":      "--numbers-as-strings",
	} {
		out, _, code := try(t.Context(), "", strings.Split(line, " ")...)
		assert.Equal(t, done, code, line)
		assert.Contains(t, out, want, line)
	}
}
