package inspect

import (
	"time"

	"github.com/wechatws/wechatws"
)

// A history is what is remembered of a client: numbers alone do not tell how it got
// there. It is not safe for concurrent use.
type history struct {
	since  time.Time // when the newest state began that is known; zero: none is
	strip  strip
	errors recent
}

// notice notes the state that a client is in.
func (h *history) notice(s *wechatws.Stats) {
	if !h.since.IsZero() {
		h.move(s.Since, s.State)
		return
	}
	now := time.Now()
	if h.since = s.Since; h.since.IsZero() { // it has never been connected
		h.since = now
	}
	h.strip.begin(h.since, now, s.State)
}

// move notes a state that was entered. What is older than what is known is known.
func (h *history) move(at time.Time, state wechatws.State) {
	if at.Before(h.since) {
		return
	}
	h.since = at
	h.strip.move(at, state)
}

// row is what viewers are told of the client.
func (h *history) row(s *wechatws.Stats) row {
	r := row{
		state: s.State, since: h.since.UnixMilli(), attempt: s.Attempt,
		attempts: s.Attempts, opens: s.Opens, drops: s.Disconnects,
		in: s.MessagesIn, inBytes: s.BytesIn, out: s.MessagesOut, outBytes: s.BytesOut, dropped: s.Dropped,
		queued: s.Queued, queuedBytes: s.QueuedBytes, queuedMost: s.MaxQueued,
		inbox: s.Inbox, inboxMost: s.MaxInbox,
		rtt: s.SmoothedRTT.Microseconds(), worstRTT: s.MaxRTT.Microseconds(),
		strip: h.strip.text(), errors: h.errors.json(),
	}
	if !s.Since.IsZero() { // a callback may not have been told yet
		r.since = s.Since.UnixMilli()
	}
	if !s.RetryAt.IsZero() {
		r.retryAt = s.RetryAt.UnixMilli()
	}
	return r
}
