package fleet

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// A logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// outage opens a fleet on a cluster of one server.
func outage(t *testing.T, test func(t *testing.T, cluster *natssim.Cluster, f *Fleet, log *logged)) {
	natssim.Bubble(t, func(t *testing.T) {
		cluster := natssim.New(1, 1)
		defer cluster.Close()
		log := &logged{}
		f, err := Open(t.Context(), WithNATS(cluster.URLs(0), nats.SetCustomDialer(cluster.Dialer("p"))), WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		require.NoError(t, err)
		defer f.Close()
		test(t, cluster, f, log)
	})
}

// What is asked while NATS is away says so, and not what the NATS client says of its buffers.
func TestErrorsWhileNATSIsAway(t *testing.T) {
	outage(t, func(t *testing.T, cluster *natssim.Cluster, f *Fleet, _ *logged) {
		control := f.Control()
		require.NoError(t, control.Add(t.Context(), Spec{ID: "r"}))
		cluster.Stop(0)
		time.Sleep(time.Second)
		for name, call := range map[string]func() error{
			"Send":   func() error { return f.Send(t.Context(), "r", 1) },
			"Get":    func() error { _, err := control.Get(t.Context(), "r"); return err },
			"Add":    func() error { return control.Add(t.Context(), Spec{ID: "s"}) },
			"Remove": func() error { _, err := control.Remove(t.Context(), "r"); return err },
			"Stats":  func() error { _, err := control.Stats(t.Context(), "w"); return err },
			"Storage": func() error {
				_, err := control.Storage(t.Context())
				return err
			},
			"Groups": func() error { _, err := control.Groups(t.Context()); return err },
			"Replay": func() error { return control.Replay(t.Context(), 1) },
			"DeadLetters": func() error {
				for _, err := range control.DeadLetters(t.Context()) {
					return err
				}
				return nil
			},
			"Tail": func() error {
				for _, err := range f.Tail(t.Context(), "r") {
					return err
				}
				return nil
			},
		} {
			err := call()
			require.ErrorContains(t, err, "NATS is not connected", name)
			assert.NotContains(t, err.Error(), "buffer", name)
			assert.ErrorIs(t, err, nats.ErrReconnectBufExceeded, name)
		}
	})
}

// A lease that cannot be renewed is logged once, and that it is renewed again.
func TestAnOutageIsLoggedOnce(t *testing.T) {
	outage(t, func(t *testing.T, cluster *natssim.Cluster, f *Fleet, log *logged) {
		s, err := f.newSession(t.Context(), member{Name: "w"}, func() int { return 0 })
		require.NoError(t, err)
		var keeping sync.WaitGroup
		keeping.Go(func() { s.keep(t.Context()) })
		for range 2 {
			time.Sleep(f.settled.Lease)
			cluster.Stop(0)
			time.Sleep(time.Second)
			cluster.Start(0)
		}
		time.Sleep(f.settled.Lease)
		assert.Equal(t, 2, log.count("the lease could not be renewed"))
		assert.Equal(t, 2, log.count("the lease is renewed again"))
		cluster.Stop(0)
		keeping.Wait() // the lease is over
		assert.Equal(t, 3, log.count("the lease could not be renewed"))
	})
}

// A group of handlers that cannot take its partitions says so once.
func TestPartitionsThatCannotBeTakenAreLoggedOnce(t *testing.T) {
	outage(t, func(t *testing.T, cluster *natssim.Cluster, f *Fleet, log *logged) {
		h, err := f.NewHandlers("g")
		require.NoError(t, err)
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		running.Go(func() { assert.NoError(t, h.Run(ctx)) })
		defer running.Wait()
		defer cancel()
		time.Sleep(5 * time.Second)
		cluster.Stop(0)
		time.Sleep(20 * time.Second)
		cluster.Start(0)
		time.Sleep(5 * time.Second)
		assert.LessOrEqual(t, log.count("partition cannot be taken"), 1)
	})
}

// A stream of messages to rooms that NATS has lost is made again by a worker, as it was.
func TestAWorkerMakesTheStreamToRoomsAgain(t *testing.T) {
	outage(t, func(t *testing.T, cluster *natssim.Cluster, f *Fleet, log *logged) {
		w, err := f.NewWorker(func(context.Context, *Room) (*wechatws.Client, error) { panic("there are no rooms") })
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { assert.NoError(t, w.Run(ctx)) })
		defer running.Wait()
		defer cancel()
		time.Sleep(5 * time.Second)
		was := f.out.CachedInfo().Config
		cluster.DeleteStream("wechatws-out")
		time.Sleep(sweeping + time.Second)
		s, err := f.js.Stream(t.Context(), "wechatws-out")
		require.NoError(t, err)
		assert.Equal(t, was, s.CachedInfo().Config)
		assert.Equal(t, 1, log.count("is made again"))
	})
}
