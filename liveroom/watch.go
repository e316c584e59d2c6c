package liveroom

import (
	"sync"
	"time"
)

// A watch finds out that we are no longer in the room. A server that throws
// somebody out tells him nothing, and goes on to answer his pings. Two things
// speak for it: silence after we have said something, with a server that otherwise
// sends our comments back to us; and, for who knows his room, silence for long.
type watch struct {
	room *Room

	mu         sync.Mutex
	connection int // that is watched; 0: none
	timer      *time.Timer
	echoes     bool      // the server has sent our own comments back
	lastHeard  time.Time // when the room last said anything
	asked      time.Time // when we first said something since then; zero: we did not
}

// begin is called when the room is joined.
func (w *watch) begin(connection int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connection, w.lastHeard, w.asked = connection, time.Now(), time.Time{}
	w.arm()
}

// stop is called when the connection has ended.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connection = 0
	if w.timer != nil {
		w.timer.Stop()
	}
}

// heard is called for each message from the room.
func (w *watch) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastHeard, w.asked = time.Now(), time.Time{}
}

// echoed is called for each comment of our own.
func (w *watch) echoed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.echoes = true
}

// asking is called when we are about to say something.
func (w *watch) asking() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connection != 0 && w.asked.IsZero() {
		w.asked = time.Now()
		w.arm()
	}
}

// notAsked takes asking back.
func (w *watch) notAsked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = time.Time{}
}

// deadline is when the silence has lasted too long; zero when it is not judged. It
// is called with mu held.
func (w *watch) deadline() (at time.Time) {
	cfg := &w.room.cfg
	if cfg.SilenceTimeout > 0 {
		at = w.lastHeard.Add(cfg.SilenceTimeout)
	}
	if cfg.EchoTimeout > 0 && w.echoes && !w.asked.IsZero() {
		if echo := w.asked.Add(cfg.EchoTimeout); at.IsZero() || echo.Before(at) {
			at = echo
		}
	}
	return at
}

// arm sets the timer. It is called with mu held.
func (w *watch) arm() {
	at := w.deadline()
	if at.IsZero() || w.connection == 0 {
		return
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(at), w.judge)
	} else {
		w.timer.Reset(time.Until(at))
	}
}

// judge drops the connection when its time has come. It does not while messages
// wait, to be written or for a callback: the silence may be ours then. Nor does it
// while a message is coming in, behind which the echo may be.
func (w *watch) judge() {
	stats := w.room.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	excused := stats.PartialAt
	if stats.Queued > 0 || stats.Inbox > 0 {
		excused = time.Now()
	}
	if excused.After(w.lastHeard) {
		w.lastHeard = excused
	}
	if !w.asked.IsZero() && excused.After(w.asked) {
		w.asked = excused
	}
	if at := w.deadline(); w.connection == 0 || at.IsZero() || time.Now().Before(at) {
		w.arm()
		return
	}
	// Should it not be that, the same must not happen again and again.
	w.echoes = false
	_ = w.room.client.Disconnect(w.connection, ErrSilentRoom)
}
