package simulation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// backlog makes NATS store a message from a room in d, and has the room say n.
func (w *world) backlog(n int, d time.Duration) {
	w.cluster.SlowCommits("wechatws.in.>", d)
	for range n {
		w.backend.say("r0")
	}
	time.Sleep(10 * time.Millisecond)
}

// published returns the numbers of the messages of a room that are in the stream, in order.
func (w *world) published(room string) []int {
	w.account.mu.Lock()
	defer w.account.mu.Unlock()
	return slices.Clone(w.account.rooms[room].stored)
}

// moveTo moves the room, and returns how long that takes.
func (r *receiver) moveTo(worker string) time.Duration {
	r.w.Helper()
	began := time.Now()
	require.NoError(r.w, r.w.admin.fleet.Control().Move(r.w.Context(), "r0", worker))
	took := time.Since(began)
	time.Sleep(time.Second)
	return took
}

func TestWhatARoomHasReceivedIsPublishedBeforeItIsGivenUp(t *testing.T) {
	for name, giveUp := range map[string]func(w *world, r *receiver) error{
		"move":  func(_ *world, r *receiver) error { r.moveTo("b"); return nil },
		"drain": func(_ *world, r *receiver) error { r.stop(); return nil },
		"remove": func(w *world, _ *receiver) error {
			_, err := w.admin.fleet.Control().Remove(w.Context(), "r0")
			return err
		},
		"update": func(w *world, _ *receiver) error {
			return w.admin.fleet.Control().Update(w.Context(), fleet.Spec{ID: "r0", Endpoint: w.backend.endpoint("r0") + "&again=1"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, 36, 3, 1, func(w *world) {
				r := w.receive()
				w.open("b", 1).work()
				time.Sleep(2 * time.Second)
				r.moveTo("a")
				const n = 40
				w.backlog(n, 20*time.Millisecond)
				require.NoError(w, giveUp(w, r))
				time.Sleep(2 * time.Second)
				assert.Len(w, w.published("r0"), n)
				assert.EqualValues(w, n, r.worker.Stats().In)
				assert.Zero(w, r.worker.Stats().Unpublished)
				assert.Empty(w, r.errs)
			})
		})
	}
}

// A room that talks on, and is talked to, is moved again and again.
func TestABusyRoomIsMoved(t *testing.T) {
	virtual(t, 37, 3, 1, func(w *world) {
		r := w.receive()
		workers := []*process{r.process, w.open("b", 1).work()}
		w.open("h", 2).handle(shortly)
		time.Sleep(2 * time.Second)
		w.cluster.SlowCommits("wechatws.in.>", 30*time.Millisecond)
		stop := w.traffic(w.admin)
		for i := range 20 {
			time.Sleep(time.Duration(90+7*i) * time.Millisecond)
			assert.Less(w, r.moveTo([]string{"b", "a"}[i%2]), time.Second)
		}
		stop()
		w.settled(20 * time.Second)
		for _, p := range workers {
			assert.Zero(w, p.worker.Stats().Unpublished)
			assert.Empty(w, p.errs)
		}
		w.account.mu.Lock()
		defer w.account.mu.Unlock()
		said, stored := w.account.rooms["r0"].said, len(w.account.rooms["r0"].stored)
		assert.GreaterOrEqual(w, stored, said-2*20, "of %d", said) // what comes while the room is empty
	})
}

// What cannot be published in a second is counted, and the next holder need not wait for longer.
func TestARoomThatHasReceivedTooMuchIsGivenUp(t *testing.T) {
	virtual(t, 38, 3, 1, func(w *world) {
		r := w.receive()
		w.open("b", 1).work()
		time.Sleep(2 * time.Second)
		r.moveTo("a")
		const n, published = 20, 6
		w.backlog(n, 150*time.Millisecond)
		assert.Less(w, r.moveTo("b"), 1500*time.Millisecond)
		w.cluster.SlowCommits("wechatws.in.>", 0)
		time.Sleep(time.Second)
		assert.InDelta(w, published, len(w.published("r0")), 1)
		unpublished := int(r.worker.Stats().Unpublished)
		assert.InDelta(w, n-published, unpublished, 1)
		assert.ErrorIs(w, r.missed(unpublished), wechatws.ErrClosed)
		w.held(10 * time.Second)
	})
}

// A room waits neither when NATS refuses messages, nor for the confirmation of what it is sent, nor if it
// has received nothing.
func TestARoomIsGivenUpAtOnce(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"it has received nothing": func(*world) {},
		"messages are refused": func(w *world) {
			w.cluster.DeleteStream("wechatws-in")
			w.backlog(5, 0)
			time.Sleep(time.Second)
		},
		"a message waits for its confirmation": func(w *world) {
			w.backend.srv.OnMessage(func(*wstest.Conn, wstest.Message) {})
			require.NoError(w, w.admin.send("r0", question, false))
			time.Sleep(100 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, 39, 3, 1, func(w *world) {
				r := w.receive()
				prepare(w)
				conn, _ := w.account.speaker("r0")
				began := time.Now()
				r.worker.Drain()
				<-conn.Done()
				assert.Less(w, time.Since(began), 150*time.Millisecond)
				w.backend.srv.OnMessage(w.backend.receive)
				w.open("b", 1).work()
				w.held(10 * time.Second)
				w.settled(10 * time.Second)
			})
		})
	}
}
