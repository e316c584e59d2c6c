package inspect

import (
	"time"

	"github.com/wechatws/wechatws"
)

// A history is what is remembered of a client: numbers alone do not tell how it got
// there. It is not safe for concurrent use. Stats taken one after the other must be
// noted in that order.
type history struct {
	since  time.Time // when the newest state began; zero: nothing is known yet
	strip  strip
	errors recent
}

// notice notes the state that the client is in.
func (h *history) notice(s *wechatws.Stats) {
	if h.since.IsZero() {
		now := time.Now()
		if h.since = s.Since; h.since.IsZero() {
			h.since = now
		}
		h.strip.begin(h.since, now, s.State)
		return
	}
	if s.Since.IsZero() || s.Since.Before(h.since) {
		return
	}
	h.since = s.Since
	h.strip.move(s.Since, s.State)
}

// row is what viewers are told of the client.
func (h *history) row(s *wechatws.Stats) row {
	r := row{
		state: s.State, since: h.since.UnixMilli(), attempt: s.Attempt,
		attempts: s.Attempts, opens: s.Opens, drops: s.Drops,
		in: s.MessagesIn, inBytes: s.BytesIn, out: s.MessagesOut, outBytes: s.BytesOut, dropped: s.Dropped,
		queued: s.Queued, queuedBytes: s.QueuedBytes, queuedMost: s.QueuedMost,
		inbox: s.Inbox, inboxMost: s.InboxMost,
		rtt: s.SmoothedRTT.Microseconds(), worstRTT: s.WorstRTT.Microseconds(),
		strip: h.strip.text(), errors: h.errors.json(),
	}
	if !s.RetryAt.IsZero() {
		r.retryAt = s.RetryAt.UnixMilli()
	}
	return r
}
