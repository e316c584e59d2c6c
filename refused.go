package wechatws

import "time"

// A peer that refuses a message as too big ends the connection with close code 1009, and
// does not say which one it was. If the message was written in part, or waits for its
// confirmation, it goes out again on the next connection, which would end the same way,
// for ever. So what may have been it becomes a suspect. A suspect is written alone: the
// connection has been quiet for a while before, so that a refusal of the login or of other
// messages has come, and for a while afterwards. If the connection ends with 1009 again,
// it was this message, which is dropped. If it lives, it was another one. A connection that
// ends before the suspect could be written clears it as well, since where connections are
// short nothing would ever be sent.

// quietTime is how long nothing is written before and after a suspect. A refusal takes a
// round trip. Behind a message of SendConfirmed it is the time that its confirmation may take.
const quietTime = time.Second

// origin is the message of SendConfirmed that m is a try of, or m itself.
func (m *outgoing) origin() *outgoing {
	if m.of != nil {
		return m.of
	}
	return m
}

// holds reports whether nothing that waits may be written now, because of a suspect. It
// is called with mu held.
func (q *queue) holds(l *link) bool {
	first := q.waiting.first
	if first == nil || q.trial == nil && !first.origin().suspect {
		return false
	}
	if len(q.inFlight) > 0 { // the writer asks again
		return true
	}
	quiet := quietTime
	if q.trial != nil {
		quiet = max(quiet, q.trial.confirmTimeout)
	}
	left := quiet - time.Since(q.quietSince)
	if left <= 0 {
		if q.trial != nil {
			q.trial.suspect, q.trial = false, nil
		}
		return false
	}
	if q.quietTimer == nil {
		q.quietTimer = time.AfterFunc(left, func() { q.endQuiet(l) })
	}
	return true
}

// endQuiet has l go on when nothing was written for long enough.
func (q *queue) endQuiet(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.link != l {
		return
	}
	q.stopQuiet()
	if q.ready(l) {
		l.startWriter()
	}
}

// stopQuiet is called with mu held.
func (q *queue) stopQuiet() {
	if q.quietTimer != nil {
		q.quietTimer.Stop()
		q.quietTimer = nil
	}
}

// endTrial is called with mu held when m is confirmed or given up.
func (q *queue) endTrial(m *outgoing) {
	if q.trial != m {
		return
	}
	q.trial = nil
	q.stopQuiet()
	if l := q.link; l != nil && q.ready(l) {
		l.startWriter()
	}
}

// refused is called when the peer has ended l with StatusMessageTooBig, before the next
// connection is made.
func (q *queue) refused(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cut := l.cut
	if cut != nil && !cut.waits { // its caller has taken it back
		cut = nil
	}
	m := q.trial
	q.trial = nil
	unconfirmed := q.unconfirmed.first
	switch {
	case m == nil:
		if cut != nil {
			cut.origin().suspect = true
		}
		if unconfirmed != nil && unconfirmed.link == l {
			unconfirmed.suspect = true
		}
	case m == unconfirmed:
		m.gone = true
		m.err = &DroppedError{Err: ErrMessageTooBig, Messages: []Outbound{m.handedBack()}}
		q.unconfirmed.remove(m)
		q.unconfirmedBytes -= m.size
		if cut != nil {
			q.remove(cut, m.err)
		}
		q.change()
	case m == cut:
		q.drop(m, ErrMessageTooBig)
	case m.err == nil && time.Since(q.quietSince) < quietTime: // the socket had taken all of it
		q.dropped(m.handedBack(), ErrMessageTooBig)
	}
}
