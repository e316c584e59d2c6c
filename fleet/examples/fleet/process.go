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

// role runs the part of another process if this process was started as one.
func role(name string) bool {
	if name == "" {
		return false
	}
	// Ctrl-C goes to all processes of a terminal. The first process ends this one.
	signal.Ignore(os.Interrupt)
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // returns when that process has ended, in any way
		close(ended)
	}()
	var err error
	if name == backendRole {
		err = serveBackend(ended)
	} else {
		go func() {
			<-ended
			os.Exit(1) // a worker in production would continue
		}()
		err = work(name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	return true
}

// A process is a process that this one has started.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process has ended, with err
	err   error
	fate  atomic.Value // string: its state in the table
}

// start starts a process in a role, and calls read with its standard output, if read is not nil.
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

// drain sends SIGTERM, as a service manager does to end a worker.
func (p *process) drain() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// end kills the process if it has not ended.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdin.Close()
}
