package inspect

import (
	"encoding/json"
	"strconv"

	"github.com/wechatws/wechatws"
)

// A row is what viewers receive of one client. Rows are compared with ==, so that
// only changes are sent.
type row struct {
	id, name       string
	where          string // as in Row
	here           bool   // it is a client of this process, and can be reconnected
	state          wechatws.State
	since, retryAt int64 // unix ms; retryAt is 0 outside of StateWaiting
	attempt        int

	attempts, opens int
	disconnects     wechatws.Disconnects

	in, inBytes, out, outBytes, dropped int64

	queued, queuedBytes, maxQueued, inbox, maxInbox int

	rtt, maxRTT int64 // µs

	strip  string // strip.text
	errors string // recent.json

	// Filled in by the feed, from the numbers of two looks: messages in ten
	// seconds, or unknown.
	inRate, outRate int64
}

// unknown is a rate that has not been measured.
const unknown = -1

// appendChanges appends a JSON object with the fields that differ from had, the row that the
// viewer has, or with all fields if had is nil. The names are those that page.html uses, and
// appear only here.
func (r *row) appendChanges(b []byte, had *row) []byte {
	f := fields{b: append(append(append(b, `{"id":"`...), r.id...), '"'), all: had == nil} // digits and a slash
	if had == nil {
		had = &row{}
	}
	if f.all || r.name != had.name {
		f.raw(`,"name":`, string(quoted(r.name)))
	}
	if f.all || r.where != had.where {
		f.raw(`,"where":`, string(quoted(r.where)))
	}
	if f.all || r.here != had.here {
		f.raw(`,"here":`, strconv.FormatBool(r.here))
	}
	if f.all || r.state != had.state {
		f.raw(`,"state":`, string(quoted(r.state.String())))
	}
	f.number(`,"since":`, r.since, had.since)
	f.number(`,"retry_at":`, r.retryAt, had.retryAt)
	f.number(`,"attempt":`, int64(r.attempt), int64(had.attempt))
	f.number(`,"attempts":`, int64(r.attempts), int64(had.attempts))
	f.number(`,"opens":`, int64(r.opens), int64(had.opens))
	f.number(`,"disconnects_closed":`, int64(r.disconnects.Closed), int64(had.disconnects.Closed))
	f.number(`,"disconnects_lost":`, int64(r.disconnects.Lost), int64(had.disconnects.Lost))
	f.number(`,"disconnects_half_open":`, int64(r.disconnects.HalfOpen), int64(had.disconnects.HalfOpen))
	f.number(`,"disconnects_protocol":`, int64(r.disconnects.Protocol), int64(had.disconnects.Protocol))
	f.number(`,"disconnects_local":`, int64(r.disconnects.Local), int64(had.disconnects.Local))
	f.number(`,"in":`, r.in, had.in)
	f.number(`,"in_bytes":`, r.inBytes, had.inBytes)
	f.rate(`,"in_rate":`, r.inRate, had.inRate)
	f.number(`,"out":`, r.out, had.out)
	f.number(`,"out_bytes":`, r.outBytes, had.outBytes)
	f.rate(`,"out_rate":`, r.outRate, had.outRate)
	f.number(`,"dropped":`, r.dropped, had.dropped)
	f.number(`,"queued":`, int64(r.queued), int64(had.queued))
	f.number(`,"queued_bytes":`, int64(r.queuedBytes), int64(had.queuedBytes))
	f.number(`,"max_queued":`, int64(r.maxQueued), int64(had.maxQueued))
	f.number(`,"inbox":`, int64(r.inbox), int64(had.inbox))
	f.number(`,"max_inbox":`, int64(r.maxInbox), int64(had.maxInbox))
	f.number(`,"rtt_us":`, r.rtt, had.rtt)
	f.number(`,"max_rtt_us":`, r.maxRTT, had.maxRTT)
	if f.all || r.strip != had.strip {
		f.raw(`,"strip":"`, r.strip) // letters, digits and a colon
		f.b = append(f.b, '"')
	}
	if f.all || r.errors != had.errors {
		f.raw(`,"errors":`, r.errors)
	}
	return append(f.b, '}')
}

// fields encodes by hand, since encoding is the larger part of the cost of a viewer:
// reflection over a thousand rows takes several times as long.
type fields struct {
	b   []byte
	all bool
}

func (f *fields) raw(name, value string) { f.b = append(append(f.b, name...), value...) }

func (f *fields) number(name string, now, had int64) {
	if f.all || now != had {
		f.b = strconv.AppendInt(append(f.b, name...), now, 10)
	}
}

func (f *fields) rate(name string, now, had int64) {
	switch {
	case !f.all && now == had:
	case now == unknown:
		f.raw(name, "null")
	default:
		f.b = strconv.AppendInt(append(f.b, name...), now/10, 10)
		if now%10 != 0 {
			f.b = append(f.b, '.', byte('0'+now%10))
		}
	}
}

func quoted(s string) []byte {
	b, _ := json.Marshal(s) // a string always has JSON
	return b
}
