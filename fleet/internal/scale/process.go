//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"
)

// The other processes are this program with these variables set.
const (
	roleVariable    = "FLEET_SCALE_ROLE" // natsRole, backendRole, or the name of a worker
	natsVariable    = "FLEET_SCALE_NATS"
	talkingVariable = "FLEET_SCALE_TALK"

	natsRole    = "nats"
	backendRole = "backend"
	busyRole    = "busy"
)

// role runs the part of another process if this process was started as one, and ends the process when the
// one that started it ends.
func role(name string) bool {
	if name == "" {
		return false
	}
	signal.Ignore(os.Interrupt) // Ctrl-C goes to all processes of a terminal
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var err error
	switch name {
	case natsRole:
		err = serveNATS(ended)
	case backendRole:
		err = serveBackend(ended)
	case busyRole:
		err = beBusy(ended)
	default:
		err = work(name, ended)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	return true
}

// beBusy keeps a processor busy.
func beBusy(ended <-chan struct{}) error {
	if err := json.NewEncoder(os.Stdout).Encode(busyRole); err != nil {
		return err
	}
	for n := 1; ; {
		select {
		case <-ended:
			return nil
		default:
			n *= 31
		}
	}
}

// A process is one of the others.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
}

// start starts a process, and decodes its first line into told. It need not raise the limit of open
// files: Go's runtime does that.
func start(name string, told any, env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self)}
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+name), env...)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(stdout).Decode(told); err != nil {
		p.kill()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// end closes the standard input of the process, upon which it ends, and waits for that. It kills the process
// after 30 s.
func (p *process) end() {
	_ = p.stdin.Close()
	timer := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

// A cost is what a process has used.
type cost struct {
	rss   int64 // bytes
	cpu   time.Duration
	files int
}

// cost reads what the process has used.
func (p *process) cost() (c cost, err error) {
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return c, err
	}
	// Behind the name, which may have any characters: state is the 3rd field, utime the 14th,
	// stime the 15th, in hundredths of a second on all that Go runs on, rss the 24th, in pages.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 22 {
		return c, errors.New("what /proc says of " + p.name + " cannot be read")
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
		return n
	}
	c.cpu = time.Duration(number(14)+number(15)) * 10 * time.Millisecond
	c.rss = number(24) * int64(os.Getpagesize())
	files, err := os.ReadDir(dir + "/fd")
	c.files = len(files)
	return c, err
}
