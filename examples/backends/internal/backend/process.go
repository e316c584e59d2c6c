// Package backend runs backends and bots in tests: servers of npm, Debian and Go that are
// killed and started again on the same port, and programs that print what they receive.
package backend

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/freeport"
)

// A Process is a server in a process of its own.
type Process struct {
	// Lines is what the process has printed, also before it was killed and started again.
	*Lines
	// Addr is its host and port, 127.0.0.1:12345, the same after each start.
	Addr string

	t       testing.TB
	command string
	args    []string
	ready   string
	cmd     *exec.Cmd
	input   io.WriteCloser
}

// Start starts a server and returns when it has printed a line that contains ready. In args,
// {addr}, {host} and {port} stand for [Process.Addr] and its parts; the environment has HOST and PORT.
// The test is skipped if the machine does not have the command, unless CI is set. The
// process, and all that it has started, is killed at the end of the test.
func Start(t testing.TB, ready, command string, args ...string) *Process {
	t.Helper()
	Need(t, command)
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	p := &Process{Lines: newLines(t, command), Addr: addr, t: t, ready: ready, command: command}
	for _, arg := range args {
		p.args = append(p.args, p.fill(arg))
	}
	t.Cleanup(p.Kill)
	p.Start()
	return p
}

func (p *Process) fill(arg string) string {
	host, port, _ := net.SplitHostPort(p.Addr)
	return strings.NewReplacer("{addr}", p.Addr, "{host}", host, "{port}", port).Replace(arg)
}

// Start starts the process again after [Process.Kill], and returns when it is ready.
func (p *Process) Start() {
	p.t.Helper()
	cmd := exec.Command(p.command, p.args...)
	cmd.Env = append(os.Environ(), p.fill("HOST={host}"), p.fill("PORT={port}"))
	cmd.Stdout, cmd.Stderr = p.Lines, p.Lines
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	p.input, err = cmd.StdinPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, cmd.Start())
	p.cmd = cmd
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		cmd.Wait()
	}(p.cmd, p.ended)
	p.Expect(p.ready)
}

// Kill kills the process without a warning, as a crash does, and waits for its end. Its
// connections end without a close frame.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
	p.cmd = nil
	p.mu.Lock()
	p.ended = make(chan struct{}) // that of the next one
	p.mu.Unlock()
}

// Tell writes a line to the standard input of the process.
func (p *Process) Tell(line string) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.input, line)
	require.NoError(p.t, err)
}

// Need skips the test if the machine does not have a command, and fails it in CI.
func Need(t testing.TB, command string) {
	t.Helper()
	if _, err := exec.LookPath(command); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: .ci/run must install it", err)
		}
		t.Skipf("%v: install it to run this test", err)
	}
}

// Node installs the packages of the test's folder with npm, exactly as its package-lock.json
// has them, and starts node with these arguments as [Start] does. The server's port is in
// process.env.PORT; it prints "listening" when it is ready.
func Node(t testing.TB, args ...string) *Process {
	t.Helper()
	Need(t, "node")
	install(t)
	return Start(t, "listening", "node", args...)
}

// install runs "npm ci" unless the packages that package-lock.json names are there already.
func install(t testing.TB) {
	t.Helper()
	const installed = "node_modules/.installed" // a copy of the package-lock.json that was installed
	lock, err := os.ReadFile("package-lock.json")
	require.NoError(t, err)
	if now, err := os.ReadFile(installed); err == nil && bytes.Equal(now, lock) {
		return
	}
	Need(t, "npm")
	output, err := exec.Command("npm", "ci", "--prefer-offline", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund").CombinedOutput()
	require.NoError(t, err, "cannot install the packages of package-lock.json: is the npm registry reachable? npm ci printed:\n%s", output)
	require.NoError(t, os.WriteFile(installed, lock, 0o644))
}
