//go:build unix

package wechatws_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// suspended names the server in the process that TestSuspendedProcess stops.
const suspended = "SUSPENDED_PROCESS_TEST"

// A process that was stopped for longer than the timeout finds all its timers due
// and a connection that works. It must neither drop it as silent nor send the heartbeats
// that it missed.
func TestSuspendedProcess(t *testing.T) {
	liveness := wechatws.Liveness{Interval: 500 * time.Millisecond, Timeout: 2 * time.Second}
	heartbeat := wechatws.Heartbeat{Interval: 200 * time.Millisecond}
	if url := os.Getenv(suspended); url != "" {
		c, err := wechatws.New(url, wechatws.WithProxy(nil), wechatws.WithLiveness(liveness), wechatws.WithHeartbeat(heartbeat),
			wechatws.WithTiers(wechatws.Tier{Delay: 100 * time.Millisecond}))
		require.NoError(t, err)
		c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { fmt.Println("CLOSED", e.Err) })
		require.NoError(t, c.Connect(t.Context()))
		fmt.Println("OPEN")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has had enough
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		return
	}
	t.Parallel()
	s := wstest.NewServer()
	defer s.Close()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuspendedProcess$")
	command.Env = append(os.Environ(), suspended+"="+s.URL())
	stop, err := command.StdinPipe()
	require.NoError(t, err)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(output)
	require.True(t, lines.Scan())
	require.Equal(t, "OPEN", lines.Text())
	conn, err := s.NextConn(t.Context())
	require.NoError(t, err)
	for range 3 { // it is alive
		_, err := conn.Receive(t.Context())
		require.NoError(t, err)
	}

	require.NoError(t, command.Process.Signal(syscall.SIGSTOP))
	time.Sleep(6 * time.Second) // three times the timeout
	before := len(conn.Received())
	require.NoError(t, command.Process.Signal(syscall.SIGCONT))
	time.Sleep(2 * time.Second) // ten heartbeats' time
	beats := len(conn.Received()) - before
	t.Logf("%d heartbeats in 2 s, %d connections", beats, len(s.Conns()))
	require.LessOrEqual(t, beats, 15, "30 were missed, and are not made up for")
	require.Positive(t, beats)
	require.Len(t, s.Conns(), 1)

	require.NoError(t, stop.Close())
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	require.NoError(t, command.Wait(), strings.Join(rest, "\n"))
	require.NotContains(t, strings.Join(rest, "\n"), "half-open")
}
