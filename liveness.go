package wechatws

import (
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/ws"
)

const (
	// pingTimeouts is for how many timeouts a ping may be unanswered, whatever else arrives. The time
	// is longer by what has arrived since, up to maxAhead bytes, which are what buffers of the peer
	// hold, at the rate of [ws.SlowestLink].
	pingTimeouts = 6
	maxAhead     = 4 << 20
	// maxBacklog is more than the buffers of both sides hold while the client does not read. A peer
	// whose write was blocked by that has had time to read when more has arrived.
	maxBacklog = 16 << 20
)

// deadline returns when the peer will count as dead; zero: never. The caller holds mu.
func (h *heartbeat) deadline() time.Time {
	timeout := h.timeout
	if timeout == 0 {
		return time.Time{}
	}
	life := h.link.life()
	at := h.silentUntil(life)
	if !life.Waits.Equal(h.waits) {
		h.waits, h.waitsAt = life.Waits, life.Arrived
	}
	if !h.waits.IsZero() { // it takes nothing, whatever it sends
		at = earlier(at, h.counted(h.waits, life.Arrived-h.waitsAt, h.reads).Add(timeout))
	}
	if !h.asked.IsZero() && h.link.client.answersPings.Load() {
		at = earlier(at, h.answeredBy(life))
	}
	return at
}

// silentUntil returns when the peer will have been silent for too long. The caller holds mu.
func (h *heartbeat) silentUntil(life ws.Life) time.Time {
	timeout, heard := h.timeout, h.counted(life.Heard, 0, h.from)
	switch {
	case h.link.received().After(h.from):
		h.probing = false
	case heard.Equal(h.from) && h.probing: // otherwise the socket takes data, which is no answer to a probe
		timeout /= 2
	}
	return heard.Add(timeout)
}

// answeredBy returns when the peer must have answered a ping. It cannot before the ping has reached
// it; and a large message of its own may be ahead of the pong. The caller holds mu.
func (h *heartbeat) answeredBy(life ws.Life) time.Time {
	if life.Acked <= h.askedAt {
		h.asked, h.arrived = time.Now(), life.Arrived
	}
	arrived := life.Arrived - h.arrived
	ahead := time.Duration(min(arrived, maxAhead)) * time.Second / ws.SlowestLink
	return h.counted(h.asked, arrived, h.reads).Add(pingTimeouts*h.timeout + ahead)
}

// counted returns when the time from at begins to count, if so many bytes have arrived in it: not
// before from. Time in which the link does not read counts only if it has read a backlog since. The
// caller holds mu.
func (h *heartbeat) counted(at time.Time, arrived int64, from time.Time) time.Time {
	switch {
	case arrived > maxBacklog:
		return at
	case h.link.stalled.Load():
		return time.Now()
	case at.After(from):
		return at
	}
	return from
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// received returns when bytes last arrived; without a socket, a message or a pong.
func (l *link) received() time.Time {
	if l.socket != nil {
		return l.socket.LastRead()
	}
	return l.conn.(*boundary.Conn).LastHeard()
}

// partial returns when bytes of an incomplete message last arrived; zero without such a message
// or without a socket. Control frames between its fragments count as its bytes.
func (l *link) partial() time.Time {
	if l.socket == nil || !l.conn.Partial() {
		return time.Time{}
	}
	return l.received()
}

// taken returns when the peer last took bytes that had waited for long; zero: never, or unknown.
func (l *link) taken() time.Time {
	if l.socket == nil {
		return time.Time{}
	}
	return l.socket.LastTaken()
}
