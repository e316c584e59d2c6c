package wechatws

import (
	"errors"
	"sync"
	"time"
)

// The goroutine that reads hands messages to the dispatcher's, and goes on reading.
// That takes the kernel to wake another thread, which costs more than all else that is
// done for a message. So while a connection is busy and the dispatcher idle, the reader
// runs the callbacks itself. Should one of them take its time, or wait for something,
// it is relieved: another goroutine becomes the session's, and the reader of its
// connection, and the one that has been is the dispatcher's from then on.

const (
	// busyFor is how soon one batch of messages must follow another for the
	// connection to be busy. One that is not keeps to the small stack that reading
	// takes.
	busyFor = 20 * time.Millisecond
	// handoffAfter is how long nobody reads at most.
	handoffAfter = 10 * time.Millisecond
)

// errHandedOff ends the work of a goroutine that has been relieved.
var errHandedOff = errors.New("relieved")

// A relief is for the one goroutine that reads a link.
type handoff struct {
	mu    sync.Mutex
	turns uint64      // how often a reader has begun to run callbacks
	away  uint64      // the turn of the reader that runs callbacks; zero: the reader reads
	since time.Time   // when that turn began
	timer *time.Timer // nil before the first time
	armed bool        // the timer is. It is left to fire: to stop and set it each time costs more
}

// runCallbacks has the reader be the dispatcher's goroutine for a while. It returns
// errHandedOff when it is not the reader any more.
func (l *link) runCallbacks() error {
	r := &l.handoff
	r.mu.Lock()
	r.turns++
	turn := r.turns
	r.away, r.since = turn, time.Now()
	r.arm(l, handoffAfter)
	r.mu.Unlock()
	returns := false
	defer func() {
		if !returns { // runtime.Goexit in a callback
			l.handOff()
		}
	}()
	l.client.dispatcher.loop()
	returns = true
	r.mu.Lock()
	defer r.mu.Unlock()
	// Who has relieved us may be running callbacks already: since the dispatcher has
	// ended, and before we came here.
	if r.away != turn {
		return errHandedOff
	}
	r.away = 0
	return nil
}

// arm is called with mu held.
func (r *handoff) arm(l *link, after time.Duration) {
	switch {
	case r.armed:
		return
	case r.timer == nil:
		r.timer = time.AfterFunc(after, l.checkReader)
	default:
		r.timer.Reset(after)
	}
	r.armed = true
}

// checkReader is what the timer does.
func (l *link) checkReader() {
	r := &l.handoff
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	if r.away == 0 {
		return
	}
	if left := handoffAfter - time.Since(r.since); left > 0 {
		r.arm(l, left)
		return
	}
	l.handOffLocked()
}

// relieve has another goroutine read while the one that should runs callbacks. Whoever
// is about to wait for what only a reader can bring about calls it.
func (l *link) handOff() {
	l.handoff.mu.Lock()
	defer l.handoff.mu.Unlock()
	l.handOffLocked()
}

func (l *link) handOffLocked() {
	if r := &l.handoff; r.away != 0 {
		r.away = 0
		go l.session.run(l.session.handoffs.Add(1), l)
	}
}

// handOffReader is relieve for the link that there is.
func (c *Client) handOffReader() {
	c.mu.Lock()
	var l *link
	if c.session != nil {
		l = c.session.link
	}
	c.mu.Unlock()
	if l != nil {
		l.handOff()
	}
}
