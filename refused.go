package wechatws

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A peer that does not accept a message ends the connection with one of four close codes, which
// do not say which message it was. A message that was written in part, or that waits for its
// confirmation, is written again on the next connection, and would end that one too, and so on
// for ever.
//
// So the next connection begins with a quiet time, in which a refusal of the login or of an
// AfterConnect function arrives, and messages that may have been refused become suspects. The next
// writing of a suspect is a trial: for quietTime before it no message and no heartbeat is written,
// nor for quietTime after it. If the connection ends with such a code during the trial, and no
// heartbeat was written since, the suspect is refused, and dropped; otherwise it is cleared. It is
// also cleared when a connection ends before the trial: then the peer has refused something else,
// and with short connections nothing would ever be sent.
//
// With 1008 servers also refuse a client, because of a rate limit, an expired token or a ban, and
// during that time whichever message is on trial is refused. So a message is dropped for 1008 only
// after the refusals that would end a client: three in a row, during permanentAfter. A refusal
// during a trial does not end the client. If the socket has taken all of a message of Send, it
// counts as written. A call of Request returns after the first trial, since its caller waits.

// quietTime is how long nothing is written before and after a suspect: longer than the round
// trip that a refusal takes. After a message of SendConfirmed it is the [ConfirmTimeout] if
// that is longer; what is sent again then is the same message.
const quietTime = time.Second

// refuses reports whether code is one with which a peer refuses a message.
func refuses(code StatusCode) bool {
	switch code {
	case StatusUnsupportedData, StatusInvalidFramePayloadData, StatusPolicyViolation, StatusMessageTooBig:
		return true
	}
	return false
}

// A refusal is the cause of a DroppedError: the close code with which the peer refuses the message.
type refusal StatusCode

func (r refusal) Error() string {
	return "refused by the peer with close code " + StatusCode(r).String()
}

func (r refusal) Is(target error) bool {
	return target == ErrRefused || target == ErrMessageTooBig && StatusCode(r) == StatusMessageTooBig
}

// A suspicion is what a writer knows of messages that the peer may refuse.
type suspicion struct {
	quietFirst  bool      // the first message waits for quietTime
	wrote       bool      // messages were given to the connection
	cut         *queued   // was written in part when a write failed
	suspect     *queued   // waits for its trial
	trial       *queued   // was written alone
	lastMessage time.Time // when the link was attached, or a message was written
	beaten      time.Time // when a heartbeat, or messages of Keep, were last given to the connection
	beatSize    int       // their size in bytes
	kept        int       // how many of Keep they were; 0: it was a heartbeat
	firstBeat   time.Time // when the first heartbeat was
	first       *Outbound // that heartbeat
	noBeat      time.Time // until when heartbeats wait
	quiet       *time.Timer
}

// suspected returns the mark of a suspect: that of the call of SendConfirmed, if the message
// is a try of one.
func (m *outgoing) suspected() *atomic.Bool {
	if m.of != nil {
		return &m.of.suspect
	}
	return &m.suspect
}

// mayWrite reports whether a message may be written now, behind n others in a batch. The
// outbox calls it with the writer's mutex held.
func (l *link) mayWrite(m *queued, n int) bool {
	w, suspect := &l.writer, m.Value.suspected()
	switch {
	case n == 0 && w.trial == nil && l.client.keeps.n.Load() > 0 && !suspect.Load():
		return false // these are written first
	case w.trial == nil && !w.quietFirst && !suspect.Load():
		return true
	case n > 0:
		return false
	case w.trial != nil && m.Value.of != nil && m.Value.of == w.trial.Value.of: // the trial goes on
		return true
	}
	quiet, passed := quietTime, l.quietFor()
	switch {
	case w.trial == nil:
		beat := time.Since(w.beaten)
		passed = min(passed, beat)
		w.noBeat = time.Now().Add(quiet - min(beat, time.Since(w.lastMessage))) // however long the inbox is full
	case w.trial.Value.of != nil:
		quiet = max(quiet, w.trial.Value.of.timeout)
	}
	if left := quiet - passed; left > 0 {
		if w.trial == nil && suspect.Load() {
			w.suspect = m
		}
		if w.quiet == nil {
			l.awaitQuiet(left)
		}
		return false
	}
	w.quietFirst = false
	if w.trial != nil {
		w.trial.Value.suspected().Store(false)
		w.trial = nil
	}
	if suspect.Load() {
		w.suspect, w.trial = nil, m
		w.noBeat = time.Now().Add(quietTime)
	}
	return true
}

// mayBeat reports whether a heartbeat that is due may be written now: it must wait for the end of a
// quiet time. It is called with the writer's mutex held.
func (l *link) mayBeat() bool {
	left := time.Until(l.writer.noBeat)
	if left > 0 {
		l.awaitQuiet(left)
	}
	return left <= 0
}

// writeBeat gives a heartbeat to the connection, unless none can be made.
func (l *link) writeBeat() error {
	m := l.heartbeat.beat()
	if m == nil {
		return nil
	}
	l.beats(m)
	return l.writeMessage(m)
}

// beats is called when a heartbeat is about to be written.
func (l *link) beats(m *Outbound) {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beaten, w.beatSize, w.kept = time.Now(), len(m.Data), 0
	if w.first == nil {
		w.firstBeat, w.first = w.beaten, m
	}
}

// maxStall is for how long a quiet time waits for the inbox: where callbacks are slower than the
// server, that is full again and again.
const maxStall = time.Minute

// quietFor returns for how long nothing was written, and a refusal could be read. It is called with
// the writer's mutex held.
func (l *link) quietFor() time.Duration {
	quiet := time.Since(l.writer.lastMessage)
	return max(min(quiet, time.Since(l.heartbeat.reading())), quiet-maxStall)
}

// awaitQuiet has the writer started after d. It is called with the writer's mutex held.
func (l *link) awaitQuiet(d time.Duration) {
	l.writer.stopQuiet()
	l.writer.quiet = time.AfterFunc(d, l.endQuiet)
}

// endQuiet starts the writer at the end of the quiet time. A timer calls it.
func (l *link) endQuiet() {
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	l.writer.stopQuiet()
	l.startWriter()
}

// stopQuiet stops the timer of the quiet time. It is called with mu held.
func (w *writer) stopQuiet() {
	if w.quiet != nil {
		w.quiet.Stop()
		w.quiet = nil
	}
}

// endSuspicion is called when the link is detached, with the writer's mutex held.
func (l *link) endSuspicion() {
	w := &l.writer
	w.stopQuiet()
	if w.trial == nil && w.suspect != nil {
		w.suspect.Value.suspected().Store(false)
	}
}

// endTrial ends the trial of a call of SendConfirmed, if there is one, when it is confirmed or
// given up.
func (l *link) endTrial(of *confirmation) {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trial != nil && w.trial.Value.of == of {
		w.trial = nil
		w.stopQuiet()
		l.startWriter()
	}
}

// refused is called when the peer has ended l with a code that refuses a message, before the next
// connection is made. It reports whether the message on trial was refused.
func (c *Client) refused(l *link, code StatusCode) bool {
	w := &l.writer
	w.mu.Lock()
	cut, trial, quiet := w.cut, w.trial, l.quietFor()
	// If a heartbeat that is no larger is too big, so is the message.
	alone := w.beaten.Before(w.noBeat) ||
		code == StatusMessageTooBig && trial != nil && w.beatSize <= len(trial.Value.Data)
	alone = alone && w.noBeat.Sub(w.replied) > 2*quietTime // it may have refused a reply
	w.trial = nil
	w.mu.Unlock()
	if cut != nil {
		if left, _ := c.outbox.Fate(cut); left { // its caller has withdrawn it
			cut = nil
		}
	}
	if trial == nil {
		if cut != nil {
			cut.Value.suspected().Store(true)
		}
		if first := c.confirmations.first(); first != nil && first.wasWrittenTo(l) {
			first.suspect.Store(true)
		}
		return false
	}
	m := &trial.Value
	waits := m.request != nil && m.of == nil // a call of Request
	_, err := c.outbox.Fate(trial)
	switch {
	case !alone:
		return false
	case trial != cut && m.of == nil && (err != nil || code == StatusPolicyViolation || quiet >= quietTime):
		return false // it was dropped, or not refused
	case code == StatusPolicyViolation && !waits && !c.refusals.last(trial, c.cfg.permanentAfter):
	case m.request != nil:
		m.request.fail(&DroppedError{Err: refusal(code), Messages: []Outbound{m.handedBack()}})
		c.outbox.Withdraw(trial)
	case trial == cut:
		c.outbox.Drop(trial, refusal(code))
	default: // the socket had taken all of it
		c.dropped(m.handedBack(), refusal(code))
	}
	return true
}

// refusals are those of one message with 1008, in a row.
type refusals struct {
	place uint64 // of the message, in the order of the outbox
	times int
	since time.Time
}

// last counts a refusal of m, and reports whether they have lasted.
func (s *refusals) last(m *queued, permanentAfter time.Duration) bool {
	place := m.Place()
	if m.Value.of != nil {
		place = m.Value.of.place
	}
	if s.times == 0 || s.place != place {
		*s = refusals{place: place, since: time.Now()}
	}
	s.times++
	return s.times >= patience && time.Since(s.since) >= permanentAfter
}

// lastWritten returns what the peer may refuse with code because nothing else was written to it, or
// not for quietTime: the login and messages of AfterConnect, or a heartbeat. It returns nil if
// it may be a message of the queue.
func (l *link) lastWritten(code StatusCode) error {
	if !refuses(code) {
		return nil
	}
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.beaten.IsZero():
		alone := !w.wrote || len(w.batch) == 0 && w.beaten.Sub(w.lastMessage) >= quietTime
		switch {
		case !alone || time.Since(w.beaten) >= quietTime:
		case w.kept > 0:
			return fmt.Errorf("%s of Keep (%s) were written last", count(w.kept, "message"), count(w.beatSize, "byte"))
		default:
			return fmt.Errorf("a heartbeat of %s was written last", count(w.beatSize, "byte"))
		}
	case !w.wrote && l.greeting.any():
		return fmt.Errorf("only %v was written", l.greeting)
	}
	return nil
}

// endsAtBeat returns the heartbeat that l, which the peer ends, has just sent, if it was the first
// one; nil otherwise. A connection that has outlived one does not end because of the next.
func (l *link) endsAtBeat() *Outbound {
	w := &l.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil || time.Since(w.firstBeat) >= quietTime {
		return nil
	}
	return w.first
}

// blameBeat reports, once, a peer that ends one connection after the other at the first heartbeat
// (the beat of cause), whatever the close code. It is called at the end of each connection that was open, with the
// client's mutex held.
func (c *Client) blameBeat(cause *CloseError) {
	if cause.beat == nil {
		c.endedAtBeat = 0
		return
	}
	if c.endedAtBeat++; c.endedAtBeat == patience {
		c.reportLater(c.session, fmt.Errorf("wechatws: the server has ended %d connections in a row within %v of the first heartbeat, a %v: "+
			"if it does not accept that, WithHeartbeat sets another one, and WithoutHeartbeat none", patience, quietTime, cause.beat))
	}
}
