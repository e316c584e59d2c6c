package wechatws

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// An idle client is the goroutine that reads, and a timer.
func TestAnIdleClientCostsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		const clients = 20
		for range clients {
			c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
			require.NoError(t, err)
			c.OnMessage(func(_ context.Context, _ Message) {})
			require.NoError(t, c.Connect(t.Context()))
			defer c.Close(StatusNormalClosure, "")
			require.NoError(t, c.Send(t.Context(), Text("x")))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		assert.Equal(t, clients, strings.Count(string(stacks), "created by github.com/wechatws/wechatws.("))
	})
}

// A writer that comes too late gets nothing: what is queued is for the connection
// that may write.
func TestTheQueueServesOnlyTheLinkThatMayWrite(t *testing.T) {
	c, err := New("ws://localhost")
	require.NoError(t, err)
	s := &session{client: c}
	first, second := newLink(s, dialed{}), newLink(s, dialed{})
	first.writing, second.writing = true, true // nobody starts a writer here
	c.queue.attach(first)
	require.NoError(t, c.Send(t.Context(), Text("x")))
	c.queue.detached(first)
	c.queue.attach(second)
	c.queue.detached(first) // late news of the first
	_, _, ok := c.queue.take(first)
	assert.False(t, ok)
	assert.False(t, first.writing)
	batch, _, ok := c.queue.take(second)
	assert.True(t, ok)
	assert.Len(t, batch, 1)
}

// What Close hands back is not sent any more and its SendConfirmed returns, also when
// the next Connect comes before anybody has looked.
func TestSendConfirmedDoesNotOutliveClose(t *testing.T) {
	c, err := New("ws://localhost")
	require.NoError(t, err)
	q := &c.queue
	q.accept(nil)
	first, second := &outgoing{}, &outgoing{}
	require.NoError(t, q.addUnconfirmed(t.Context(), first))
	require.NoError(t, q.addUnconfirmed(t.Context(), second))
	q.close()
	var left *UndeliveredError
	require.ErrorAs(t, q.takeBack(ErrClosed), &left)
	require.Len(t, left.Messages, 2)
	q.accept(nil) // the next session
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	assert.ErrorIs(t, q.turn(ctx, second), ErrClosed)
	assert.ErrorIs(t, q.push(ctx, &outgoing{of: first}), ErrClosed)
}
