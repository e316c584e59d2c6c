package fleet_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// deadLetters are those that there are.
func (w *world) deadLetters() (list []fleet.DeadLetter) {
	w.Helper()
	for d, err := range w.fleet.Control().DeadLetters(w.ctx()) {
		require.NoError(w, err)
		list = append(list, d)
	}
	return list
}

// receiving receives from a channel, within the patience of tests.
func receiving[T any](w *world, c <-chan T) T {
	w.Helper()
	select {
	case v := <-c:
		return v
	case <-w.ctx().Done():
		require.Fail(w, "nothing came")
		panic("unreachable")
	}
}

// A message that cannot be handled is a dead letter after one attempt, with its reason, and can be replayed
// to its group, or dropped.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	assert.Empty(t, w.deadLetters(), "there are no handlers yet")
	require.ErrorIs(t, w.fleet.Control().Drop(w.ctx(), 1), fleet.ErrNoDeadLetter)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	other := w.handle("other")
	h := w.handlers(fleet.WithRetryAfter(10*time.Minute), fleet.WithAttempts(0))
	var o told
	h.OnError(o.tell)
	refused := errors.New("no such\ncustomer")
	calls := make(chan fleet.Message, 10)
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c comment) error {
		calls <- m
		if c.Content == "bad" {
			return wechatws.Permanent(refused)
		}
		return nil
	})
	w.runHandlers(h)
	require.NoError(t, conn.Send(`{"msg_type":"message","content":"bad"}`))
	require.NoError(t, conn.Send(`{"msg_type":"message","content":7}`))
	require.NoError(t, conn.Send(`{"msg_type":"message","content":"good"}`))
	bad := receiving(w, calls)
	assert.Contains(t, string(receiving(w, calls).Data), "good")

	dead := w.deadLetters()
	require.Len(t, dead, 2)
	d := dead[0]
	assert.Equal(t, "g", d.Group)
	assert.Equal(t, refused.Error(), d.Reason)
	assert.Equal(t, 1, d.Attempt)
	assert.WithinDuration(t, time.Now(), d.Time, patience)
	assert.Equal(t, bad, d.Message, "all of the message")
	assert.Contains(t, dead[1].Reason, "cannot unmarshal")
	assert.EqualValues(t, 1, h.Stats().GivenUp)
	assert.EqualValues(t, 1, h.Stats().Undecodable)
	assert.EqualValues(t, 3, h.Stats().Handled)
	require.Len(t, o.all(), 2)
	require.ErrorIs(t, o.all()[0], refused)

	require.NoError(t, w.fleet.Control().Replay(w.ctx(), d.ID))
	again := receiving(w, calls)
	assert.Equal(t, bad, again, "with the Seq of before")
	require.NoError(t, w.fleet.Control().Drop(w.ctx(), dead[1].ID))
	require.ErrorIs(t, w.fleet.Control().Replay(w.ctx(), dead[1].ID), fleet.ErrNoDeadLetter)
	require.Eventually(t, func() bool { return len(w.deadLetters()) == 1 }, patience, tick, "it is refused again")
	assert.NotEqual(t, d.ID, w.deadLetters()[0].ID)

	require.NoError(t, conn.Send(`{"msg_type":"last"}`))
	for range 3 {
		assert.Equal(t, "message", other.next().Type)
	}
	assert.Equal(t, "last", other.next().Type, "the replayed one is not for another group")
}
