package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asCommand is the variable with which the test program is the command.
const asCommand = "WECHATWS_TEST_AS_COMMAND"

// A process is wechatws as a process of its own.
type process struct {
	*testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	errs  strings.Builder
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{T: t, cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Stderr = &p.errs
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.lines = bufio.NewScanner(out)
	require.NoError(t, p.cmd.Start())
	limit := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		limit.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// until reads lines of JSON to the one with this event, and returns it.
func (p *process) until(event string) (line map[string]any) {
	p.Helper()
	var seen []string
	for p.lines.Scan() {
		seen = append(seen, p.lines.Text())
		line = nil
		require.NoError(p, json.Unmarshal(p.lines.Bytes(), &line), p.lines.Text())
		if line["event"] == event {
			return line
		}
	}
	require.Fail(p, "no "+event, "%s\n%s", strings.Join(seen, "\n"), &p.errs)
	return nil
}

func (p *process) write(line string) {
	p.Helper()
	_, err := io.WriteString(p.in, line+"\n")
	require.NoError(p, err)
}

// code waits for the end of the process, and returns its exit code.
func (p *process) code() int {
	p.Helper()
	for p.lines.Scan() {
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func TestConnectToServe(t *testing.T) {
	server := start(t, "serve", "--addr", "127.0.0.1:0", "--control", "127.0.0.1:0", "-json")
	listening := server.until("listening")
	client := start(t, "connect", listening["url"].(string), "--json", "--room", "7", "--name", "Ann", "--retry", "10ms")
	join := server.until("message")
	assert.Equal(t, "join", join["data"].(map[string]any)["msg_type"])
	assert.Equal(t, "init", client.until("received")["type"])
	assert.Equal(t, "join", client.until("received")["type"])

	client.write("good morning")
	assert.Equal(t, "good morning", server.until("message")["data"].(map[string]any)["content"])
	assert.Equal(t, "message", client.until("received")["type"])
	server.write("cut")
	server.until("closed")
	assert.EqualValues(t, 2, server.until("open")["connection"])

	client.write("/quit")
	assert.Equal(t, done, client.code(), &client.errs)
	server.write("quit")
	assert.Equal(t, done, server.code(), &server.errs)
}

func TestExitCodes(t *testing.T) {
	taken := start(t, "serve", "--backend", "silent", "--addr", "127.0.0.1:0", "--control", "none", "--json")
	url := taken.until("listening")["url"].(string)
	for _, test := range []struct {
		code int
		args []string
		errs string
	}{
		{done, []string{"connect", url, "--for", "1ms"}, ""},
		{done, []string{"connect", "--help"}, ""},
		{failed, []string{"connect", "ws://127.0.0.1:1", "--no-reconnect"}, "connect 127.0.0.1:1"},
		{failed, []string{"serve", "--addr", strings.TrimPrefix(url, "ws://"), "--control", "none"}, "cannot listen"},
		{wrong, []string{"connect"}, "URL is missing"},
		{wrong, []string{"connect", "http://%zz"}, "URL"},
		{wrong, []string{"serve", "--control", "0.0.0.0:80"}, "--control 0.0.0.0:80: must be a loopback address"},
		{wrong, []string{"nothing"}, "unknown command"},
	} {
		p := start(t, test.args...)
		require.NoError(t, p.in.Close())
		assert.Equal(t, test.code, p.code(), test.args)
		assert.Contains(t, p.errs.String(), test.errs, test.args)
	}
	if runtime.GOOS == "windows" { // has no SIGINT for another process
		return
	}
	require.NoError(t, taken.cmd.Process.Signal(os.Interrupt))
	assert.Equal(t, done, taken.code(), &taken.errs)
}
