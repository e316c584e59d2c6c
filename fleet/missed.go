package fleet

import (
	"cmp"
	"fmt"

	"github.com/wechatws/wechatws"
)

// missed counts messages that the client of a room has received and that are not published, because the
// client was closed. They are reported together when the client has ended, since there may be thousands.
type missed struct {
	n     int
	why   error // of the first one that has waited; nil: none has
	ended bool  // the client has
}

// miss counts a message that is not published, since the room is being given up. waits is why it was not
// published before, or nil.
func (h *holding) miss(waits error) {
	h.worker.counters.unpublished.Add(1)
	h.inbound.mu.Lock()
	m := &h.inbound.missed
	m.n++
	m.why = cmp.Or(m.why, waits)
	ended := m.ended
	h.inbound.mu.Unlock()
	if ended { // its last events have overtaken messages that were just being read
		h.reportMissed()
	}
}

// discarded is called with a message that reaches no callback, since the client was closed before. If the
// room is being given up, it may be published all the same.
func (h *holding) discarded(m wechatws.Message) {
	if h.ctx.Err() != nil {
		h.publish(h.ctx, m)
	} else if h.published(m) {
		h.miss(nil)
	}
}

// moved is called when the state of the client has changed, after the callbacks of all messages before.
func (h *holding) moved(to wechatws.State) {
	ended := to == wechatws.StateClosed || to == wechatws.StateFailed
	h.inbound.mu.Lock()
	h.inbound.missed.ended = ended
	h.inbound.mu.Unlock()
	if ended {
		h.reportMissed()
	}
}

func (h *holding) reportMissed() {
	h.inbound.mu.Lock()
	m := &h.inbound.missed
	n, why := m.n, m.why
	m.n, m.why = 0, nil
	h.inbound.mu.Unlock()
	if n == 0 {
		return
	}
	lost := h.guard()
	select {
	case <-h.t.s.over: // a moment before guard returns an error
		lost = ErrLeaseLost
	default:
	}
	h.worker.report(h.id, fmt.Errorf("%d messages that were received are not published: %w", n, cmp.Or(lost, why, wechatws.ErrClosed)))
}
