package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// holding makes a client that holds its queue for a second on each connection.
func holding(w *world, options ...wechatws.Option) *client {
	c := w.client(options...).record()
	c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
		o.HoldQueue(time.Millisecond)
		o.HoldQueue(time.Second)
		o.HoldQueue(time.Microsecond)
		return nil
	})
	return c
}

// What was queued before and what any call sends meanwhile waits, and goes
// out in order. What comes in, and the heartbeat, does not wait.
func TestHoldQueueKeepsMessagesBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 300 * time.Millisecond}))
		c.send("1")
		c.connect()
		conn := w.conn()
		require.Equal(t, time.Duration(0), w.since(), "it is open at once")
		c.send("2")
		done := make(chan time.Duration, 2)
		go func() {
			_ = c.Send(t.Context(), wechatws.Text("3"), wechatws.FailFast())
			done <- w.since()
		}()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(999 * time.Millisecond)
		require.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		const beat = `{"msg_type":"ping"}`
		require.Equal(t, []string{beat, beat, beat}, received(conn))
		require.Empty(t, done)
		require.Equal(t, 3, c.Stats().Queued)
		w.sleep(time.Millisecond)
		require.Equal(t, []string{beat, beat, beat, "1", "2", "3"}, received(conn))
		require.Equal(t, time.Second, <-done)
		c.send("4")
		w.sleep(0)
		require.Equal(t, "4", received(conn)[6], "and that is all that waits")
		c.close()
	})
}

// A connection that ends meanwhile was given nothing, and the next one holds anew.
func TestHoldQueueAndAConnectionThatEnds(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w).connect()
		c.send("1")
		conn := w.conn()
		w.sleep(500 * time.Millisecond)
		conn.Cut(wstest.FIN)
		w.sleep(3*time.Second + 999*time.Millisecond)
		require.Empty(t, received(conn))
		conn = w.conn()
		require.Empty(t, received(conn))
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"1"}, received(conn))
		c.close()
	})
}

// Close writes what is held, if the drain timeout allows, and hands it back otherwise.
func TestCloseOfAHeldQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithDrainTimeout(2*time.Second)).connect()
		c.send("1")
		c.close()
		require.Equal(t, []string{"1"}, received(w.conn()))

		c = holding(w, wechatws.WithDrainTimeout(500*time.Millisecond)).connect()
		c.send("2")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Len(t, left.Messages, 1)
		require.Empty(t, received(w.conn()))
	})
}
