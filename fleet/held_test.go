package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// twoRooms is a fleet with one partition, two rooms, and their connections.
func twoRooms(t *testing.T) (w *world, a *running, conns map[string]*wstest.Conn) {
	t.Helper()
	w = newWorldOf(t, fleet.WithPartitions(1), fleet.WithListen("127.0.0.1:0", ""))
	w.add(2)
	a = w.worker("a")
	return w, a, w.connections(2)
}

// connections are the next n, by their rooms.
func (w *world) connections(n int) map[string]*wstest.Conn {
	w.Helper()
	conns := map[string]*wstest.Conn{}
	for range n {
		c, err := w.srv.NextConn(w.ctx())
		require.NoError(w, err)
		conns[c.Request().URL.Query().Get("room")] = c
	}
	return conns
}

// A room whose callback fails waits for its next attempt, in order, and other rooms of its partition do not,
// also when there are more messages than are read ahead. Nor does the position: another process
// handles nothing a second time but the room's messages.
func TestAFailingRoomHoldsUpItselfOnly(t *testing.T) {
	t.Parallel()
	w, a, conns := twoRooms(t)
	h := w.handlers(fleet.WithAttempts(0), fleet.WithRetryAfter(time.Hour))
	var mended atomic.Bool
	type call struct {
		room    string
		attempt int
		text    string
	}
	calls := make(chan call, 20000)
	callback := func(_ context.Context, m fleet.Message, c comment) error {
		calls <- call{m.Room, m.Attempt, c.Content}
		if m.Room == "r0" && !mended.Load() {
			return errors.New("not now")
		}
		return nil
	}
	fleet.On(h, "message", callback)
	stop := w.runHandlers(h)
	say := func(room string, n int) {
		t.Helper()
		require.NoError(t, conns[room].Send(fmt.Sprintf(`{"msg_type":"message","content":"%d"}`, n)))
	}
	say("r0", 0)
	assert.Equal(t, call{"r0", 1, "0"}, receiving(w, calls))
	const many = 600
	for n := 1; n <= many; n++ { // more than a line has in memory
		say("r0", n)
		say("r1", n)
	}
	for n := 1; n <= many; n++ {
		assert.Equal(t, call{"r1", 1, fmt.Sprint(n)}, receiving(w, calls))
	}
	require.Eventually(t, func() bool { return a.Stats().In == 2*many+1 }, patience, tick)
	require.Eventually(t, func() bool { return h.Stats().Lag == many+1 }, patience, tick)
	assert.Equal(t, 1, h.Stats().Held)
	assert.Zero(t, h.Stats().Bytes, "what waits is in NATS")
	stop()

	mended.Store(true)
	second := w.handlers(fleet.WithAttempts(0))
	fleet.On(second, "message", callback)
	w.runHandlers(second)
	assert.Equal(t, call{"r0", 2, "0"}, receiving(w, calls), "attempts are counted on")
	for n := 1; n <= many; n++ {
		assert.Equal(t, call{"r0", 1, fmt.Sprint(n)}, receiving(w, calls))
	}
	say("r1", many+1)
	assert.Equal(t, call{"r1", 1, fmt.Sprint(many + 1)}, receiving(w, calls), "and none of before")
	require.Eventually(t, func() bool { return second.Stats().Lag == 0 }, patience, tick)
}

// A room that sends more than its callback can handle is handled in order, and the next room at once.
func TestAFloodingRoomHoldsUpItselfOnly(t *testing.T) {
	w, a, conns := twoRooms(t)
	const many = 2000
	for n := range many {
		require.NoError(t, conns["r0"].Send(fmt.Sprintf(`{"msg_type":"message","content":"%d"}`, n)))
	}
	require.Eventually(t, func() bool { return a.Stats().In == many }, patience, tick)
	require.NoError(t, conns["r1"].Send(`{"msg_type":"message","content":"at once"}`))
	require.Eventually(t, func() bool { return a.Stats().In == many+1 }, patience, tick)
	h := w.handlers()
	release, flood, others := make(chan bool), make(chan string, many), make(chan string, 1)
	fleet.On(h, "message", func(ctx context.Context, m fleet.Message, c comment) error {
		if m.Room == "r1" {
			others <- c.Content
			return nil
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		flood <- c.Content
		return ctx.Err()
	})
	w.runHandlers(h)
	assert.Equal(t, "at once", receiving(w, others), "while the first message of the other room is handled")
	close(release)
	for n := range many {
		require.Equal(t, fmt.Sprint(n), receiving(w, flood))
	}
}
