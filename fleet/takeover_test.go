package fleet_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A wire carries bytes to NATS until it is cut, and then accepts no further connections.
type wire struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{}
	w.Listener = relay(t, to, func(carrying *sync.WaitGroup, near, far net.Conn) {
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			carrying.Go(func() {
				defer way[0].Close()
				_, _ = io.Copy(way[0], way[1])
			})
		}
	})
	t.Cleanup(w.cut)
	return w
}

func (w *wire) cut() {
	w.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// losable runs handlers in what could be another process, which is lost when its wire is cut.
func (w *world) losable(callback func(ctx context.Context, m fleet.Message) error, options ...fleet.HandlersOption) (h *fleet.Handlers, lose func()) {
	w.Helper()
	wire := newWire(w.T, w.fleet.URL()[len("nats://"):])
	f, err := fleet.Open(w.ctx(), fleet.WithNATS("nats://"+wire.Addr().String()), fleet.WithLogger(slog.New(slog.NewTextHandler(w.Output(), nil))))
	require.NoError(w, err)
	w.Cleanup(f.Close)
	h, err = f.NewHandlers("g", append([]fleet.HandlersOption{fleet.WithFromStart(), fleet.WithTakeoverAfter(time.Second)}, options...)...)
	require.NoError(w, err)
	h.OnMessage(callback)
	stop := w.runHandlers(h)
	return h, sync.OnceFunc(func() {
		wire.cut()
		w.Cleanup(stop)
	})
}

// untilAcknowledged waits until the only group has acknowledged all messages.
func (w *world) untilAcknowledged() {
	w.Helper()
	require.Eventually(w, func() bool {
		g, err := w.fleet.Control().Groups(w.ctx())
		return err == nil && len(g) == 1 && g[0].Lag == 0
	}, patience, tick)
}

// When a process is lost, the contexts of its callbacks end, and then another one takes its partitions: a
// room's callbacks never run in both. What the lost one had acknowledged is not handled again.
func TestTheRoomsOfALostProcess(t *testing.T) {
	t.Parallel()
	w, _, conns := twoRooms(t)
	var running atomic.Int32
	calls, begun := make(chan string, 100), make(chan bool, 1)
	callback := func(ctx context.Context, m fleet.Message) error {
		assert.EqualValues(t, 1, running.Add(1), "in one process at a time")
		defer running.Add(-1)
		if m.Type == "long" && len(begun) == 0 {
			begun <- true
			<-ctx.Done()
			return ctx.Err()
		}
		calls <- m.Type
		return nil
	}
	first, lose := w.losable(callback)
	require.NoError(t, conns["r0"].Send(`{"msg_type":"short"}`))
	assert.Equal(t, "short", receiving(w, calls))
	w.untilAcknowledged()
	require.NoError(t, conns["r0"].Send(`{"msg_type":"long"}`))
	require.NoError(t, conns["r0"].Send(`{"msg_type":"last"}`))
	require.Eventually(t, func() bool { return len(begun) == 1 }, patience, tick)
	w.losable(callback)
	lose()
	assert.Equal(t, "long", receiving(w, calls))
	assert.Equal(t, "last", receiving(w, calls))
	assert.False(t, first.Ready())
	assert.True(t, first.Alive())
	assert.Empty(t, calls)
}

// A process with a shorter time does not take the partitions of one with a longer time before that.
func TestEachProcessHasItsOwnTimeToBeTakenOver(t *testing.T) {
	t.Parallel()
	w, _, conns := twoRooms(t)
	begun := make(chan time.Time, 10)
	callback := func(ctx context.Context, _ fleet.Message) error {
		begun <- time.Now()
		<-ctx.Done()
		return ctx.Err()
	}
	_, lose := w.losable(callback, fleet.WithTakeoverAfter(5*time.Second))
	require.NoError(t, conns["r0"].Send(`{"msg_type":"x"}`))
	first := receiving(w, begun)
	w.losable(callback)
	lose()
	assert.Greater(t, receiving(w, begun).Sub(first), 4*time.Second)
}

// A message that kills its process again and again is a dead letter in the end, and the others of its
// partition are handled.
func TestAMessageThatKillsItsProcess(t *testing.T) {
	t.Parallel()
	w, _, conns := twoRooms(t)
	var killed atomic.Int32
	kill, others := make(chan bool, 1), make(chan string, 100)
	callback := func(ctx context.Context, m fleet.Message) error {
		if m.Type != "poison" {
			others <- m.Type
			return nil
		}
		killed.Add(1)
		kill <- true
		<-ctx.Done()
		return ctx.Err()
	}
	require.NoError(t, conns["r0"].Send(`{"msg_type":"poison"}`))
	require.NoError(t, conns["r0"].Send(`{"msg_type":"behind it"}`))
	handled := false
	for n := range 10 {
		h, lose := w.losable(callback)
		select {
		case <-kill:
			lose()
			continue
		case what := <-others:
			assert.Equal(t, "behind it", what)
			assert.EqualValues(t, n, killed.Load())
			assert.EqualValues(t, 1, h.Stats().GivenUp)
			assert.EqualValues(t, 1, h.Stats().Errors, "it is reported")
			handled = true
		case <-w.ctx().Done():
			require.Fail(t, "nothing is handled")
		}
		break
	}
	require.True(t, handled, "killed %d", killed.Load())
	assert.EqualValues(t, 4, killed.Load())
	dead := w.deadLetters()
	require.Len(t, dead, 1)
	assert.Equal(t, "poison", dead[0].Type)
	assert.Contains(t, dead[0].Reason, "process was lost")
}

// Partitions are shared evenly, also when processes come and go, and each message is handled once.
func TestPartitionsAreShared(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	w.add(40)
	a := w.worker("a")
	require.Eventually(t, func() bool { return a.Stats().Open == 40 }, patience, tick)
	var mu sync.Mutex
	seen := map[uint64]int{}
	run := func() (*fleet.Handlers, func()) {
		h := w.handlers()
		h.OnMessage(func(_ context.Context, m fleet.Message) error {
			mu.Lock()
			defer mu.Unlock()
			seen[m.Seq]++
			return nil
		})
		return h, w.runHandlers(h)
	}
	n := 0
	say := func() {
		for _, c := range w.srv.Conns()[n%30:][:10] {
			require.NoError(t, c.Send(`{"msg_type":"x"}`))
			n++
		}
	}
	await := func(hs []*fleet.Handlers, least, most int) {
		t.Helper()
		require.Eventually(t, func() bool {
			say()
			sum := 0
			for _, h := range hs {
				got := h.Stats().Partitions
				if got < least || got > most {
					return false
				}
				sum += got
			}
			return sum == 16
		}, patience, 50*time.Millisecond)
	}
	first, stopFirst := run()
	await([]*fleet.Handlers{first}, 16, 16)
	second, _ := run()
	await([]*fleet.Handlers{first, second}, 8, 8)
	third, _ := run()
	await([]*fleet.Handlers{first, second, third}, 5, 6)
	stopFirst()
	await([]*fleet.Handlers{second, third}, 8, 8)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == n
	}, patience, tick)
	for seq, times := range seen {
		assert.Equal(t, 1, times, "message %d", seq)
	}
}

// Handlers survive the loss of whatever they have in NATS, go on where they were, and report it.
func TestHandlersOutliveWhatTheyHaveInNATS(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		what   string
		lose   func(w *world) error
		report string
	}{
		{"consumers", func(w *world) error { return w.deleteConsumers(w.stream("wechatws-in")) }, ""},
		{"the bucket of groups", func(w *world) error { return w.jetStream().DeleteStream(w.ctx(), "KV_wechatws-groups") }, "bucket of groups does not exist"},
		{"a key", func(w *world) error {
			kv, err := w.jetStream().KeyValue(w.ctx(), "wechatws-groups")
			if err != nil {
				return err
			}
			return kv.Delete(w.ctx(), "g.position.0")
		}, ""},
		{"the stream", func(w *world) error { return w.jetStream().DeleteStream(w.ctx(), "wechatws-in") }, "stream of messages from rooms does not exist"},
	} {
		t.Run(one.what, func(t *testing.T) {
			w, _, conns := twoRooms(t)
			h := w.handlers(fleet.WithTakeoverAfter(2 * time.Second))
			var o told
			h.OnError(o.tell)
			calls := make(chan string, 100)
			fleet.On(h, "message", func(_ context.Context, _ fleet.Message, c comment) error {
				calls <- c.Content
				return nil
			})
			w.runHandlers(h)
			require.NoError(t, conns["r0"].Send(`{"msg_type":"message","content":"before"}`))
			assert.Equal(t, "before", receiving(w, calls))
			w.untilAcknowledged()
			require.NoError(t, one.lose(w))
			var after string
			for n := 0; after == ""; n++ { // the worker loses messages while there is no stream
				require.NoError(t, conns["r0"].Send(fmt.Sprintf(`{"msg_type":"message","content":"after %d"}`, n)))
				select {
				case after = <-calls:
				case <-time.After(200 * time.Millisecond):
					require.NoError(t, w.ctx().Err())
				}
			}
			assert.Contains(t, after, "after")
			if one.report != "" {
				require.Eventually(t, func() bool { return len(o.all()) > 0 }, patience, tick)
				assert.ErrorContains(t, o.all()[0], one.report)
			}
			select {
			case again := <-calls:
				assert.NotEqual(t, "before", again)
			case <-time.After(2 * time.Second):
			}
		})
	}
}

// What handlers make again is as it was, and not as their own options would have it.
func TestStreamsAreMadeAgainAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""), fleet.WithShards(100), fleet.WithMaxIn(32<<20), fleet.WithMaxOut(48<<20))
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()), fleet.WithExisting())
	require.NoError(t, err)
	defer f.Close()
	h, err := f.NewHandlers("g", fleet.WithTakeoverAfter(2*time.Second))
	require.NoError(t, err)
	h.OnMessage(func(context.Context, fleet.Message) error { return nil })
	defer w.runHandlers(h)()
	js := w.jetStream()
	settings := func() string {
		m, err := js.Conn().Request("$JS.API.DIRECT.GET.KV_wechatws-rooms.$KV.wechatws-rooms.fleet", nil, patience)
		require.NoError(t, err)
		return string(m.Data)
	}
	before := settings()
	for _, name := range []string{"KV_wechatws-rooms", "wechatws-out", "wechatws-in"} {
		require.NoError(t, js.DeleteStream(w.ctx(), name))
	}
	for name, bytes := range map[string]int64{"wechatws-in": 32 << 20, "wechatws-out": 48 << 20} {
		require.Eventually(t, func() bool {
			s, err := js.Stream(w.ctx(), name)
			return err == nil && assert.Equal(t, bytes, s.CachedInfo().Config.MaxBytes, name)
		}, patience, tick)
	}
	assert.JSONEq(t, before, settings())
}
