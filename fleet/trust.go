package fleet

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

// A NATS server checks the permission to publish to the subject of a request, and not to its reply
// subject, to which the server itself publishes the answer. So any user that may send a request can make
// the server publish an answer to any subject of its account: an answer of the API, which has no headers,
// or a stored message, which has its own headers and those of the answer. The functions below recognize
// such messages, so that they have no effect.

// headerRequest has the question of a request to workers, which no answer of NATS has.
const headerRequest = "Fleet-Request"

// request returns a request to workers.
func request(subject, question string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Header.Set(headerRequest, question)
	return m
}

// asks reports whether a message is a request made by request.
func asks(m *nats.Msg, question string) bool {
	return m.Header.Get(headerRequest) == question && !replayed(m.Header)
}

// replayed reports whether a message is an answer of NATS with a stored message.
func replayed(h nats.Header) bool { return h.Get(jetstream.SequenceHeader) != "" }

// errNotSent is about a message in the stream to rooms that was not stored by Send for its room.
var errNotSent = errors.New("it was not sent to this room by Send")

// parseClaim decodes the claim of a shard with a revision. One that does not name the shard is garbled.
func parseClaim(value []byte, shard int, rev uint64) claim {
	c := claim{Shard: -1, state: decision.Valid}
	if json.Unmarshal(value, &c) != nil || c.Shard != shard {
		c = claim{Shard: shard, state: decision.Garbled}
	}
	c.rev = rev
	return c
}

// parseRecord decodes the record of a room, or returns nil if value is not one of this room.
func parseRecord(value []byte, room string) *record {
	r := &record{}
	if json.Unmarshal(value, r) != nil || r.ID == "" {
		return nil
	}
	if utf8.ValidString(room) && r.ID != room {
		return nil
	}
	r.ID = room // in JSON it must be UTF-8
	if r.check() != nil {
		return nil
	}
	if wantWorkerName(r.Pin) != "" { // no worker has that name
		r.Pin = ""
	}
	return r
}

// parseMember decodes the value of a session's key, or returns nil if it has no worker.
func parseMember(value []byte) *member {
	m := &member{}
	if json.Unmarshal(value, m) != nil || wantWorkerName(m.Name) != "" {
		return nil
	}
	m.Host = cleaned(m.Host)
	return m
}

// cleaned returns the name of a host without control characters, and no more than the longest name of DNS.
func cleaned(host string) string {
	host = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, host[:min(len(host), 253)])
	return strings.ToValidUTF8(host, "")
}
