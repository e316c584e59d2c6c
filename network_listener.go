package wechatws

import (
	"errors"
	"os"
	"sync"
	"time"
)

// networkPollEvery is how often the network is looked at while nobody tells of
// changes. It is about what a client takes to find a dead connection by its
// heartbeats, which is the other way to hear of a change.
const networkPollEvery = 5 * time.Second

// A networkSubscription is a connection on which the kernel tells of changes.
type networkSubscription interface {
	// receive waits for something to be told. Its errors are
	// os.ErrDeadlineExceeded at the given time, unless that is zero,
	// errNetworkOverflow, and whatever else ends the subscription.
	receive(until time.Time) error
	// close makes receive return.
	close()
}

// errNetworkOverflow is the error of a subscription that has lost events because
// there were too many.
var errNetworkOverflow = errors.New("too many network events")

// A networkListener is networkEvents from a subscription. While there is none it
// polls, and tries to subscribe each time.
type networkListener struct {
	subscribe func() (networkSubscription, error)
	retry     time.Time // when to subscribe; past: at once
	closed    chan struct{}

	mu           sync.Mutex // guards what wait sets and close reads
	subscription networkSubscription
}

func newNetworkListener(subscribe func() (networkSubscription, error)) *networkListener {
	return &networkListener{subscribe: subscribe, closed: make(chan struct{})}
}

func (l *networkListener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.closed)
	if l.subscription != nil {
		l.subscription.close()
	}
}

func (l *networkListener) wait(until time.Time) networkEvent {
	if l.subscription == nil {
		return l.poll(until)
	}
	err := l.subscription.receive(until)
	switch {
	case l.isClosed():
		return networkClosed
	case err == nil:
		return networkTouched
	case errors.Is(err, os.ErrDeadlineExceeded):
		return networkQuiet
	case !errors.Is(err, errNetworkOverflow):
		// Whatever broke it may well break the next one.
		l.retry = time.Now().Add(networkPollEvery)
	}
	// After an overflow too a new subscription: it leaves hundreds of stale
	// events unread.
	l.unsubscribe()
	return networkTouched
}

// poll waits for the next attempt to subscribe and makes it. Whether it succeeds
// or fails, something may have happened that nobody told of.
func (l *networkListener) poll(until time.Time) networkEvent {
	wake := l.retry
	if !until.IsZero() && until.Before(wake) {
		wake = until
	}
	timer := time.NewTimer(time.Until(wake))
	defer timer.Stop()
	select {
	case <-l.closed:
		return networkClosed
	case <-timer.C:
	}
	if wake.Before(l.retry) {
		return networkQuiet
	}
	subscription, err := l.subscribe()
	if err != nil {
		l.retry = time.Now().Add(networkPollEvery)
		return networkTouched
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		subscription.close()
		return networkClosed
	}
	l.subscription = subscription
	return networkTouched
}

func (l *networkListener) unsubscribe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isClosed() { // close has done it
		l.subscription.close()
	}
	l.subscription = nil
}

func (l *networkListener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
