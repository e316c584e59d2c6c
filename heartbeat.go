package wechatws

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Heartbeat is the application's own sign of life, for servers that drop who
// says nothing: many count only data messages, and do not answer. It is sent
// while the connection is open, after the login, ahead of whatever is queued,
// and skipped while the one before has not left yet.
type Heartbeat struct {
	// Interval between two heartbeats. Default 3 s. In a process with 64
	// connections or more they share timers, and come up to 50 ms late.
	Interval time.Duration
	// Message is anything that [Client.Send] takes, such as Text("ping"), and is encoded
	// once. Default {"msg_type":"ping"}, with the name set by [WithTypeField].
	Message any
	// NewMessage makes each heartbeat afresh, instead of Message. It must not
	// block, and is called by one goroutine at a time.
	NewMessage func() (any, error)
	// Pong recognises the server's answer, for servers that answer in JSON and
	// not to protocol pings. With it no protocol pings are sent; round-trip
	// times come from the answers; and what it recognises reaches no callback.
	// It is called on the dispatcher, for every message that OnMessage is called
	// with, so that an answer need not have a type nor be JSON, and must not keep the
	// message's Data.
	Pong func(Message) bool
}

// Liveness is how a dead peer is found: the client sends protocol pings, and
// when nothing at all has come in for the timeout, not even a byte of an
// unfinished message, it drops the connection without a close handshake and
// reconnects. Time in which the client itself did not read, because callbacks
// are slow and its inbox is full, does not count.
type Liveness struct {
	// Interval between two pings. Default 3 s. With Heartbeat.Pong there are none:
	// it says nothing then, and Heartbeat.Interval counts.
	Interval time.Duration
	// Timeout of silence after which the peer counts as dead. Default 10 s. A
	// probe after a change of the network or a suspended machine has half of it.
	Timeout time.Duration
}

// jumpAfter is how late a timer must be, or how far the wall clock must have
// run ahead, for the process or the machine to have been suspended. Silence from
// before says nothing about the peer then. It is far above what a busy scheduler
// does, and far below any timeout.
const jumpAfter = 2 * time.Second

// A few connections have their timers fire on the instant. Those of a crowd in one
// process share instants, for which they are late by up to a twentieth of a second:
// waking up costs the process more than all that a heartbeat then does.
const (
	crowd         = 64
	sharedInstant = 50 * time.Millisecond
)

var beating atomic.Int64 // heartbeats of all clients

func untilShared(at time.Time) time.Duration {
	return (sharedInstant - time.Duration(at.UnixNano())%sharedInstant) % sharedInstant
}

// A heartbeat is what happens by time on one link, on one timer.
type heartbeat struct {
	link   *link
	cfg    *config
	making sync.Mutex // held while NewMessage runs

	mu       sync.Mutex
	timer    *time.Timer // nil before start
	stopped  bool
	due      time.Time // when the timer fires
	armed    time.Time // when due was set
	wall     time.Time // the same by the wall clock
	nextBeat time.Time // zero: none
	nextPing time.Time // zero: none
	from     time.Time // silence before this does not count
	probing  bool      // nothing has come in since from, and half the timeout is enough
	pingSent time.Time // ping that waits for its pong; zero: none
	pings    uint32    // how many there have been
	stalls   int64     // of the link, when the ping was sent
	beatSent time.Time // heartbeat that waits for its Pong; zero: none
}

// signs of life, for the writer.
type signs struct {
	beat *Outbound // nil: none
	ping bool
	pong []byte // answers the peer's last ping; nil: none
}

func (s signs) any() bool { return s.beat != nil || s.ping || s.pong != nil }

// start is called when the link is open.
func (h *heartbeat) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	beating.Add(1)
	now := time.Now()
	h.from = now
	if d := h.cfg.heartbeat.Interval; d > 0 {
		h.nextBeat = now.Add(d)
	}
	if d := h.cfg.liveness.Interval; d > 0 && h.cfg.heartbeat.Pong == nil {
		h.nextPing = now.Add(d)
	}
	h.arm(now)
}

// stop is called when the link has ended. A tick under way goes on; it is one of
// the link's helpers.
func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if !h.from.IsZero() { // it was started
		beating.Add(-1)
	}
	if h.timer != nil {
		h.timer.Stop()
	}
}

// arm sets the timer to what is due next. It is called with mu held.
func (h *heartbeat) arm(now time.Time) {
	h.due = time.Time{}
	for _, at := range [...]time.Time{h.nextBeat, h.nextPing, h.deadline()} {
		if !at.IsZero() && (h.due.IsZero() || at.Before(h.due)) {
			h.due = at
		}
	}
	if h.due.IsZero() || h.stopped {
		return
	}
	if beating.Load() >= crowd {
		h.due = h.due.Add(untilShared(h.due))
	}
	h.armed, h.wall = now, h.cfg.wallClock()
	if h.timer == nil {
		h.timer = time.AfterFunc(h.due.Sub(now), h.tick)
	} else {
		h.timer.Reset(h.due.Sub(now))
	}
}

// deadline is when the peer's silence becomes too long; zero when it is not
// judged now. It is called with mu held.
func (h *heartbeat) deadline() time.Time {
	timeout := h.cfg.liveness.Timeout
	if timeout == 0 || h.link.stalled.Load() {
		return time.Time{}
	}
	heard := h.link.heard()
	switch {
	case h.link.received().After(h.from):
		h.probing = false
	case !heard.After(h.from): // otherwise something is being written, which answers no probe
		heard = h.from
		if h.probing {
			timeout /= 2
		}
	}
	return heard.Add(timeout)
}

// tick does what is due.
func (h *heartbeat) tick() {
	if !h.link.enter() {
		return
	}
	defer h.link.helpers.Done()
	h.mu.Lock()
	now := time.Now()
	if h.jumped(now) {
		h.probe(now)
	}
	if at := h.deadline(); !at.IsZero() && !now.Before(at) {
		h.mu.Unlock()
		h.link.fail(&CloseError{Code: StatusAbnormalClosure, Err: ErrHalfOpen})
		return
	}
	beat := elapsed(&h.nextBeat, h.cfg.heartbeat.Interval, now)
	ping := elapsed(&h.nextPing, h.cfg.liveness.Interval, now) && h.mayPing(now)
	h.arm(now)
	h.mu.Unlock()
	byLibrary := ping && h.link.stream == nil
	due := signs{ping: ping && !byLibrary}
	if beat {
		due.beat = h.message()
	}
	if due.any() && h.link.client.queue.sendSigns(h.link, due) {
		h.link.write(nil)
	}
	if byLibrary {
		h.ping()
	}
}

// elapsed tells whether it is time, and moves on to the next time. Those that
// were missed are not made up for.
func elapsed(at *time.Time, interval time.Duration, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	if *at = at.Add(interval); !at.After(now) {
		*at = now.Add(interval)
	}
	return true
}

// jumped tells whether the process or the machine was suspended since the timer
// was set. A suspended process finds its timer late. A suspended machine does
// not: its monotonic clock stood still, and only the wall clock went on. It is
// called with mu held.
func (h *heartbeat) jumped(now time.Time) bool {
	slept := h.cfg.wallClock().Sub(h.wall) - now.Sub(h.armed)
	return now.Sub(h.due) > jumpAfter || slept > jumpAfter
}

// probe forgets past silence and asks the peer to prove itself soon. It is
// called with mu held.
func (h *heartbeat) probe(now time.Time) {
	h.from, h.probing = now, true
	if !h.nextPing.IsZero() {
		h.nextPing = now
	} else if h.cfg.heartbeat.Pong != nil {
		h.nextBeat = now
	}
}

// probeNow is for a change of the network. A peer that has been silent for the timeout
// and leaves a probe unanswered gets no more time: where changes do not end, it would
// never be found dead.
func (h *heartbeat) probeNow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	timeout := h.cfg.liveness.Timeout
	if h.timer == nil || timeout == 0 {
		return
	}
	now, received := time.Now(), h.link.received()
	if h.probing && !received.After(h.from) && now.Sub(received) >= timeout {
		return
	}
	h.probe(now)
	h.arm(now)
}

// resume is called when the link reads again after it was stalled.
func (h *heartbeat) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		now := time.Now()
		h.from = now
		h.arm(now)
	}
}

// message makes the application's heartbeat; nil when that cannot be done.
func (h *heartbeat) message() *Outbound {
	m := h.cfg.beat
	if h.cfg.heartbeat.NewMessage != nil {
		if !h.making.TryLock() { // the one before is not made yet
			return nil
		}
		defer h.making.Unlock()
		err := apart(func() error {
			v, err := h.cfg.heartbeat.NewMessage()
			if err == nil {
				m, err = heartbeatMessage(h.cfg.codec, v)
			}
			return err
		})
		if err != nil {
			h.link.client.reportLater(h.link.session, fmt.Errorf("wechatws: heartbeat message: %w", err))
			return nil
		}
	}
	h.mu.Lock()
	h.beatSent = time.Now()
	h.mu.Unlock()
	return m
}

// heartbeatMessage is encode for a message that is written any number of times.
func heartbeatMessage(codec Codec, v any) (*Outbound, error) {
	m, err := encode(codec, v)
	return &m, err
}

// isPong reports whether m answers the heartbeat, and takes the time. A match function that
// panics has not recognised it; when it ends the goroutine, isPong calls otherwise.
func (h *heartbeat) isPong(ctx context.Context, m Message, otherwise func()) bool {
	match := h.cfg.heartbeat.Pong
	if match == nil {
		return false
	}
	is := false
	failed := h.link.client.reporter(ctx)
	err := guard(func() error { is = match(m); return nil }, func(pe *PanicError) {
		defer otherwise()
		failed(pe)
	})
	if err != nil {
		failed(err)
	}
	if is {
		h.mu.Lock()
		sent := h.beatSent
		h.beatSent = time.Time{}
		h.mu.Unlock()
		if !sent.IsZero() {
			h.measured(m.Received.Sub(sent))
		}
	}
	return is
}

// mayPing tells whether a protocol ping is to be sent. There is one at a time: on
// a network that swallows them a second one would tell no more. There is none
// either while the socket is slow to take what is being written, since it would
// have to queue behind that; nor while we do not read, since the pong would be
// stuck behind what we have not read, and servers that cannot get a pong rid
// within seconds drop the connection. It is called with mu held.
func (h *heartbeat) mayPing(now time.Time) bool {
	waiting := !h.pingSent.IsZero() && now.Sub(h.pingSent) < h.cfg.liveness.Timeout
	return !waiting && !h.link.writeBlocked() && !h.link.stalled.Load()
}

// pinged is called when a ping is written, and makes its payload.
func (h *heartbeat) pinged() []byte {
	trace(h.link.session.ctx, h.link.client, h.cfg.trace.ping, PingInfo{Connection: h.link.number})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pings++
	h.pingSent, h.stalls = time.Now(), h.link.stalls.Load()
	return binary.BigEndian.AppendUint32(nil, h.pings)
}

// ponged is called with a pong's payload. Pongs that nothing asked for are allowed,
// and say nothing about the round trip; nor does one that waited for us.
func (h *heartbeat) ponged(payload []byte) {
	h.link.hear()
	h.mu.Lock()
	sent, mine := h.pingSent, len(payload) == 4 && binary.BigEndian.Uint32(payload) == h.pings
	waited := h.link.stalls.Load() != h.stalls
	if mine {
		h.pingSent = time.Time{}
	}
	h.mu.Unlock()
	if mine && !waited && !sent.IsZero() {
		h.measured(time.Since(sent))
	}
}

// measured is told of each round trip.
func (h *heartbeat) measured(rtt time.Duration) {
	h.link.client.rtt.add(rtt)
	trace(h.link.session.ctx, h.link.client, h.cfg.trace.pong, PingInfo{h.link.number, rtt})
}

// ping has the library send a ping, which waits for the pong.
func (h *heartbeat) ping() {
	payload := h.pinged()
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.liveness.Timeout)
	defer cancel()
	if h.link.conn.Ping(ctx) == nil {
		h.ponged(payload)
	}
}
