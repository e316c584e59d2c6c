package wechatws

import (
	"errors"
	"os"
	"sync"
	"time"
)

// networkPollEvery is how often the network is read while there is no subscription. A client
// takes about as long to find a dead connection by its pings.
const networkPollEvery = 5 * time.Second

// A networkSubscription is a connection on which the kernel reports changes.
type networkSubscription interface {
	// receive waits for the next event. It returns os.ErrDeadlineExceeded at the given
	// time, unless that is zero, and errNetworkOverflow; any other error ends the
	// subscription.
	receive(until time.Time) error
	// close makes receive return.
	close()
}

// errNetworkOverflow is the error of a subscription that has lost events because there were
// too many.
var errNetworkOverflow = errors.New("too many network events")

// A networkListener implements networkEvents with a subscription. While there is none, it
// polls and tries to subscribe each time.
type networkListener struct {
	subscribe func() (networkSubscription, error)
	retry     time.Time // when to subscribe; past: at once
	closed    chan struct{}

	mu           sync.Mutex          // guards subscription, which only the goroutine of wait sets
	subscription networkSubscription // nil while there is none
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
		// The same fault may end the next subscription at once.
		l.retry = time.Now().Add(networkPollEvery)
	}
	// A new subscription after an overflow too: it discards hundreds of stale events.
	l.unsubscribe()
	return networkTouched
}

// poll waits until it is time to subscribe, and subscribes. In both cases, success and
// failure, the network may have changed without an event.
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
	if !l.isClosed() { // otherwise close has closed it
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
