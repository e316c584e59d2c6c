package liveroom

import (
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// A watch detects that this member is no longer in the room. A server that removes a member
// does not notify it, and continues to answer its pings. There are two signs: silence after
// this client has sent something, if the server has sent its comments back before; and long
// silence, if WithSilenceTimeout is used. What is received is noted on the goroutine that reads the
// connection, so that a callback that blocks is no silence, and hides none.
type watch struct {
	room *Room

	mu         sync.Mutex
	connection int // that is watched; 0: none
	timer      *time.Timer
	echoes     bool      // the server has sent comments of this member back
	received   int       // how many messages from the room were received
	lastHeard  time.Time // when the last one was
	firstAsked time.Time // when something was first sent since then; zero: nothing was
}

// begin is called when the room is joined.
func (w *watch) begin(connection int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connection, w.lastHeard, w.firstAsked = connection, time.Now(), time.Time{}
	w.arm()
}

// stop is called when the connection has ended, a callback that blocks later than its successor begins.
func (w *watch) stop(connection int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connection != connection {
		return
	}
	w.connection = 0
	if w.timer != nil {
		w.timer.Stop()
	}
}

// heard is called for each message from the room.
func (w *watch) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received++
	w.lastHeard, w.firstAsked = time.Now(), time.Time{}
}

// echoed is called for each comment of this member.
func (w *watch) echoed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.echoes = true
}

// messages returns how many messages from the room were received.
func (w *watch) messages() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.received
}

// asked is called when something was sent, with the number of messages before that.
func (w *watch) asked(before int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connection != 0 && w.received == before && w.firstAsked.IsZero() {
		w.firstAsked = time.Now()
		w.arm()
	}
}

// deadline returns when the silence will have lasted too long, or zero without a limit. It
// is called with mu held.
func (w *watch) deadline() (at time.Time) {
	cfg := w.room.cfg
	if cfg.silenceTimeout > 0 {
		at = w.lastHeard.Add(cfg.silenceTimeout)
	}
	if cfg.echoTimeout > 0 && w.echoes && !w.firstAsked.IsZero() {
		if echo := w.firstAsked.Add(cfg.echoTimeout); at.IsZero() || echo.Before(at) {
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

// busyAt returns when the client was last seen to be in the middle of a message that takes its
// time on a slow link: the answer comes behind one that is still arriving, and one that is
// still on its way to the server may be the question.
func busyAt(s wechatws.Stats) time.Time {
	if s.TakenAt.After(s.PartialAt) {
		return s.TakenAt
	}
	return s.PartialAt
}

// judge disconnects after the deadline. It does not while messages wait to be written, since the
// silence may then be this client's, nor while the link is busy. That is also so if messages wait for
// callbacks and nothing at all has arrived, no pong either: the inbox may be full and the reader wait.
func (w *watch) judge() {
	stats := w.room.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	excused := busyAt(stats)
	if heard := later(w.lastHeard, w.firstAsked); stats.Queued > 0 || stats.Inbox > 0 && !stats.ReceivedAt.After(heard) {
		excused = time.Now()
	}
	if excused.After(w.lastHeard) {
		w.lastHeard = excused
	}
	if !w.firstAsked.IsZero() && excused.After(w.firstAsked) {
		w.firstAsked = excused
	}
	if at := w.deadline(); w.connection == 0 || at.IsZero() || time.Now().Before(at) {
		w.arm()
		return
	}
	if w.room.client.Disconnect(w.connection, ErrSilentRoom) == nil {
		w.echoes = false // in case the server does not always echo, this must not repeat
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
