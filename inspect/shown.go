package inspect

import (
	"time"

	"github.com/wechatws/wechatws"
)

// shown is a row as sent to viewers last, with its recent values.
type shown struct {
	row
	rtts, rates           series // µs; messages in ten seconds, both ways together
	countedIn, countedOut int64  // of the row at the last tick
	look                  int64  // the last look at all rows that it was in
}

// note fills in the rates of a row, and records its numbers. ticks and passed are the ticks and
// the time since the last look at all rows.
func (t *shown) note(r *row, tick, ticks int64, passed time.Duration) {
	both := int64(unknown)
	r.inRate, r.outRate = unknown, unknown
	counted := t.rates.known > 0 && t.rates.last == tick-ticks &&
		r.in >= t.countedIn && r.out >= t.countedOut // another process may have restarted
	if counted && passed <= rateOver {
		r.inRate, r.outRate = rate(r.in-t.countedIn, passed), rate(r.out-t.countedOut, passed)
		both = r.inRate + r.outRate
	}
	if both == 0 && r.state != wechatws.StateOpen { // nothing to draw
		both = unknown
	}
	t.countedIn, t.countedOut = r.in, r.out
	t.rates.put(tick, both)
	rtt := r.rtt
	if rtt == 0 || r.state != wechatws.StateOpen { // not measured yet, or not now
		rtt = unknown
	}
	t.rtts.put(tick, rtt)
}

// rate is messages in ten seconds.
func rate(messages int64, in time.Duration) int64 {
	return int64(float64(messages)*10/in.Seconds() + 0.5)
}

// appendAll appends everything about a row, as a JSON object.
func (t *shown) appendAll(b []byte, tick int64) []byte {
	b = t.appendChanges(b, nil)
	b = append(b[:len(b)-1], `,"rtts":`...)
	b = t.rtts.appendJSON(b, tick)
	b = append(b, `,"rates":`...)
	b = t.rates.appendJSON(b, tick)
	return append(b, '}')
}
