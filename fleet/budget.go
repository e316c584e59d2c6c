package fleet

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatws/wechatws"
)

// A room's messages are published within its budget, and the rest is dropped. They are not held up
// instead: the client would stop reading, so that answers to its heartbeats and to messages with ConfirmedBy
// would wait behind the flood, and the connection would be taken for dead. So the budget must be below what a lane
// can publish, one message in each round trip to a majority of the NATS servers: docs/fleet-scale.md has figures.
const (
	defaultRoomMessages = 200
	defaultRoomBytes    = 1 << 20

	// burst is for how many seconds a room may use its budget at once.
	burst = 10

	// overBudgetEvery is the pause between two reports about a room.
	overBudgetEvery = 10 * time.Second
)

// heartbeatAnswer is the type of the answer to the heartbeat that clients have by default.
const heartbeatAnswer = "pong"

// A bucket has what may be used at once of a budget.
type bucket struct {
	rate  float64 // a second
	level float64
	at    time.Time
}

// fill adds what has come in since the last call.
func (b *bucket) fill(now time.Time) {
	if b.at.IsZero() {
		b.level = burst * b.rate
	}
	b.level = min(burst*b.rate, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// A budget is that of one room. It is guarded by the mutex of inbound.
type budget struct {
	messages, bytes bucket
	over            int       // messages dropped since the last report
	reported        time.Time // when that was
}

// allows reports whether a message is within the budget, and takes it from there.
func (b *budget) allows(now time.Time, bytes int) bool {
	b.messages.fill(now)
	b.bytes.fill(now)
	if b.messages.level < 1 || b.bytes.level < float64(bytes) {
		return false
	}
	b.messages.level--
	b.bytes.level -= float64(bytes)
	return true
}

// published reports whether a message from the room is to be published.
func (h *holding) published(m wechatws.Message) bool {
	cfg := &h.worker.cfg
	if cfg.types == nil && m.Type == heartbeatAnswer || cfg.types != nil && !slices.Contains(cfg.types, m.Type) {
		return false
	}
	h.inbound.mu.Lock()
	b := &h.inbound.budget
	b.messages.rate, b.bytes.rate = cfg.roomMessages, cfg.roomBytes
	allowed, over := b.take(time.Now(), len(m.Data))
	h.inbound.mu.Unlock()
	if !allowed {
		h.worker.counters.overBudget.Add(1)
	}
	if over > 0 {
		h.worker.report(h.id, fmt.Errorf("%d messages are not published: the room has sent more than %.0f messages or %.0f bytes a second", over, cfg.roomMessages, cfg.roomBytes))
	}
	return allowed
}

// take is allows, and returns how many messages were not within the budget if that is to be reported now.
func (b *budget) take(now time.Time, bytes int) (allowed bool, over int) {
	if b.allows(now, bytes) {
		return true, 0
	}
	b.over++
	if now.Sub(b.reported) < overBudgetEvery {
		return false, 0
	}
	over = b.over
	b.over, b.reported = 0, now
	return false, over
}
