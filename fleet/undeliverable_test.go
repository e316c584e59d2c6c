package fleet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// queueing makes clients whose queue holds so many bytes.
func queueing(bytes int) connectFunc {
	return func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(), wechatws.WithQueue(10, bytes, wechatws.QueueFail))
	}
}

// A message to a room that was too large for its client can be sent again when the clients have larger
// queues, or dropped.
func TestADeadLetterToARoomIsReplayed(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	control := w.fleet.Control()
	a := w.workerWith(queueing(1000), fleet.WithWorkerName("a"))
	w.conn("r0")
	large := `{"msg_type":"message","content":"` + strings.Repeat("x", 2000) + `"}`
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", wechatws.Text(large), fleet.ExpireAfter(time.Hour)))
	require.Eventually(t, func() bool { return a.Stats().Undeliverable == 1 }, patience, tick)
	dead := w.deadLetters()
	require.Len(t, dead, 1)
	assert.Equal(t, large, string(dead[0].Data))
	a.stop()

	b := w.workerWith(queueing(10_000), fleet.WithWorkerName("b"))
	conn := w.conn("r0")
	require.NoError(t, control.Replay(w.ctx(), dead[0].ID))
	assert.Equal(t, large, w.receive(conn))
	assert.Empty(t, w.deadLetters())
	require.Eventually(t, func() bool { return b.Stats().Out == 1 }, patience, tick)
	b.stop()

	c := w.workerWith(queueing(1000), fleet.WithWorkerName("c"))
	w.conn("r0")
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", wechatws.Binary(large)))
	require.Eventually(t, func() bool { return c.Stats().Undeliverable == 1 }, patience, tick)
	dead = w.deadLetters()
	require.Len(t, dead, 1)
	assert.True(t, dead[0].Binary)
	_, err := control.Remove(w.ctx(), "r0")
	require.NoError(t, err)
	require.ErrorIs(t, control.Replay(w.ctx(), dead[0].ID), fleet.ErrNoRoom)
	require.Len(t, w.deadLetters(), 1, "it is still there")
	require.NoError(t, control.Drop(w.ctx(), dead[0].ID))
	assert.Empty(t, w.deadLetters())
}

// A message that has expired is no dead letter: its sender has said that it is of no use any more.
func TestAnExpiredMessageIsNoDeadLetter(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "late", fleet.ExpireAfter(time.Nanosecond)))
	a := w.worker("a")
	require.Eventually(t, func() bool { return a.Stats().Expired == 1 }, patience, tick)
	assert.Empty(t, w.deadLetters())
}
