package liveroomtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Quirks describe how a backend behaves. They are data rather than options of
// [NewBackend]: a description of one backend, such as [GatewayWorker], is copied, changed
// and listed in the tables of tests. The zero value is a plain backend, such as one
// written for Node.
type Quirks struct {
	// NumbersAsStrings writes counts as strings: "online_num":"12".
	NumbersAsStrings bool
	// EscapedText writes everything that is not ASCII as \uXXXX, and / as \/.
	EscapedText bool
	// EmptyList is a message_list without comments: [], {} or null. Empty means that the
	// field is absent.
	EmptyList string
	// HistoryName has the name of a comment's author in the field name of a message_list,
	// instead of from_name.
	HistoryName bool
	// HistorySize is the maximum number of comments in a message_list. Zero means 20.
	HistorySize int
	// SayWho adds from_uid, from_name and client_id to broadcasts.
	SayWho bool
	// NoEcho does not send a comment back to its author.
	NoEcho bool
	// ClientID is assigned to every connection. Empty means a new one for each connection.
	ClientID string

	// SessionDelay is how long after a join messages may still be handled with the
	// previous session. A GatewayWorker stores the session when the handler of the join
	// has returned, after the broadcast: if a client sends several messages as soon as
	// it has received the broadcast, the first one is accepted, and those that follow it
	// within the delay are refused.
	// Zero is for servers that handle the messages of a connection one at a time.
	SessionDelay time.Duration

	// Refusal is the message that refuses an action; see [Backend.Mute] and SessionDelay. Empty
	// means {"msg_type":"error","msg_content":"not in a room"}.
	Refusal string
	// ReloadLoses loses the messages that arrive during [Backend.Reload]: the gateway of a
	// GatewayWorker accepts them, and the workers that handle them end. Otherwise they are
	// handled behind it.
	ReloadLoses bool
	// EscapedHTML trims comments and escapes them for a page, as nl2br(htmlspecialchars(…)) does.
	EscapedHTML bool
	// Censored is a word that is replaced by asterisks in comments. Empty means none.
	Censored string
	// Dropped is a word: comments that contain it are not shown, without an answer. Empty means none.
	Dropped string
	// NumericCheck writes comments that are numbers as JSON numbers, as JSON_NUMERIC_CHECK does: 9.90
	// becomes 9.9.
	NumericCheck bool

	// CloseFrames ends connections with a close frame (1001) instead of a mere FIN.
	CloseFrames bool
	// KickAfter is how long a client may be silent before its connection is
	// ended. Zero means no limit.
	KickAfter time.Duration
	// PingsCount counts protocol pings as activity, too. Otherwise only messages count.
	PingsCount bool
	// Linger is how long it takes to notice that a connection has ended. Until then
	// it counts as a viewer, and then its leave is broadcast.
	Linger time.Duration
	// SendBuffer is how many bytes may be queued for a client that does not read. Further
	// messages are silently dropped. Zero means 1 MiB.
	SendBuffer int
	// Recovery is how long after a start connections are accepted and cut in the
	// handshake.
	Recovery time.Duration
}

// GatewayWorker returns the quirks of the usual backend, which is written in PHP, with a
// heartbeat of 10 s.
func GatewayWorker() Quirks {
	return Quirks{
		NumbersAsStrings: true,
		EscapedText:      true,
		EmptyList:        "[]",
		HistoryName:      true,
		SessionDelay:     50 * time.Millisecond,
		ReloadLoses:      true,
		KickAfter:        15 * time.Second,
		Linger:           5 * time.Second,
		Recovery:         100 * time.Millisecond,
	}
}

// count returns a count as it is encoded.
func (q *Quirks) count(n int) any {
	if q.NumbersAsStrings {
		return strconv.Itoa(n)
	}
	return n
}

// content returns a comment's text as it is broadcast.
func (q *Quirks) content(text string) string {
	if q.Censored != "" {
		text = strings.ReplaceAll(text, q.Censored, strings.Repeat("*", len(q.Censored)))
	}
	if !q.EscapedHTML {
		return text
	}
	return strings.ReplaceAll(html.EscapeString(strings.TrimSpace(text)), "\n", "<br />\n")
}

// shown returns a comment's text as it is in a message.
func (q *Quirks) shown(text string) any {
	if !q.NumericCheck || strings.Trim(text, "+-.0123456789eE") != "" {
		return text
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}

// encode encodes a message as this backend does.
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
