package trials_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Other processes are this test program with a role.
const roleVariable = "FLEET_TRIALS_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func() error{"nats": runNATS, "worker": runWorker, "handler": runHandler}
	if role := roles[os.Getenv(roleVariable)]; role != nil {
		go func() { // it ends with its parent
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, os.Getenv(roleVariable), err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A process is one of them.
type process struct {
	*exec.Cmd
	mayEnd atomic.Bool
	ended  chan struct{}
	errors output
}

// start starts a process that must not end before it is asked to.
func start(t *testing.T, out io.Writer, role string, env ...string) *process {
	t.Helper()
	p := launch(t, out, role, env...)
	p.mustStay(t)
	return p
}

// launch starts a process, with what it prints going to out, which may be nil.
func launch(t *testing.T, out io.Writer, role string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self), ended: make(chan struct{})}
	p.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	p.Stdout, p.Stderr = out, io.MultiWriter(os.Stderr, &p.errors)
	stdin, err := p.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	go func() {
		_ = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		stdin.Close()
	})
	return p
}

// mustStay fails the test as soon as the process ends without having been asked to.
func (p *process) mustStay(t *testing.T) {
	go func() {
		if <-p.ended; !p.mayEnd.Load() {
			t.Errorf("%v has ended: %v\n%s", p, p.ProcessState, &p.errors)
		}
	}()
}

func (p *process) kill() {
	p.mayEnd.Store(true)
	_ = p.Process.Kill()
	<-p.ended
}

// terminate asks a process to end, and waits until it has.
func (p *process) terminate() error {
	p.mayEnd.Store(true)
	err := p.Process.Signal(syscall.SIGTERM)
	<-p.ended
	return err
}

// An output is the end of what a process has printed.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	o.text = o.text[max(0, len(o.text)-4<<10):]
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
