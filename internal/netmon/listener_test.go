package netmon

import (
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A fakeKernel accepts or refuses the subscriptions of a listener.
type fakeKernel struct {
	start time.Time

	mu            sync.Mutex
	refusal       error
	attempts      []time.Duration
	subscriptions []*fakeSubscription
}

// tried returns when subscriptions were requested.
func (k *fakeKernel) tried() []time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.attempts)
}

// given returns the accepted subscriptions.
func (k *fakeKernel) given() []*fakeSubscription {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.subscriptions)
}

// refuse sets the error of further attempts to subscribe; nil accepts them.
func (k *fakeKernel) refuse(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refusal = err
}

func (k *fakeKernel) subscribe() (subscription, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts = append(k.attempts, time.Since(k.start))
	if k.refusal != nil {
		return nil, k.refusal
	}
	s := &fakeSubscription{event: make(chan error), closed: make(chan struct{})}
	k.subscriptions = append(k.subscriptions, s)
	return s, nil
}

type fakeSubscription struct {
	event  chan error
	closed chan struct{}
}

func (s *fakeSubscription) close() { close(s.closed) } // panics when done twice

func (s *fakeSubscription) receive(until time.Time) error {
	var expired <-chan time.Time
	if !until.IsZero() {
		expired = time.After(time.Until(until))
	}
	select {
	case err := <-s.event:
		return err
	case <-expired:
		return os.ErrDeadlineExceeded
	case <-s.closed:
		return os.ErrClosed
	}
}

// listen runs a Monitor over the kernel, and requires that all subscriptions are closed at
// the end.
func listen(t *testing.T, test func(t *testing.T, k *fakeKernel, f *fakeSystem)) {
	inBubble(t, func(t *testing.T, f *fakeSystem) {
		k := &fakeKernel{start: f.start}
		f.monitor.open = func() events { return newListener(k.subscribe) }
		test(t, k, f)
		for _, s := range k.given() {
			<-s.closed
		}
	})
}

func TestListenerSubscribesOnce(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		reported, stop := f.watch()
		passTime(time.Hour)
		assert.Equal(t, 2, f.count(), "in Watch, and when it has subscribed")
		f.set(fakeState("office"))
		k.given()[0].event <- nil
		passTime(time.Hour)
		assert.Equal(t, []report{{"office", time.Hour + 100*time.Millisecond}}, reported())
		assert.Equal(t, 3, f.count())
		stop()
		assert.Equal(t, []time.Duration{0}, k.tried())
	})
}

// A change between Watch and the subscription has no event.
func TestListenerLooksAfterSubscribing(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		reported, stop := f.watch()
		f.set(fakeState("office"))
		passTime(time.Second)
		assert.Equal(t, []report{{"office", 100 * time.Millisecond}}, reported())
		stop()
	})
}

func TestListenerOverflow(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		reported, stop := f.watch()
		passTime(time.Second)
		f.set(fakeState("office"))
		k.given()[0].event <- errOverflow
		passTime(time.Second)
		assert.Equal(t, []report{{"office", 1100 * time.Millisecond}}, reported())
		assert.Equal(t, []time.Duration{0, time.Second}, k.tried(), "at once")
		<-k.given()[0].closed

		f.set(fakeState("home"))
		k.given()[1].event <- nil
		passTime(time.Second)
		assert.Len(t, reported(), 2)
		stop()
	})
}

func TestListenerOverflowWhileSettling(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		reported, stop := f.watch()
		passTime(time.Second)
		f.set(fakeState("office"))
		k.given()[0].event <- nil
		passTime(50 * time.Millisecond)
		k.given()[0].event <- errOverflow
		passTime(time.Second)
		assert.Equal(t, []report{{"office", 1150 * time.Millisecond}}, reported())
		stop()
	})
}

// Without a subscription, as in a sandbox, the listener polls, and subscribes as soon as that is
// possible.
func TestListenerPolls(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		k.refuse(errors.New("permission denied"))
		reported, stop := f.watch()
		passTime(time.Second)
		f.set(fakeState("office"))
		passTime(20 * time.Second)
		assert.Equal(t, []report{{"office", 5100 * time.Millisecond}}, reported())
		assert.Equal(t, []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second, 20 * time.Second}, k.tried())

		k.refuse(nil)
		passTime(10 * time.Second)
		assert.Len(t, k.tried(), 6)
		reads := f.count()
		passTime(time.Hour)
		assert.Equal(t, reads, f.count(), "no more polling")
		stop()
	})
}

// A subscription that always fails must not keep a processor busy.
func TestListenerBrokenSubscription(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		_, stop := f.watch()
		for range 12 {
			synctest.Wait()
			k.given()[len(k.given())-1].event <- errors.New("bad file descriptor")
			passTime(5 * time.Second)
		}
		assert.Len(t, k.tried(), 13, "every 5 s")
		stop()
	})
}

func TestListenerStopWhilePolling(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		k.refuse(errors.New("permission denied"))
		_, stop := f.watch()
		passTime(time.Second)
		stop() // hangs, or the bubble reports a goroutine, if polling goes on
		assert.Len(t, k.tried(), 1)
	})
}

// stop is called during the subscription.
func TestListenerStopWhileSubscribing(t *testing.T) {
	listen(t, func(t *testing.T, k *fakeKernel, f *fakeSystem) {
		subscribing := make(chan struct{})
		l := newListener(func() (subscription, error) {
			<-subscribing
			return k.subscribe()
		})
		var got event
		go func() { got = l.wait(time.Time{}) }()
		synctest.Wait()
		l.close()
		close(subscribing)
		synctest.Wait()
		assert.Equal(t, closed, got)
		assert.Len(t, k.given(), 1) // which listen finds closed
	})
}
