package inspect

import (
	"time"

	"github.com/wechatws/wechatws"
)

// A history is the recent past of a client: its states and errors. It is not safe for
// concurrent use.
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

// move records a state that was entered, unless it is older than the newest known one.
func (h *history) move(at time.Time, state wechatws.State) {
	if at.Before(h.since) {
		return
	}
	h.since = at
	h.strip.move(at, state)
}

// row returns what viewers receive of the client.
func (h *history) row(s *wechatws.Stats) row {
	r := row{
		state: s.State, since: h.since.UnixMilli(), attempt: s.Attempt,
		attempts: s.Attempts, opens: s.Opens, disconnects: s.Disconnects,
		in: s.MessagesIn, inBytes: s.BytesIn, out: s.MessagesOut, outBytes: s.BytesOut, dropped: s.Dropped,
		queued: s.Queued, queuedBytes: s.QueuedBytes, maxQueued: s.MaxQueued,
		inbox: s.Inbox, maxInbox: s.MaxInbox,
		rtt: s.SmoothedRTT.Microseconds(), maxRTT: s.MaxRTT.Microseconds(),
		strip: h.strip.text(), errors: h.errors.json(),
	}
	if !s.Since.IsZero() { // the callback for it may not have run yet
		r.since = s.Since.UnixMilli()
	}
	if !s.RetryAt.IsZero() {
		r.retryAt = s.RetryAt.UnixMilli()
	}
	return r
}
