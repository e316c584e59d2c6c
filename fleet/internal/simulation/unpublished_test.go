package simulation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// A receiver is a room whose messages a test counts.
type receiver struct {
	*process
	client *wechatws.Client
}

// receive starts a worker that holds the only room.
func (w *world) receive(options ...fleet.WorkerOption) *receiver {
	w.Helper()
	r := &receiver{process: w.open("a", 0).work(options...)}
	w.within(10*time.Second, "the room is held", func() []string { return missing(r.process, 1) })
	r.worker.Clients(func(_ string, c *wechatws.Client) bool { r.client = c; return true })
	time.Sleep(time.Second)
	return r
}

// say sends the room n messages.
func (r *receiver) say(n int) {
	r.w.Helper()
	conn, _ := r.w.account.speaker("r0")
	for range n {
		require.NoError(r.w, conn.SendJSON(words{Type: "word"}))
	}
	time.Sleep(100 * time.Millisecond)
}

// missed checks that so many messages are counted as not published, and that this is reported once, with an
// error that it returns.
func (r *receiver) missed(n int) error {
	r.w.Helper()
	assert.EqualValues(r.w, n, r.worker.Stats().Unpublished)
	require.Len(r.w, r.errs, 1)
	err := <-r.errs
	assert.ErrorContains(r.w, err, fmt.Sprint(n, " messages that were received are not published: "))
	return err
}

func TestMessagesThatAreNotPublishedWhenTheLeaseIsLost(t *testing.T) {
	virtual(t, 31, 3, 1, func(w *world) {
		r := w.receive()
		r.say(2)
		for n := range 3 {
			w.cluster.CutProcess("a", n)
		}
		time.Sleep(100 * time.Millisecond)
		r.say(5)
		time.Sleep(2 * lease)
		assert.EqualValues(w, 2, r.worker.Stats().In)
		assert.ErrorIs(w, r.missed(5), fleet.ErrLeaseLost)
	})
}

// The client has stopped reading, since its inbox is full. What it reads after it was closed is not counted:
// as if it had come while no worker held the room.
func TestAFloodThatIsNotPublishedWhenTheLeaseIsLost(t *testing.T) {
	virtual(t, 32, 3, 1, func(w *world) {
		r := w.receive(fleet.WithRoomBudget(10_000, 10<<20))
		for n := range 3 {
			w.cluster.CutProcess("a", n)
		}
		r.say(3000)
		received := int(r.client.Stats().MessagesIn)
		require.Greater(w, received, 1024)
		require.Less(w, received, 3000, "the client reads on")
		time.Sleep(2 * lease)
		assert.ErrorIs(w, r.missed(received), fleet.ErrLeaseLost)
	})
}

func TestMessagesThatAreNotPublishedWhenTheWorkerStops(t *testing.T) {
	virtual(t, 33, 3, 1, func(w *world) {
		r := w.receive()
		w.cluster.SetFaults(natssim.Faults{Full: true})
		r.say(5)
		r.stop()
		r.missed(5)
		faultless(w)
	})
}

// A worker that hands the room over in order closes its client while messages wait for a NATS that takes long.
func TestMessagesThatAreNotPublishedWhenTheRoomIsHandedOver(t *testing.T) {
	virtual(t, 35, 3, 1, func(w *world) {
		r := w.receive()
		w.cluster.SlowCommits("wechatws.in.>", 2*time.Second)
		r.say(5)
		w.open("b", 1).work()
		r.stop()
		w.cluster.SlowCommits("wechatws.in.>", 0)
		assert.ErrorIs(w, r.missed(5), wechatws.ErrClosed)
		w.held(10 * time.Second)
	})
}

// What a program has not let the client finish does not delay the next client.
func TestMessagesThatAreNotPublishedWhenTheProgramClosesTheClient(t *testing.T) {
	virtual(t, 40, 3, 1, func(w *world) {
		r := w.receive()
		w.cluster.SlowCommits("wechatws.in.>", 200*time.Millisecond)
		r.say(20)
		began := time.Now()
		require.NoError(w, r.client.Close(wechatws.StatusNormalClosure, ""))
		<-r.client.Done()
		assert.Less(w, time.Since(began), 300*time.Millisecond)
		assert.EqualValues(w, 19, r.worker.Stats().Unpublished)
		w.held(10 * time.Second)
	})
}

// A message of a type that is not published, and one above the budget, are not counted once more.
func TestMessagesThatNeedNotBePublished(t *testing.T) {
	virtual(t, 34, 3, 1, func(w *world) {
		r := w.receive(fleet.WithTypes("other"))
		for n := range 3 {
			w.cluster.CutProcess("a", n)
		}
		r.say(5)
		time.Sleep(2 * lease)
		assert.Zero(w, r.worker.Stats().Unpublished)
		assert.Empty(w, r.errs)
	})
}
