package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// A worker whose write of a claim takes long does not hold a room again before it knows the outcome: the write
// may make another worker the holder.
func TestAClaimIsWrittenSlowly(t *testing.T) {
	virtual(t, 12, 3, 1, func(w *world) {
		var mu sync.Mutex
		holds := map[string]int{}
		w.backend.srv.OnConn(func(c *wstest.Conn) {
			w.account.connected(c)
			_, fence, worker := fenceOf(c)
			mu.Lock()
			defer mu.Unlock()
			holds[fmt.Sprint(worker, " under fence ", fence)]++
		})
		w.open("a", 0).work()
		w.open("b", 1).work()
		w.held(10 * time.Second)
		time.Sleep(2 * time.Second)
		control := w.admin.fleet.Control()
		room, err := control.Get(w.Context(), "r0")
		require.NoError(w, err)
		other := map[string]string{"a": "b", "b": "a"}[room.Worker]
		w.cluster.SlowCommits("$KV.wechatws-rooms.claim.*", time.Second) // longer than two attempts take
		moving, cancel := context.WithCancel(w.Context())
		var moved sync.WaitGroup
		moved.Go(func() { _ = control.Move(moving, "r0", other) })
		w.within(5*time.Second, "the room is closed", func() (open []string) {
			if w.backend.srv.OpenConns() > 0 {
				open = append(open, "r0")
			}
			return open
		})
		cancel()
		moved.Wait()
		require.NoError(w, control.Move(w.Context(), "r0", ""))
		time.Sleep(5 * time.Second)
		w.cluster.SlowCommits("$KV.wechatws-rooms.claim.*", 0)
		w.held(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		for hold, n := range holds {
			assert.Equal(w, 1, n, hold)
		}
		assert.Greater(w, len(holds), 1)
	})
}

// A function that makes a client and does not return keeps its worker from nothing but that client.
func TestAFunctionThatDoesNotReturn(t *testing.T) {
	virtual(t, 13, 3, 6, func(w *world) {
		p := w.open("a", 0)
		release := make(chan bool)
		defer close(release)
		p.making = func(room string) {
			if room == "r0" {
				<-release
			}
		}
		p.work()
		others := func() []string { return missing(p, 5) }
		w.within(10*time.Second, "the worker holds the other rooms", others)
		for n := range 3 {
			w.cluster.CutProcess("a", n)
		}
		time.Sleep(2 * lease)
		require.Zero(w, p.worker.Stats().Open)
		w.cluster.Heal()
		w.within(15*time.Second, "the worker holds the other rooms again", others)
		p.stop()
		assert.Less(w, w.since(), time.Minute)
	})
}

// So does a function of OnError.
func TestAFunctionOfOnErrorThatDoesNotReturn(t *testing.T) {
	virtual(t, 13, 3, 6, func(w *world) {
		p := w.open("a", 0)
		release := make(chan bool)
		defer close(release)
		p.making = func(room string) {
			if room == "r0" {
				panic("in the function that makes a client")
			}
		}
		p.work()
		p.worker.OnError(func(string, error) { <-release })
		others := func() []string { return missing(p, 5) }
		w.within(10*time.Second, "the worker holds the other rooms", others)
		for n := range 3 {
			w.cluster.CutProcess("a", n)
		}
		time.Sleep(2 * lease)
		w.cluster.Heal()
		w.within(15*time.Second, "the worker holds the other rooms again", others)
		p.stop()
		assert.Less(w, w.since(), time.Minute)
	})
}

// A worker that gets no lease says so.
func TestAWorkerThatWaitsForALease(t *testing.T) {
	virtual(t, 16, 3, 1, func(w *world) {
		p, log := w.logged("a")
		p.work()
		w.held(10 * time.Second)
		for _, stream := range w.cluster.Streams() {
			if strings.Contains(stream, "leases") {
				w.cluster.DeleteStream(stream)
			}
		}
		time.Sleep(time.Minute)
		p.stop()
		n := strings.Count(log(), "a worker waits for a lease")
		assert.True(w, n > 0 && n < 10, "%d times in a minute", n)
	})
}

// A server is not left because a stream does not exist, which no other server answers for either.
func TestAStreamThatDoesNotExistIsNoReasonToLeave(t *testing.T) {
	virtual(t, 17, 3, 3, func(w *world) {
		p, log := w.logged("a")
		p.work()
		time.Sleep(5 * time.Second)
		w.held(5 * time.Second)
		w.cluster.DeleteStream("wechatws-in")
		w.cluster.DeleteStream("wechatws-out")
		for began := time.Now(); time.Since(began) < lease; { // then the worker makes them again
			w.backend.say("r0")
			require.Error(w, p.send("r0", note, false))
		}
		p.stop()
		assert.NotContains(w, log(), "is left for the next one")
	})
}

// logged opens a process, and returns a function that returns what it has logged.
func (w *world) logged(name string) (p *process, log func() string) {
	w.Helper()
	var mu sync.Mutex
	var text strings.Builder
	p = w.open(name, 0, fleet.WithLogger(slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(b)
	}), nil))))
	return p, func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// Messages to rooms are delivered when their stream was lost and made again.
func TestTheStreamOfMessagesToRoomsIsMadeAgain(t *testing.T) {
	virtual(t, 14, 3, 3, func(w *world) {
		w.open("a", 0).work()
		w.held(10 * time.Second)
		for range 5 {
			require.NoError(w, w.admin.send("r0", note, false))
		}
		w.settled(5 * time.Second)
		w.cluster.DeleteStream("wechatws-out")
		w.open("again", 0)
		require.NoError(w, w.admin.send("r0", note, false))
		w.settled(20 * time.Second)
	})
}

// A message that fails is tried again after a minute at most, however long the pause.
func TestALongPauseBetweenAttempts(t *testing.T) {
	virtual(t, 15, 1, 1, func(w *world) {
		w.open("a", 0).work()
		var at []time.Time
		w.open("h", 0).handle(func(context.Context, words) error {
			at = append(at, time.Now())
			return errors.New("try again")
		}, fleet.WithRetryAfter(200*time.Hour), fleet.WithAttempts(20))
		time.Sleep(5 * time.Second)
		w.held(5 * time.Second)
		w.backend.say("r0")
		time.Sleep(25 * time.Minute)
		require.Len(w, at, 20)
		for n := range at[1:] {
			assert.InDelta(w, time.Minute, at[n+1].Sub(at[n]), float64(time.Second), "attempt %d", n+2)
		}
	})
}
