package netmon

import (
	"errors"
	"os"
	"sync"
	"time"
)

// pollEvery is how often the network is read while there is no subscription. A client takes
// about as long to find a dead connection by its pings.
const pollEvery = 5 * time.Second

// A subscription is a connection on which the kernel reports changes.
type subscription interface {
	// receive waits for the next event. It returns os.ErrDeadlineExceeded at the given time,
	// unless that is zero, and errOverflow if events were lost; any other error ends the
	// subscription.
	receive(until time.Time) error
	// close makes receive return.
	close()
}

// errOverflow is the error of a subscription that has lost events because there were too many.
var errOverflow = errors.New("too many network events")

// A listener implements events with a subscription. While there is none, it polls and tries to
// subscribe each time.
type listener struct {
	subscribe func() (subscription, error)
	retry     time.Time // when to subscribe; past: at once. Only wait uses it
	closed    chan struct{}

	mu           sync.Mutex   // guards subscription, which only wait sets, and the closing of closed
	subscription subscription // nil while there is none
}

func newListener(subscribe func() (subscription, error)) *listener {
	return &listener{subscribe: subscribe, closed: make(chan struct{})}
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.closed)
	if l.subscription != nil {
		l.subscription.close()
	}
}

func (l *listener) wait(until time.Time) event {
	if l.subscription == nil {
		return l.poll(until)
	}
	err := l.subscription.receive(until)
	switch {
	case l.isClosed():
		return closed
	case err == nil:
		return touched
	case errors.Is(err, os.ErrDeadlineExceeded):
		return quiet
	case !errors.Is(err, errOverflow):
		// The same fault may end the next subscription at once.
		l.retry = time.Now().Add(pollEvery)
	}
	// A new subscription after an overflow too: it discards hundreds of stale events.
	l.unsubscribe()
	return touched
}

// poll waits until it is time to subscribe, and subscribes. In both cases, success and
// failure, the network may have changed without an event.
func (l *listener) poll(until time.Time) event {
	wake := l.retry
	if !until.IsZero() && until.Before(wake) {
		wake = until
	}
	timer := time.NewTimer(time.Until(wake))
	defer timer.Stop()
	select {
	case <-l.closed:
		return closed
	case <-timer.C:
	}
	if wake.Before(l.retry) {
		return quiet
	}
	s, err := l.subscribe()
	if err != nil {
		l.retry = time.Now().Add(pollEvery)
		return touched
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		s.close()
		return closed
	}
	l.subscription = s
	return touched
}

func (l *listener) unsubscribe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isClosed() { // otherwise close has closed it
		l.subscription.close()
	}
	l.subscription = nil
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
