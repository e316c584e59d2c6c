package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// The other processes are this program with these variables set.
const (
	roleVariable = "FLEET_EXAMPLE_ROLE" // backendRole, or the name of a worker
	natsVariable = "FLEET_EXAMPLE_NATS"

	backendRole = "backend"
)

// role plays the part of another process, if that is what this one is for.
func role(name string) bool {
	if name == "" {
		return false
	}
	// Ctrl-C goes to all processes of a terminal. The one that has started us ends us.
	signal.Ignore(os.Interrupt)
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with that process, however that ends
		close(ended)
	}()
	var err error
	if name == backendRole {
		err = serveBackend(ended)
	} else {
		go func() {
			<-ended
			os.Exit(1) // a worker in production would go on
		}()
		err = work(name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	return true
}

// A process is another process as the one that has started it sees it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has, with err
	err   error
	fate  atomic.Value // string: what the table says of it
}

// start starts a process in a role, and hands its standard output to read, if that is not
// nil.
func start(name, nats string, read func(io.Reader) error) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self), ended: make(chan struct{})}
	p.fate.Store("")
	p.cmd.Env = append(os.Environ(), roleVariable+"="+name, natsVariable+"="+nats)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	var stdout io.Reader
	if read != nil {
		if stdout, err = p.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if read != nil {
		err = read(stdout)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err != nil {
		p.end()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// drain is what a service manager does to a worker that it wants to end.
func (p *process) drain() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// end has it end now, if it has not.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdin.Close()
}
