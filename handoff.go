package wechatws

import (
	"errors"
	"sync"
	"time"
)

// By default the reader goroutine puts messages into the inbox, and the dispatcher's
// goroutine runs the callbacks. To wake that goroutine takes a system call, which costs
// more than all other work on a message. So while a connection is busy and the dispatcher
// idle, the reader runs the callbacks itself: the reader goroutine becomes the
// dispatcher's.
//
// When a callback then runs for too long, or calls a method that waits for an incoming
// message, the reading is handed off: a new goroutine becomes the session's, and with it
// the reader of the connection. The old one stays the dispatcher's.

const (
	// busyFor is the longest time between two batches of messages of a busy connection. The
	// reader of any other connection runs no callbacks, and keeps a small stack.
	busyFor = 20 * time.Millisecond
	// handoffAfter is the longest time for which no goroutine reads a connection.
	handoffAfter = 10 * time.Millisecond
)

// errHandedOff ends the work of a goroutine that is not the reader any more.
var errHandedOff = errors.New("handed off")

// A handoff records whether the reader of a link is running callbacks.
type handoff struct {
	mu sync.Mutex // guards the fields below

	turns uint64      // how often a reader has begun to run callbacks
	away  uint64      // the turn of the reader that runs callbacks; zero: the reader reads
	since time.Time   // when that turn began
	timer *time.Timer // calls checkReader; nil before the first turn
	armed bool        // timer is running. It is not stopped between turns, which would cost more
}

// runCallbacks runs the dispatcher on the reader goroutine, until nothing is pending. It
// returns errHandedOff when another goroutine reads by then.
func (l *link) runCallbacks() error {
	h := &l.handoff
	h.mu.Lock()
	h.turns++
	turn := h.turns
	h.away, h.since = turn, time.Now()
	h.arm(l, handoffAfter)
	h.mu.Unlock()
	returned := false
	defer func() {
		if !returned { // runtime.Goexit in a callback
			l.handOff()
		}
	}()
	l.client.dispatcher.loop()
	returned = true
	h.mu.Lock()
	defer h.mu.Unlock()
	// The next reader may have begun a turn of its own already, since the dispatcher has
	// become idle.
	if h.away != turn {
		return errHandedOff
	}
	h.away = 0
	return nil
}

// arm starts the timer. It is called with mu held.
func (h *handoff) arm(l *link, after time.Duration) {
	switch {
	case h.armed:
		return
	case h.timer == nil:
		h.timer = time.AfterFunc(after, l.checkReader)
	default:
		h.timer.Reset(after)
	}
	h.armed = true
}

// checkReader hands the reading off when a turn has lasted for handoffAfter. The timer
// calls it on a goroutine of its own.
func (l *link) checkReader() {
	h := &l.handoff
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	if h.away == 0 {
		return
	}
	if left := handoffAfter - time.Since(h.since); left > 0 {
		h.arm(l, left)
		return
	}
	l.handOffLocked()
}

// handOff starts another reader if the present one is running callbacks. It must be called
// before waiting for anything that depends on an incoming message.
func (l *link) handOff() {
	l.handoff.mu.Lock()
	defer l.handoff.mu.Unlock()
	l.handOffLocked()
}

// handOffLocked is handOff with the hand-off's mutex held.
func (l *link) handOffLocked() {
	if h := &l.handoff; h.away != 0 {
		h.away = 0
		l.session.replaceReader(l)
	}
}

// handOffReader is handOff for the open link; without one it does nothing.
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
