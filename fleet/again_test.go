package fleet_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// What happens to a client when the worker makes another one for the same room.

// The next client is not made while a callback of the one before runs: both would publish at the same
// time.
func TestTheNextClientWaitsForCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	errs, running, release := make(chan error, 10), make(chan bool, 1), make(chan bool)
	var made atomic.Int32
	w.workerReporting(func(_ string, err error) { errs <- err }, func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		c, err := r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(), wechatws.WithDrainTimeout(time.Millisecond))
		if err == nil && made.Add(1) == 1 {
			c.OnMessage(func(context.Context, wechatws.Message) {
				_ = c.CloseNow()
				running <- true
				<-release
			})
		}
		return c, err
	}, fleet.WithWorkerName("a"))
	require.NoError(t, w.conn("r0").Send(`{"msg_type":"first"}`))
	<-running
	select {
	case err := <-errs:
		assert.NoError(t, err, "the client has ended while its callback runs")
	case <-time.After(3 * time.Second): // Run waits for 2 s
	}
	close(release)
	select {
	case err := <-errs:
		require.ErrorIs(t, err, wechatws.ErrClosed)
	case <-w.ctx().Done():
		require.Fail(t, "the end of the client is not reported")
	}
	require.NoError(t, w.conn("r0").Send(`{"msg_type":"second"}`))
	got := w.handle("g")
	assert.Equal(t, "first", got.next().Type)
	assert.Equal(t, "second", got.next().Type)
}

// What the program has sent with a client that has failed is reported, and what is in the stream is
// not: the next client writes it.
func TestMessagesOfAClientThatHasFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	refuse := make(chan bool)
	w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
		if r.URL.Query().Get("refuse") != "" {
			<-refuse
			return wstest.Status(http.StatusForbidden, nil, "no")
		}
		return wstest.Accept()
	})
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", wechatws.Text("from the stream")))
	errs := make(chan error, 10)
	var made atomic.Int32
	a := w.workerReporting(func(_ string, err error) { errs <- err }, func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		if made.Add(1) > 1 {
			return quietly(ctx, r)
		}
		c, err := r.NewClient(r.Endpoint+"&refuse=yes", wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness())
		if err == nil {
			err = c.Send(ctx, wechatws.Text("from the program"))
		}
		return c, err
	}, fleet.WithWorkerName("a"))
	require.Eventually(t, func() bool {
		queued := 0
		a.Clients(func(_ string, c *wechatws.Client) bool { queued += c.Stats().Queued; return true })
		return queued == 2
	}, patience, tick)
	close(refuse)
	assert.Equal(t, "from the stream", w.receive(w.conn("r0")))
	var refused *wechatws.DialError
	require.ErrorAs(t, <-errs, &refused)
	var left *wechatws.UndeliveredError
	require.ErrorAs(t, <-errs, &left)
	require.Len(t, left.Messages, 1)
	assert.Equal(t, "from the program", string(left.Messages[0].Data))
}
