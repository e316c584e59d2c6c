package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// The program starts itself again for work that needs its own process. These environment
// variables are the role and the task of such a process.
const (
	roleVar = "WECHATWS_BENCH_ROLE" // server or fleet
	taskVar = "WECHATWS_BENCH_TASK" // the server's port, or the fleet's task as JSON
)

// playRole plays the role in the environment, and reports whether there is one.
func playRole() bool {
	role := os.Getenv(roleVar)
	var err error
	switch role {
	case "":
		return false
	case "server":
		err = serve(os.Getenv(taskVar))
	case "fleet":
		err = serveFleet(os.Getenv(taskVar))
	default:
		err = fmt.Errorf("unknown role")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	return true
}

// A process is a copy of this program in a role.
type process struct {
	cmd   *exec.Cmd
	input io.Closer
	lines *bufio.Scanner
}

func startProcess(role, task string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVar+"="+role, taskVar+"="+task)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe() // held open: the process ends when it is closed
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, input, bufio.NewScanner(output)}, nil
}

// line reads the next line that the process writes.
func (p *process) line() (string, error) {
	if p.lines.Scan() {
		return p.lines.Text(), nil
	}
	if err := p.lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("the %s process ended early", p.cmd.Args[0])
}

// end asks the process to end; kill ends it.
func (p *process) end() error {
	p.input.Close()
	return p.cmd.Wait()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.end() // returns the error of a killed process
}

// A serverProcess is the server as the parent sees it.
type serverProcess struct {
	*process
	port string
}

// startServer starts a server, on the port given or on any.
func startServer(port string) (*serverProcess, error) {
	p, err := startProcess("server", orZero(port))
	if err != nil {
		return nil, err
	}
	if port, err = p.line(); err != nil {
		p.kill()
		return nil, err
	}
	return &serverProcess{p, port}, nil
}

func orZero(port string) string {
	if port == "" {
		return "0"
	}
	return port
}

// serverURL returns the URL of a path. which is any number; it spreads the load over the
// server's addresses.
func serverURL(port string, which int, path string) string {
	return fmt.Sprintf("ws://127.0.0.%d:%s%s", which%loopbacks+1, port, path)
}

func (s *serverProcess) url(path string) string { return serverURL(s.port, 0, path) }

// ask gets the census of the server on a port.
func ask(port string) (c census, err error) {
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Get(strings.Replace(serverURL(port, 0, "/census"), "ws", "http", 1))
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	return c, json.NewDecoder(resp.Body).Decode(&c)
}

// raiseFileLimit allows as many open files as the system permits.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
