package trials

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/freeport"
	"github.com/wechatws/wechatws/wstest"
)

// stormServer is the address of the server in the process that TestStorm kills.
const stormServer = "STORM_SERVER"

// startServer runs a server in a process of its own, and returns when it listens.
func startServer(t *testing.T, addr string) (url string, kill func()) {
	command := exec.Command(os.Args[0], "-test.run=^TestStorm$")
	command.Env = append(os.Environ(), stormServer+"="+addr)
	stdin, err := command.StdinPipe() // it ends when this process does
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	var complaint strings.Builder
	command.Stderr = &complaint
	require.NoError(t, command.Start())
	if _, err = fmt.Fscanln(stdout, &url); err != nil { // the end of its output
		_ = command.Wait()
		require.NoError(t, err, "the server has ended:\n%s", &complaint)
	}
	kill = sync.OnceFunc(func() {
		_ = command.Process.Kill()
		_ = stdin.Close()
		_ = command.Wait()
	})
	t.Cleanup(kill)
	return url, kill
}

// Thousands of clients lose their server at one moment; it is back after 5 s. Jitter keeps
// them from coming back as they went.
func TestStorm(t *testing.T) {
	if addr := os.Getenv(stormServer); addr != "" {
		s := wstest.NewServer(wstest.WithAddr(addr), wstest.WithoutRecords()) // it panics if it cannot listen
		fmt.Println(s.URL())
		_, _ = fmt.Scanln() // for ever
		return
	}
	const (
		clients = stormClients
		delay   = 3 * time.Second
		jitter  = 0.5
		away    = 5 * time.Second
		window  = 100 * time.Millisecond
	)
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	url, kill := startServer(t, addr)

	type back struct {
		at              time.Time
		waits, attempts int
	}
	backs := make(chan back, clients)
	all := make([]*wechatws.Client, clients)
	var connecting sync.WaitGroup
	for i := range all {
		c, err := wechatws.New(url, wechatws.WithProxy(nil), wechatws.WithJitter(jitter), wechatws.WithTiers(wechatws.Tier{Delay: delay}))
		require.NoError(t, err)
		all[i] = c
		var b back
		c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
			switch e.To {
			case wechatws.StateWaiting:
				b.waits++
				if e.RetryIn < delay/2 || e.RetryIn > delay*3/2 {
					t.Errorf("a wait of %v", e.RetryIn)
				}
			case wechatws.StateConnecting:
				b.attempts++
			case wechatws.StateOpen:
				b.at = time.Now()
				backs <- b
				b = back{}
			}
		})
		connecting.Go(func() {
			if err := c.Connect(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if i%50 == 0 {
			connecting.Wait() // the kernel's queue of connections to accept is finite
		}
	}
	connecting.Wait()
	for range clients {
		<-backs
	}
	defer func() {
		var closing sync.WaitGroup
		for _, c := range all {
			closing.Go(func() { _ = c.Close(wechatws.StatusNormalClosure, "") })
		}
		closing.Wait()
	}()

	start := time.Now()
	kill()
	time.Sleep(time.Until(start.Add(away)))
	startServer(t, addr)
	returned := time.Since(start)
	windows := map[int]int{}
	var last time.Duration
	attempts := 0
	for range clients {
		b := <-backs
		after := b.at.Sub(start)
		last = max(last, after)
		windows[int(after/window)]++
		attempts += b.attempts
		if b.attempts != b.waits {
			t.Errorf("%d attempts after %d waits", b.attempts, b.waits)
		}
	}
	var counts []int
	for _, n := range windows {
		counts = append(counts, n)
	}
	fullest := slices.Max(counts)
	t.Logf("server back after %v, the last client after %v; %d attempts; fullest %v: %d clients (%.1f %%)",
		returned.Round(window), last.Round(window), attempts, window, fullest, 100*float64(fullest)/clients)
	require.Less(t, fullest, clients*12/100)
}
