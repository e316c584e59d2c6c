package wechatws

import "time"

// A peer that refuses a message as too big ends the connection with close code 1009, which
// does not say which message it was. A message that was written in part, or that waits for
// its confirmation, is written again on the next connection, and would end that one too,
// and so on for ever.
//
// So after a 1009 such a message becomes a suspect. Its next writing is a trial: for
// quietTime before it nothing is written, so that a refusal of the login or of an earlier
// message has arrived, and nothing for quietTime after it. If the connection ends with 1009
// during the trial, the suspect is dropped; otherwise it is cleared. It is also cleared
// when a connection ends before the trial, since with short connections nothing would ever
// be sent.

// quietTime is how long nothing is written before and after a suspect: longer than the round
// trip that a refusal takes. After a message of SendConfirmed it is the [ConfirmTimeout] if
// that is longer.
const quietTime = time.Second

// origin returns the message of SendConfirmed that m is a try of, or m itself.
func (m *outgoing) origin() *outgoing {
	if m.of != nil {
		return m.of
	}
	return m
}

// holds reports whether no waiting message may be written now, because of a suspect. It is
// called with mu held, for the link that is attached.
func (q *queue) holds(l *link) bool {
	first := q.waiting.first
	if first == nil || q.trial == nil && !first.origin().suspect {
		return false
	}
	if len(q.inFlight) > 0 { // the writer calls take when these are written
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

// endQuiet starts the writer of l at the end of the quiet time. A timer calls it.
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

// stopQuiet stops the timer of the quiet time. It is called with mu held.
func (q *queue) stopQuiet() {
	if q.quietTimer != nil {
		q.quietTimer.Stop()
		q.quietTimer = nil
	}
}

// endTrial ends the trial of m, if there is one, when m is confirmed or given up. It is
// called with mu held.
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
	if cut != nil && !cut.waits { // its caller has withdrawn it
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
		m.gone, m.err = true, refusedByPeer(m)
		q.unconfirmed.remove(m)
		q.unconfirmedBytes -= m.size
		if cut != nil {
			q.remove(cut, m.err)
		}
		q.change()
	case m == cut && m.request != nil:
		q.remove(m, refusedByPeer(m))
	case m == cut:
		q.drop(m, ErrMessageTooBig)
	case m.err != nil || time.Since(q.quietSince) >= quietTime:
	case m.request != nil: // the socket had taken all of it
		m.request.fail(refusedByPeer(m))
	default: // as above
		q.dropped(m.handedBack(), ErrMessageTooBig)
	}
}

// refusedByPeer is the error that the call which waits for m returns.
func refusedByPeer(m *outgoing) error {
	return &DroppedError{Err: ErrMessageTooBig, Messages: []Outbound{m.handedBack()}}
}
