package fleet_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

type comment struct {
	MsgType string `json:"msg_type"`
	Content string `json:"content"`
}

func TestOneWorker(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn, err := w.srv.NextConn(w.ctx())
	require.NoError(t, err)

	h, err := w.fleet.NewHandlers("g", fleet.WithFromStart())
	require.NoError(t, err)
	got := make(chan fleet.Message, 10)
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c comment) error {
		assert.Equal(t, "hello", c.Content)
		got <- m
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()

	require.NoError(t, conn.Send(`{"msg_type":"message","content":"hello"}`))
	m := <-got
	assert.Equal(t, "r0", m.Room)
	assert.Equal(t, "a", m.Worker)
	cancel()
	require.NoError(t, <-ended)

	require.NoError(t, w.fleet.Send(w.ctx(), "r0", comment{"message", "one"}))
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", comment{"message", "two"}))
	for _, want := range []string{"one", "two"} {
		m, err := conn.Receive(w.ctx())
		require.NoError(t, err)
		var c comment
		require.NoError(t, json.Unmarshal(m.Data, &c))
		assert.Equal(t, want, c.Content)
	}
}

func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(60)
	a := w.worker("a")
	w.until("a holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 60 })
	w.worker("b")
	w.until("b has its share", func(r map[string]fleet.Status) bool {
		n := heldBy(r)
		return n["a"]+n["b"] == 60 && n["b"] > 15 && n["a"] > 15 && a.Stats().Rooms == n["a"]
	})
	a.stop()
	w.until("b holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["b"] == 60 })
}

func TestARoomCanComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.worker("a")
	for range 3 {
		w.add(1)
		w.until("it is held", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 1 })
		_, err := w.fleet.Control().Remove(w.ctx(), "r0")
		require.NoError(t, err)
		_, err = w.fleet.Control().Get(w.ctx(), "r0")
		require.ErrorIs(t, err, fleet.ErrNoRoom)
		require.Eventually(t, func() bool { return a.Stats().Rooms == 0 }, patience, 10*time.Millisecond)
	}
}
