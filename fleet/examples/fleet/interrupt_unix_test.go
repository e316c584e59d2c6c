//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ctrl-C, and even SIGKILL, leave none of the processes behind.
func TestNoProcessIsLeft(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir()) // NATS' files, which a process that is killed leaves
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), playMain+"=1")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && !strings.Contains(lines.Text(), "all are held") {
			}
			group := -cmd.Process.Pid
			if signal == syscall.SIGINT {
				require.NoError(t, syscall.Kill(group, signal)) // as a terminal does
			} else {
				require.NoError(t, cmd.Process.Kill())
			}
			for lines.Scan() {
			}
			err = cmd.Wait()
			if signal == syscall.SIGINT {
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit)
				assert.Equal(t, 1, exit.ExitCode())
			}
			assert.Eventually(t, func() bool { return syscall.Kill(group, 0) == syscall.ESRCH }, 20*time.Second, 50*time.Millisecond)
		})
	}
}
