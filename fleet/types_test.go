package fleet_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A message's type may be any string, and comes as it is.
func TestTypesOfAnyKind(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	a := w.worker("a")
	conn, err := w.srv.NextConn(w.ctx())
	require.NoError(t, err)
	got := w.handle("g")
	session := a.Stats().Session
	types := []string{"plain", "", "*", ">", "a.b", "_held", "_binary", "礼物", " spaces ", "two\r\nFleet-Fence: 1\r\n", "\x00", strings.Repeat("long", 2000)}
	for _, kind := range types {
		text, err := json.Marshal(map[string]string{"msg_type": kind})
		require.NoError(t, err)
		require.NoError(t, conn.Send(string(text)))
	}
	require.NoError(t, conn.SendBinary([]byte{0, 255}))
	for _, kind := range types {
		m := got.next()
		assert.Equal(t, kind, m.Type)
		assert.Contains(t, string(m.Data), "msg_type")
		assert.NotZero(t, m.Fence)
		assert.False(t, m.Binary)
	}
	m := got.next()
	assert.True(t, m.Binary)
	assert.Equal(t, []byte{0, 255}, m.Data)
	assert.Equal(t, session, a.Stats().Session)
	assert.Zero(t, a.Stats().Errors)
}

// Room IDs are bytes of any kind, up to 128.
func TestRoomsWithAnyID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker("a")
	got := w.handle("g")
	for _, id := range []string{"a b", "*", ">", "a.b.>", "_", "=", "=5F", "..", "房间", "a/b\\c", "\x00\xff\n", strings.Repeat("x", 128)} {
		spec := fleet.Spec{ID: id, Endpoint: w.srv.URL()}
		require.NoError(t, w.fleet.Control().Add(w.ctx(), spec), "%q", id)
		conn, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err, "%q", id)
		s, err := w.fleet.Control().Get(w.ctx(), id)
		require.NoError(t, err)
		assert.Equal(t, spec.ID, s.ID)
		assert.Equal(t, "a", s.Worker)
		require.NoError(t, w.fleet.Send(w.ctx(), id, id))
		m, err := conn.Receive(w.ctx())
		require.NoError(t, err)
		var back string
		require.NoError(t, json.Unmarshal(m.Data, &back))
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		assert.Equal(t, id, got.next().Room)
		_, err = w.fleet.Control().Remove(w.ctx(), id)
		require.NoError(t, err)
	}
	list, err := w.fleet.Control().List(w.ctx())
	require.NoError(t, err)
	assert.Empty(t, list)
}

// A got is what handlers were given.
type got struct {
	*world
	messages chan fleet.Message
}

func (g *got) next() fleet.Message {
	g.Helper()
	select {
	case m := <-g.messages:
		return m
	case <-g.ctx().Done():
		require.Fail(g, "no message came")
		panic("unreachable")
	}
}

// handle runs handlers of a group that take all messages, until the test ends.
func (w *world) handle(group string) *got {
	w.Helper()
	g := &got{w, make(chan fleet.Message, 1000)}
	h, err := w.fleet.NewHandlers(group, fleet.WithFromStart())
	require.NoError(w, err)
	h.OnMessage(func(ctx context.Context, m fleet.Message) error {
		select {
		case g.messages <- m:
			return nil
		case <-ctx.Done(): // the test has ended, and takes no more
			return ctx.Err()
		}
	})
	w.runHandlers(h)
	return g
}

// runHandlers runs them until the test ends, or stop is called, which waits for them.
func (w *world) runHandlers(h *fleet.Handlers) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(w, <-ended)
	})
	w.Cleanup(stop)
	return stop
}
