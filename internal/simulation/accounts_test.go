package simulation

import (
	"errors"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// A message is one that a user has sent, with all that has become of it.
type message struct {
	id, size int
	verb     string    // of the step
	direct   bool      // the call waits until it is written
	began    int       // the place of the call in the order of events
	returned int       // of its return; 0: it has not returned
	at       time.Time // of its return
	flying   bool      // it may have been in flight then
	err      error     // with which it has returned
	conns    int       // how many connections there had been by then
	ended    bool      // the client was closed while the call waited

	written   []int // the connections on which the socket has taken all of it
	back      int   // how often it was handed back
	dropped   int   // how often it was reported as dropped
	refused   bool  // since the peer has refused it
	encodings int
	read      bool // by the server
}

// accepted reports whether the client owes a fate.
func (m *message) accepted() bool { return m.returned > 0 && m.err == nil }

// message returns the one whose data this is, or nil.
func (w *world) message(data []byte) *message {
	if id := number(data[:min(len(data), 80)], "id"); 0 < id && id <= len(w.messages) {
		return w.messages[id-1]
	}
	return nil
}

// next returns the next place in the order of events.
func (w *world) next() int {
	w.events++
	return w.events
}

// hasTaken is called with each frame that the client's socket has taken.
func (c *conn) hasTaken(opcode byte, payload []byte) {
	w := c.world
	if c.ending {
		w.fail("close: a frame (opcode %d) is written behind a close frame", opcode)
	}
	switch opcode {
	case opClose:
		c.ending = true
		w.note("connection %d: close frame %d", c.number, payload)
	case opText:
		if m := w.message(payload); m != nil {
			w.hasWritten(c, m)
		}
	}
}

// hasWritten accounts for a message that the client's socket has taken.
func (w *world) hasWritten(c *conn, m *message) {
	w.note("connection %d: message %d is written", c.number, m.id)
	for _, before := range m.written {
		if m.verb != "confirm" {
			w.fail("fate: message %d (%s) is written on connections %d and %d", m.id, m.verb, before, c.number)
		}
	}
	first := len(m.written) == 0
	m.written = append(m.written, c.number)
	w.wrote++
	switch {
	case m.back > 0 && !w.isCut(c): // see handBack
		w.fail("fate: message %d (%s) was handed back, and is written", m.id, m.verb)
	case m.dropped > 0 && !m.refused && !w.isCut(c):
		w.fail("fate: message %d (%s) was dropped, and is written", m.id, m.verb)
	case m.returned > 0 && m.err != nil && !m.direct && m.verb == "send":
		w.fail("fate: message %d was refused (%v), and is written", m.id, m.err)
	case m.returned > 0 && (m.err != nil || m.verb == "confirm") && (c.number > m.conns || !m.flying && m.at.Before(time.Now())):
		w.fail("fate: message %d is written after its call (%s) has returned: %v", m.id, m.verb, m.err)
	}
	if !first || m.verb == "confirm" {
		return
	}
	if m.returned > 0 && m.returned < w.latest {
		w.fail("order: message %d is written after one whose call began when its own had returned", m.id)
	}
	w.latest = max(w.latest, m.began)
}

// hasReturned accounts for the end of a call that sends a message.
func (w *world) hasReturned(m *message, err error) {
	m.returned, m.err, m.conns = w.next(), err, len(w.conns)
	m.at, m.flying = time.Now(), w.writes(m)
	switch {
	case err != nil && !m.direct && m.verb == "send" && len(m.written) > 0:
		w.fail("fate: message %d was refused (%v), and was written", m.id, err)
	case err == nil && m.verb == "confirm" && !m.read:
		w.fail("fate: message %d was confirmed, and the server has not read it", m.id)
	case err == nil && m.direct && len(m.written) == 0:
		w.fail("fate: the call (%s) of message %d has returned nil, and it was not written", m.verb, m.id)
	case err == nil && m.direct && m.back+m.dropped > 0:
		w.fail("fate: the call (%s) of message %d has returned nil, and it was handed back or dropped", m.verb, m.id)
	}
}

// writes reports whether the client may be writing m: it is not while it encodes another message.
func (w *world) writes(m *message) bool {
	if c := w.newest(); m.encodings > 0 || c != nil && c.writing > 0 {
		return true
	}
	for name, n := range w.blocked {
		if n > 0 && name != "Marshal" && !runsCallbacks(name) {
			return true
		}
	}
	return false
}

// handBack accounts for the messages in the result of a call that ends the client. Run returns the
// same error as the call that has ended it.
func (w *world) handBack(err error) {
	var left *wechatws.UndeliveredError
	if !errors.As(err, &left) || w.handedBack[left] {
		return
	}
	w.handedBack[left] = true
	for _, o := range left.Messages {
		m := w.message(o.Data)
		if m == nil {
			w.fail("fate: handed back, and nobody has sent it: %.80q", o.Data)
			return
		}
		w.note("message %d is handed back", m.id)
		m.back++
		switch {
		case m.back > 1:
			w.fail("fate: message %d (%s) is handed back twice", m.id, m.verb)
		case m.dropped > 0:
			w.fail("fate: message %d (%s) was dropped, and is handed back", m.id, m.verb)
		case m.verb == "confirm" && m.accepted():
			w.fail("fate: message %d was confirmed, and is handed back", m.id)
		case m.verb == "confirm":
			// It may have been written: without a confirmation no one can know.
		case m.direct:
			w.fail("fate: message %d of a call (%s) that waits is handed back", m.id, m.verb)
		case len(m.written) > 0 && w.isCut(w.conns[m.written[0]-1]):
			// How much of a write under way the socket has taken is not known before it returns, for
			// which CloseNow does not wait.
		case len(m.written) > 0:
			w.fail("fate: message %d (%s) was written, and is handed back", m.id, m.verb)
		}
	}
}

// hasDropped accounts for messages that OnError reports.
func (w *world) hasDropped(e *wechatws.DroppedError) {
	w.unnamed += e.More
	bytes := 0
	for _, o := range e.Messages {
		bytes += len(o.Data)
		m := w.message(o.Data)
		if m == nil {
			continue
		}
		w.note("message %d is dropped: %v", m.id, e.Err)
		m.dropped++
		m.refused = errors.Is(e.Err, wechatws.ErrRefused)
		switch {
		case m.dropped > 1:
			w.fail("fate: message %d (%s) is dropped twice", m.id, m.verb)
		case m.direct:
			w.fail("fate: message %d of a call (%s) that waits is reported as dropped", m.id, m.verb)
		case m.back > 0 || len(m.written) > 0 && !m.refused && !w.isCut(w.conns[m.written[0]-1]):
			w.fail("fate: message %d (%s) was written or handed back, and is dropped", m.id, m.verb)
		}
	}
	if n := len(e.Messages); n > 1 && (n > w.Settings.Messages || bytes > w.Settings.Bytes) {
		w.fail("bounds: a report has %d messages of %d bytes", n, bytes)
	}
}

// settled checks at the end that every message has had its fate.
func (w *world) settled() {
	missing := 0
	for _, m := range w.messages {
		switch {
		case m.returned == 0:
			w.fail("waits: the call (%s) of message %d has not returned", m.verb, m.id)
		case m.verb == "confirm" && m.ended && m.err == wechatws.ErrClosed && m.back == 0:
			w.fail("fate: message %d (confirm) has ended with the client, and is not handed back", m.id)
		case m.accepted() && len(m.written)+m.back+m.dropped == 0:
			missing++
			w.note("message %d (%s) has no fate", m.id, m.verb)
		}
	}
	if missing != w.unnamed {
		w.fail("fate: %d messages were accepted, and neither written nor handed back nor dropped; %d were dropped unnamed", missing, w.unnamed)
	}
}

// A call is a call of one of the client's methods that has not returned.
type call struct {
	verb    string
	began   time.Time
	limit   time.Time // when it must have returned; zero: never
	ends    bool      // it ends the client
	inside  bool      // a function of the user's makes it
	message *message  // that it sends; nil: none
	stuck   bool      // it waits for a user's function, as documented
}

// checkCalls checks that no call takes longer than it may.
func (w *world) checkCalls() {
	first := 0 // when the oldest call of SendConfirmed began
	for c := range w.calls {
		w.checkCall(c)
		if c.verb == "confirm" && (first == 0 || c.message.began < first) {
			first = c.message.began
		}
	}
	for c := range w.calls {
		if c.verb == "confirm" && c.message.began > first && len(c.message.written) > 0 {
			w.fail("order: message %d is written before an earlier call of SendConfirmed has ended", c.message.id)
		}
	}
}

func (w *world) checkCall(c *call) {
	if !c.stuck && !c.limit.IsZero() && time.Now().After(c.limit) {
		w.fail("waits: %s has not returned after %v, %v too late", c.verb, time.Since(c.began), time.Since(c.limit))
	}
}

// check is called after each step, when everything is blocked.
func (w *world) check() {
	stats := w.client.Stats()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkCost(stats.Queued)
	w.checkBounds(stats)
	w.checkCalls()
	w.checkAttempts(stats)
	w.checkReading(stats)
	w.checkLiveness(stats)
}

// checkBounds checks the bounds of the memory.
func (w *world) checkBounds(stats wechatws.Stats) {
	if t := &w.Settings; stats.Queued > t.Messages || stats.QueuedBytes > t.Bytes {
		more, bytes := w.beyond()
		if stats.Queued > t.Messages+more || stats.QueuedBytes > t.Bytes+bytes {
			w.fail("bounds: %d messages of %d bytes are queued", stats.Queued, stats.QueuedBytes)
		}
	}
	// What was read from a connection that has ended waits for no room: at most one buffer of it. After
	// a failed write that is all that arrives within a second, for the sake of a close frame.
	if stats.Inbox < 1024 {
		w.full = len(w.conns)
	}
	if excess := (len(w.conns) - max(0, w.full-1)) * (64 << 10) / 30; stats.Inbox > 1024+256+excess && w.broken < w.full {
		w.fail("bounds: %d messages wait in the inbox", stats.Inbox)
	}
}

// beyond returns how many messages, of how many bytes, are accepted beyond the bounds of the queue:
// those of calls that wait, and with QueueDropOldest one when all others are being written. Those of
// calls that have ended stay until the write that they are part of ends.
func (w *world) beyond() (n, bytes int) {
	if w.Settings.Policy == int(wechatws.QueueDropOldest) {
		n, bytes = 1, 20_100
	}
	for _, m := range w.messages {
		if (m.direct || m.verb == "confirm") && (m.returned == 0 || m.conns == len(w.conns)) {
			n++
			bytes += m.size + 100
		}
	}
	return n, bytes
}

// grace is how long a callback may keep the reader from noticing the end of a connection.
const grace = 12 * time.Millisecond

// verdictTimeout is for how long the client waits, behind the end of a connection, for the callbacks of
// its messages.
const verdictTimeout = 10 * time.Second

// checkAttempts checks that an attempt has begun after Reconnect, or after a change of the network
// that ends a wait.
func (w *world) checkAttempts(stats wechatws.Stats) {
	switch {
	case w.wish == "":
	case stats.Attempts > w.wishedAt, stats.State == wechatws.StateClosed, stats.State == wechatws.StateFailed:
		w.wish = ""
	case w.sessionHeld():
		w.wishSince = time.Now()
	case w.wishGrace > 0 && stats.State == wechatws.StateWaiting && time.Since(stats.Since) < verdictTimeout && w.callbackHeld():
		w.wishSince = time.Now() // only Reconnect does not wait for what callbacks say
	case time.Since(w.wishSince) > w.wishGrace+grace:
		w.fail("attempts: no attempt begins after %s: %v, attempt %d of %d", w.wish, stats.State, stats.Attempts, w.wishedAt)
	}
}

// checkReading checks that the client reads, unless a callback keeps its inbox full, which must not be
// one that waits for an answer.
func (w *world) checkReading(stats wechatws.Stats) {
	c, now := w.newest(), time.Now()
	if c == nil || c.closed || len(c.in) == 0 || stats.State != wechatws.StateOpen || w.sessionHeld() || w.isEnding() {
		w.readingSince = now
		return
	}
	for name, n := range w.blocked {
		if n > 0 && !w.answered[name] {
			w.readingSince = now
		}
	}
	if now.Sub(w.readingSince) > grace {
		w.fail("reading: nothing is read, and no callback runs but those that wait for an answer: %v", w.blocked)
	}
}

// checkLiveness checks that a dead peer is found in time.
func (w *world) checkLiveness(stats wechatws.Stats) {
	c, t := w.newest(), &w.Settings
	if stats.State != wechatws.StateOpen || t.Timeout == 0 || c == nil || c.closed {
		return
	}
	now := time.Now()
	crowded := stats.Inbox >= maxInbox || stats.MessagesIn-w.messagesIn >= maxInbox // it may have been full meanwhile
	w.messagesIn = stats.MessagesIn
	if len(c.in) > 0 || w.blocked["match"] > 0 || crowded { // the client does not read
		c.lastRead, c.lastWrite, c.lastAcked = now, now, now
	}
	if len(c.out) == 0 && c.writing == 0 {
		c.lastAcked, c.arrivedByThen = now, c.arrived
	}
	if c.arrived < c.pongEnd { // when that pong arrives, the peer has answered
		c.lastAcked = now
	}
	if c.writing == 0 || c.written > c.writtenBefore {
		c.writtenBefore, c.lastWrite = c.written, now
	}
	bound := t.Timeout + t.Interval + writeSlice
	if c.netChanged {
		bound += t.Timeout / 2
	}
	silent := now.Sub(maxTime(c.lastRead, c.lastAcked, stats.Since))
	blocked := now.Sub(maxTime(c.lastWrite, stats.Since))
	stuck := now.Sub(maxTime(c.lastAcked, stats.Since))
	ahead := time.Duration(c.arrived-min(c.arrivedByThen, c.arrivedByPong)) * time.Second / slowestLink
	switch {
	case w.sessionHeld():
	case now.Sub(maxTime(c.lastRead, stats.Since)) > bound && silent > bound:
		w.fail("liveness: the peer has been silent for %v, with a timeout of %v", silent, t.Timeout)
	case blocked > bound:
		w.fail("liveness: the peer has made no room for a write for %v, with a timeout of %v", blocked, t.Timeout)
	case w.pongs > 0 && stuck > pingTimeouts*t.Timeout+ahead+bound:
		w.fail("liveness: the peer has read nothing for %v, with a timeout of %v", stuck, t.Timeout)
	}
}

// Of [wechatws.Liveness]: a ping may be unanswered for so many timeouts, and for longer while that
// much may be ahead of the pong.
const (
	maxInbox     = 1024
	pingTimeouts = 6
	slowestLink  = 8 << 10 // bytes per second
	// writeSlice is after how long the client sees at the latest that a write has made progress.
	writeSlice = time.Second
)

func maxTime(times ...time.Time) (latest time.Time) {
	for _, t := range times {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// legal are the moves from state to state, as the documentation of State has them.
var legal = map[wechatws.State]string{
	wechatws.StateIdle:       "connecting offline closed failed",
	wechatws.StateConnecting: "open connecting waiting offline closed failed",
	wechatws.StateOpen:       "connecting waiting offline closed failed",
	wechatws.StateWaiting:    "connecting offline closed failed",
	wechatws.StateOffline:    "connecting closed failed",
	wechatws.StateClosed:     "connecting offline closed",
	wechatws.StateFailed:     "connecting offline closed",
}

func (w *world) moved(e wechatws.StateChange) {
	if e.From != w.state {
		w.fail("states: a move from %v to %v, after one to %v", e.From, e.To, w.state)
	}
	if !strings.Contains(legal[e.From], e.To.String()) {
		w.fail("states: a move from %v to %v", e.From, e.To)
	}
	w.state = e.To
}

// received accounts for a message that reaches OnMessage.
func (w *world) received(m wechatws.Message) {
	c, n := number(m.Data, "c"), number(m.Data, "n")
	if c < 1 || c > len(w.conns) || c < w.receiving {
		w.fail("inbound: a message of connection %d after one of %d: %.60s", c, w.receiving, m.Data)
		return
	}
	w.receiving = c
	from := w.conns[c-1]
	if n != from.delivered+1 {
		w.fail("inbound: message %d of connection %d after message %d", n, c, from.delivered)
	}
	from.delivered = n
}

// lost accounts for the end of a connection that had been open.
func (w *world) lost(e wechatws.CloseEvent) {
	c := w.numbers[e.Connection]
	if c == nil || c.local || w.ended[e.Connection] {
		return
	}
	if c.held {
		return // nothing was read while the function blocked, as documented
	}
	if c.closeEnd > 0 && !c.reset && c.arrived >= c.closeEnd && (!e.Remote || int(e.Code) != c.closeCode) {
		w.fail("last words: connection %d has ended with %d (%v), and a close frame with %d had arrived", c.number, e.Code, e.Err, c.closeCode)
	}
	if c.delivered != c.arrivedMessages && !c.reset {
		w.fail("last words: %d of %d messages of connection %d have reached OnMessage: %v", c.delivered, c.arrivedMessages, c.number, e.Err)
	}
	if errors.Is(e.Err, wechatws.ErrHalfOpen) && !c.starved && !c.server.closing {
		w.fail("liveness: connection %d has ended as half-open, and its peer was well", c.number)
	}
}
