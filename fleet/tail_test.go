package fleet_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

func TestTail(t *testing.T) {
	w := newWorld(t)
	w.add(2)
	w.worker("a")
	for range 2 {
		conn, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
		room := conn.Request().URL.Query().Get("room")
		ctx, cancel := context.WithCancel(w.ctx())
		got := make(chan fleet.Message, 100)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for m, err := range w.fleet.Tail(ctx, room) {
				assert.NoError(t, err)
				select {
				case got <- m:
				case <-ctx.Done():
				}
			}
		}()
		// When Tail has begun is not known: it yields the messages that come from then on.
		var m fleet.Message
		for m.Room == "" {
			require.NoError(t, conn.Send(`{"msg_type":"hi"}`))
			select {
			case m = <-got:
			case <-w.srv.Conns()[0].Done():
				t.Fatal("the connection is lost")
			case <-time.After(tick):
			}
		}
		assert.Equal(t, room, m.Room)
		assert.Equal(t, "hi", m.Type)
		assert.Equal(t, "a", m.Worker)
		cancel()
		<-ended
	}
}
