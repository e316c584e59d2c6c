package wechatws

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Heartbeat is a message that the client sends at an interval, for servers that disconnect
// silent clients: many count only data messages, and do not answer. It is sent while the
// connection is open, after the login and ahead of the queue. It is skipped while the previous
// one has not been written. [WithHeartbeat] sets it.
type Heartbeat struct {
	// Interval is the time between two heartbeats, by default 3 s. In a process with 64
	// connections or more they share timers, and are up to 50 ms late.
	Interval time.Duration
	// First is the time from the open connection to its first heartbeat, by default Interval.
	First time.Duration
	// Message is anything that [Client.Send] takes, such as Text("ping"), by default
	// {"msg_type":"ping"} with the field's name of [WithTypeField]; with [WithTypePath] and
	// [WithTypeFunc] there is no default. It is encoded once.
	Message any
	// NewMessage makes a new message for each heartbeat, instead of Message. It is called with
	// the number of the connection, as in [Message], right before the heartbeat is written,
	// by one goroutine at a time for a connection. Nothing else is written while it runs, so
	// it must not block, nor wait for the client. If it returns an error, [Client.OnError]
	// receives the error and the heartbeat is skipped.
	NewMessage func(connection int) (any, error)
	// Pong reports whether a message is the server's answer, for servers that answer in
	// JSON and not to protocol pings. If it is set, no protocol pings are sent, round-trip
	// times are measured from the answers, and the answers reach no callback. If the heartbeats are
	// further apart than half the [Liveness] Timeout, the time between two of them is added to it; it
	// does not begin before a heartbeat can have been answered.
	// While the connection is open, it is called for every message that [Client.OnMessage] callbacks
	// would receive, also for those that have no type or are not JSON, on the goroutine that reads the
	// connection, so that an answer never waits for callbacks. It must not block, nor retain the
	// message's Data.
	Pong func(Message) bool
}

// Liveness sets how a half-open connection is found: the client sends protocol pings, and if
// no byte at all has arrived for the timeout, it resets the connection with [ErrHalfOpen],
// without a close handshake, and reconnects. A peer that takes some of the bytes that wait for it
// is alive too: on Linux those that it acknowledges count, elsewhere those of a write that blocks.
//
// A peer that sends and does not read is found as well. It takes nothing of what waits for it for
// the timeout; or it leaves a ping unanswered for six timeouts, and for longer while up to 4 MiB
// arrive that may be ahead of the pong. The latter does not count for a server that has never
// answered a ping. A Dialer's own connections, of which nothing else is known, are ended when one
// write blocks for the timeout, and for longer than its message takes at 8 KiB/s.
//
// Time in which the client itself does not read, because callbacks are slow and its inbox is full,
// does not count: a peer may have to wait for it before it reads. It counts for a peer that has
// sent 16 MiB since, which were read. [WithLiveness] sets it.
type Liveness struct {
	// Interval is the time between two pings, by default 3 s. With [Heartbeat] Pong it has
	// no effect: the heartbeats take the place of the pings.
	Interval time.Duration
	// Timeout is the silence after which the peer counts as dead, by default 10 s. After a
	// change of the network, or after the machine was suspended, half of it is enough.
	Timeout time.Duration
}

// The defaults of WithHeartbeat and WithLiveness.
var (
	defaultHeartbeat = Heartbeat{Interval: 3 * time.Second}
	defaultLiveness  = Liveness{Interval: 3 * time.Second, Timeout: 10 * time.Second}
)

// jumpAfter is how late a timer must be, or how far the wall clock must have advanced more than
// the monotonic one, to conclude that the process or the machine was suspended. Earlier silence
// is then no sign of a dead peer. It is far above the delays of a busy scheduler, and far below
// any timeout.
const jumpAfter = 2 * time.Second

// From so many connections in a process on, timers fire at instants that they share: waking the
// process up costs more than everything that a heartbeat does then.
const (
	crowd         = 64
	sharedInstant = 50 * time.Millisecond
)

var beating atomic.Int64 // started heartbeats of all clients

// untilShared returns the time from at to the next shared instant.
func untilShared(at time.Time) time.Duration {
	return (sharedInstant - time.Duration(at.UnixNano())%sharedInstant) % sharedInstant
}

// An instant is a point in time by both clocks. The monotonic one stands still while the machine
// is suspended.
type instant struct{ monotonic, wall time.Time }

func (c *config) now() instant { return instant{time.Now(), c.wallClock()} }

// slept returns for how long the machine was suspended between before and i.
func (i instant) slept(before instant) time.Duration {
	return i.wall.Sub(before.wall) - i.monotonic.Sub(before.monotonic)
}

// A heartbeat sends the heartbeats and pings of one link, and ends it when its peer is silent
// for too long. All of it runs on one timer.
type heartbeat struct {
	link   *link
	*pulse // set before start

	mu       sync.Mutex  // guards the fields below
	timer    *time.Timer // nil before start
	stopped  bool
	probing  bool      // nothing has come in since from, and half the timeout is enough
	pings    uint32    // pings sent
	due      time.Time // when the timer fires
	armed    instant   // when due was set
	nextBeat time.Time // zero: none
	nextPing time.Time // zero: none
	from     time.Time // silence before this does not count
	reads    time.Time // since when the link reads, and the process runs
	pingSent time.Time // of the ping that waits for its pong; zero: none
	asked    time.Time // of the first ping without an answer, or when it was last seen on its way, or an earlier one's pong; zero: none
	askedAt  int64     // its place in the socket's stream
	arrived  int64     // bytes that had arrived by then
	stalls   int64     // of the link, when the ping was sent
	waits    time.Time // since when the peer takes nothing, at the last look; zero: nothing waits for it
	waitsAt  int64     // bytes that had arrived by then
	beatSent time.Time // of the heartbeat that waits for its Pong; zero: none
}

// signs of life are what a link's writer writes ahead of the queue.
type signs struct {
	beat bool
	ping bool
	// pongs are the payloads of the peer's pings that are not answered yet.
	pongs   [][]byte
	replies []*Outbound // see WithReply
	kept    []*Outbound // see Client.Keep
	close   *closing    // nil: none; nothing follows it
}

// A closing is a close frame to be written.
type closing struct {
	code   int
	reason string
}

// maxPongs bounds pongs. A peer that sends more pings while the socket takes nothing gets no
// answer to the oldest ones, as RFC 6455, section 5.5.3, allows.
const maxPongs = 32

func (s signs) any() bool {
	return s.beat || s.ping || len(s.pongs)+len(s.replies)+len(s.kept) > 0 || s.close != nil
}

// sendSigns makes signs of life due, which are written before all messages. A heartbeat is
// left out while another one is due. If it returns true, the caller must call write.
func (l *link) sendSigns(s signs) bool {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.due.beat = w.due.beat || s.beat
	w.due.ping = w.due.ping || s.ping
	w.due.pongs = append(w.due.pongs, s.pongs...)
	if n := len(w.due.pongs) - maxPongs; n > 0 {
		w.due.pongs = slices.Delete(w.due.pongs, 0, n)
	}
	return l.becomeWriter()
}

// start is called when the link is open.
func (h *heartbeat) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	beating.Add(1)
	now := time.Now()
	h.from = now
	if h.Pong != nil { // nothing is asked before
		h.from = now.Add(max(0, h.First-h.Interval))
	}
	if h.Interval > 0 {
		h.nextBeat = now.Add(cmp.Or(h.First, h.Interval))
	}
	if d := h.link.client.cfg.liveness.Interval; d > 0 && h.Pong == nil {
		h.nextPing = now.Add(d)
	}
	h.arm(now)
}

// stop is called when the link has ended. It does not wait for a tick under way, which is one
// of the link's helpers.
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

// arm sets the timer to what is due next. The caller holds mu.
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
	h.armed = h.link.client.cfg.now()
	if h.timer == nil {
		h.timer = time.AfterFunc(h.due.Sub(now), h.tick)
	} else {
		h.timer.Reset(h.due.Sub(now))
	}
}

// tick does what is due.
func (h *heartbeat) tick() {
	if !h.link.enter() {
		return
	}
	defer h.link.helpers.Done()
	h.mu.Lock()
	now := time.Now()
	silent := h.isSilent(now) // this looks at the socket, by a system call
	if h.jumped(now) || silent && h.isLate(now) {
		h.probe(now)
		h.reads = now
		silent = h.isSilent(now)
	}
	if silent {
		h.mu.Unlock()
		h.link.fail(&CloseError{Code: StatusAbnormalClosure, Err: ErrHalfOpen})
		return
	}
	beat := elapsed(&h.nextBeat, h.Interval, now)
	ping := elapsed(&h.nextPing, h.link.client.cfg.liveness.Interval, now) && h.mayPing(now)
	h.arm(now)
	h.mu.Unlock()
	due := signs{beat: beat, ping: ping}
	if due.any() && h.link.sendSigns(due) {
		h.link.write(false)
	}
}

// isSilent reports whether the peer has been silent for too long. The caller holds mu.
func (h *heartbeat) isSilent(now time.Time) bool {
	at := h.deadline()
	return !at.IsZero() && !now.Before(at)
}

// isLate reports whether the tick is so late, for the timeout, that the process was stalled: what
// the peer has sent may be unread, and the ping that it would have answered not sent. Unlike
// jumped it does so once in a silence, since on a busy machine many ticks are late. The caller
// holds mu.
func (h *heartbeat) isLate(now time.Time) bool {
	return !h.probing && now.Sub(h.due) > h.timeout/20
}

// elapsed reports whether the time at has come, and then sets it to the next one. Times that
// were missed are skipped.
func elapsed(at *time.Time, interval time.Duration, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	if *at = at.Add(interval); !at.After(now) {
		*at = now.Add(interval)
	}
	return true
}

// jumped reports whether the process or the machine was suspended since the timer was set.
// After the suspension of a process the timer is late. After that of a machine it is not: the
// monotonic clock has stopped meanwhile, and only the wall clock has advanced. The caller holds
// mu.
func (h *heartbeat) jumped(now time.Time) bool {
	return now.Sub(h.due) > jumpAfter || h.link.client.cfg.now().slept(h.armed) > jumpAfter
}

// probe discards past silence and sends a ping, or a heartbeat with Pong, at the next tick. The
// caller holds mu.
func (h *heartbeat) probe(now time.Time) {
	h.from, h.probing = now, true
	h.waits, h.asked = time.Time{}, time.Time{}
	if !h.nextPing.IsZero() {
		h.nextPing = now
	} else if h.Pong != nil {
		h.nextBeat = now
	}
}

// probeNow is called after a change of the network. It does not extend the time of a peer that
// has been silent for the timeout and has not answered a probe: if changes do not end, a dead
// peer would never be found.
func (h *heartbeat) probeNow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer == nil || h.timeout == 0 {
		return
	}
	now, received := time.Now(), h.link.received()
	if h.probing && !received.After(h.from) && now.Sub(received) >= h.timeout {
		return
	}
	h.probe(now)
	h.arm(now)
}

// resume is called when the link reads again after it was stalled.
func (h *heartbeat) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if !h.from.IsZero() {
		h.from = later(h.from, now)
	}
	h.reads = now
	h.link.stalled.Store(false) // not before from is set: tick would count the stall
	if h.timer != nil {
		h.arm(now)
	}
}

// reading returns since when the link reads; while it does not, the present.
func (h *heartbeat) reading() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link.stalled.Load() {
		return time.Now()
	}
	return h.reads
}

// beat returns the application heartbeat that is about to be written, or nil if NewMessage fails.
func (h *heartbeat) beat() *Outbound {
	m := h.message
	if m == nil {
		var err error
		h.link.outside(func() {
			err = users.Apart(func() error {
				v, err := h.NewMessage(h.link.number)
				if err != nil {
					return err
				}
				made, err := encode(h.link.client.cfg.codec, v)
				m = &made
				return err
			})
		})
		if err != nil {
			h.link.client.reportLater(h.link.session, fmt.Errorf("wechatws: heartbeat message: %w", err))
			return nil
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beatSent = time.Now()
	return m
}

// isPong reports whether m answers the heartbeat, and measures the round trip.
func (h *heartbeat) isPong(m Message) bool {
	if h.Pong == nil || !h.Pong(m) {
		return false
	}
	h.mu.Lock()
	sent := h.beatSent
	h.beatSent = time.Time{}
	h.mu.Unlock()
	if !sent.IsZero() {
		h.measured(m.Received.Sub(sent))
	}
	return true
}

// mayPing reports whether a protocol ping may be sent. It may not while another one waits for
// its pong, since a second one would measure nothing more; and while the link does not read,
// since the pong would wait behind unread messages, and servers that cannot write a pong within
// seconds disconnect. While a write blocks it may: the ping is written right behind it, and where
// writes block one after the other, there is no other time. The caller holds mu.
func (h *heartbeat) mayPing(now time.Time) bool {
	waiting := !h.pingSent.IsZero() && now.Sub(h.pingSent) < h.timeout
	return !waiting && !h.link.stalled.Load()
}

// pinged is called before a ping is written, and returns its payload.
func (h *heartbeat) pinged() []byte {
	if hooks := h.link.client.cfg.trace.ping; len(hooks) > 0 {
		h.link.outside(func() {
			trace(h.link.session.ctx, h.link.client, hooks, PingInfo{Connection: h.link.number})
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pings++
	h.pingSent, h.stalls = time.Now(), h.link.stalls.Load()
	if h.asked.IsZero() {
		h.asked, h.arrived = h.pingSent, h.link.life().Arrived
		if s := h.link.socket; s != nil {
			h.askedAt = s.Accepted()
		}
	}
	return binary.BigEndian.AppendUint32(nil, h.pings)
}

// ponged is called with a pong's payload. It measures no round trip from an unsolicited pong,
// which is allowed, nor from one that arrived while the link did not read.
func (h *heartbeat) ponged(payload []byte) {
	h.mu.Lock()
	sent, number := h.pingSent, uint32(0)
	if len(payload) == 4 {
		number = binary.BigEndian.Uint32(payload)
	}
	answer := 0 < number && number <= h.pings
	mine := answer && number == h.pings
	waited := h.link.stalls.Load() != h.stalls
	switch {
	case mine:
		h.pingSent, h.asked = time.Time{}, time.Time{}
	case answer && !h.asked.IsZero(): // to an earlier one
		h.asked, h.arrived = time.Now(), h.link.life().Arrived
	}
	h.mu.Unlock()
	if answer {
		h.link.client.answersPings.Store(true)
	}
	if mine && !waited && !sent.IsZero() {
		h.measured(time.Since(sent))
	}
}

// measured records a round trip.
func (h *heartbeat) measured(rtt time.Duration) {
	h.link.client.rtt.add(rtt)
	trace(h.link.session.ctx, h.link.client, h.link.client.cfg.trace.pong, PingInfo{h.link.number, rtt})
}
