package liveroomtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Quirks are how a backend behaves. The zero value is as plain as it can be; a
// Node backend is like that.
type Quirks struct {
	// NumbersAsStrings writes counts as strings: "online_num":"12".
	NumbersAsStrings bool
	// EscapedText writes everything that is not ASCII as \uXXXX, and / as \/.
	EscapedText bool
	// EmptyList is what stands for a message_list without comments: [], {} or
	// null. Empty leaves the field out.
	EmptyList string
	// HistoryName calls a comment's author name in a message_list, instead of
	// from_name.
	HistoryName bool
	// HistorySize is how many comments a message_list has at most. 20 by default.
	HistorySize int
	// SayWho puts from_uid, from_name and client_id into what is broadcast.
	SayWho bool
	// NoEcho does not send a comment back to who made it.
	NoEcho bool
	// ClientID is given to every connection. By default each gets one of its own.
	ClientID string

	// SessionDelay is how long the messages behind a join may find the session from
	// before it. A GatewayWorker stores the session when the handler of the join has
	// returned, after the broadcast: a client that sends several messages as soon as
	// it has received the broadcast has the first one accepted, and those that follow it
	// within the delay answered with {"msg_type":"error","msg_content":"not in a room"}.
	// Zero is for servers that handle the messages of a connection one at a time.
	SessionDelay time.Duration

	// CloseFrames ends connections with a close frame (1001), and not with a bare
	// FIN.
	CloseFrames bool
	// KickAfter is how long a client may be silent before its connection is
	// ended. Zero is for ever.
	KickAfter time.Duration
	// PingsCount takes protocol pings for signs of life, too. Otherwise only
	// messages are.
	PingsCount bool
	// Linger is how long it takes to notice that a connection is gone. Until then
	// it counts as a viewer, and then its leave is broadcast.
	Linger time.Duration
	// SendBuffer is how many bytes may wait for a client that does not read. What
	// is more is thrown away without a word. 1 MiB by default.
	SendBuffer int
	// Recovery is how long connections are accepted and cut in the handshake
	// after a start.
	Recovery time.Duration
}

// GatewayWorker are the quirks of the usual backend, in PHP, with the heartbeat
// set to 10 s.
func GatewayWorker() Quirks {
	return Quirks{
		NumbersAsStrings: true,
		EscapedText:      true,
		EmptyList:        "[]",
		HistoryName:      true,
		SessionDelay:     50 * time.Millisecond,
		KickAfter:        15 * time.Second,
		Linger:           5 * time.Second,
		Recovery:         100 * time.Millisecond,
	}
}

// count is a count as it is written.
func (q *Quirks) count(n int) any {
	if q.NumbersAsStrings {
		return strconv.Itoa(n)
	}
	return n
}

// encode writes a message as this backend does.
func (q *Quirks) encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("liveroomtest: cannot encode %T: %v", v, err)) // its own messages
	}
	data := bytes.TrimSpace(b.Bytes())
	if !q.EscapedText {
		return data
	}
	var escaped []byte // all of it is inside strings
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == '/':
			escaped = append(escaped, `\/`...)
		case r >= 0x10000:
			r -= 0x10000
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case r >= utf8.RuneSelf:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			escaped = append(escaped, data[:n]...)
		}
		data = data[n:]
	}
	return escaped
}
