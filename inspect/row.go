package inspect

import (
	"encoding/json"
	"strconv"

	"github.com/wechatws/wechatws"
)

// A row is what viewers are told of one client. Rows are compared with ==, so that
// only what has changed is sent.
type row struct {
	id, name       string
	where          string // as in Row
	here           bool   // it is a client of this process, and can be reconnected
	state          wechatws.State
	since, retryAt int64 // unix ms; retryAt is 0 outside of StateWaiting
	attempt        int

	attempts, opens int
	drops           wechatws.Disconnects

	in, inBytes, out, outBytes, dropped int64

	queued, queuedBytes, queuedMost, inbox, inboxMost int

	rtt, worstRTT int64 // µs

	strip  string // strip.text
	errors string // recent.json

	// Filled in by the feed, from the numbers of two looks: messages in ten
	// seconds, or unknown.
	inRate, outRate int64
}

// unknown is a rate that has not been measured.
const unknown = -1

// appendChanges appends a JSON object with what differs from a row that the viewer
// has, and with everything when had is nil. The names are those that page.html uses,
// and the only place where they are told.
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
	f.number(`,"drops_closed":`, int64(r.drops.Closed), int64(had.drops.Closed))
	f.number(`,"drops_lost":`, int64(r.drops.Lost), int64(had.drops.Lost))
	f.number(`,"drops_half_open":`, int64(r.drops.HalfOpen), int64(had.drops.HalfOpen))
	f.number(`,"drops_protocol":`, int64(r.drops.Protocol), int64(had.drops.Protocol))
	f.number(`,"drops_local":`, int64(r.drops.Local), int64(had.drops.Local))
	f.number(`,"in":`, r.in, had.in)
	f.number(`,"in_bytes":`, r.inBytes, had.inBytes)
	f.rate(`,"in_rate":`, r.inRate, had.inRate)
	f.number(`,"out":`, r.out, had.out)
	f.number(`,"out_bytes":`, r.outBytes, had.outBytes)
	f.rate(`,"out_rate":`, r.outRate, had.outRate)
	f.number(`,"dropped":`, r.dropped, had.dropped)
	f.number(`,"queued":`, int64(r.queued), int64(had.queued))
	f.number(`,"queued_bytes":`, int64(r.queuedBytes), int64(had.queuedBytes))
	f.number(`,"queued_most":`, int64(r.queuedMost), int64(had.queuedMost))
	f.number(`,"inbox":`, int64(r.inbox), int64(had.inbox))
	f.number(`,"inbox_most":`, int64(r.inboxMost), int64(had.inboxMost))
	f.number(`,"rtt_us":`, r.rtt, had.rtt)
	f.number(`,"worst_rtt_us":`, r.worstRTT, had.worstRTT)
	if f.all || r.strip != had.strip {
		f.raw(`,"strip":"`, r.strip) // letters, digits and a colon
		f.b = append(f.b, '"')
	}
	if f.all || r.errors != had.errors {
		f.raw(`,"errors":`, r.errors)
	}
	return append(f.b, '}')
}

// fields are written by hand because they are the larger part of what a viewer
// costs: reflection over a thousand rows takes several times as long.
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
