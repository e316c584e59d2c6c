package trials_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
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
	ended chan struct{}
}

// start starts a process, with what it prints going to out, which may be nil.
func start(t *testing.T, out io.Writer, role string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self), ended: make(chan struct{})}
	p.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	p.Stdout, p.Stderr = out, os.Stderr
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

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}
