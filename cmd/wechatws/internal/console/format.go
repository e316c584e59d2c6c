package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

// A kind is the kind of an entry.
type kind int

const (
	received kind = iota // a message; the label is its type
	sent                 // a message from the user
	note                 // about the program or the connection
	failure
)

// An entry is one line on the screen. Its texts are safe for a terminal: only a formatter
// makes entries.
type entry struct {
	at    time.Time
	kind  kind
	label string
	text  string

	message *message // for JSON; nil otherwise
}

func (e entry) bytes() int {
	if e.message == nil {
		return 0
	}
	return len(e.message.data)
}

// The limits of an entry, since a message may have a megabyte: the bytes that are formatted,
// and the runes that are shown.
const (
	maxBytes = 16 << 10
	maxText  = 2000
	maxLabel = 24
)

// A formatter makes entries. It replaces secrets, so that they are never shown, not even when a server
// repeats them.
type formatter struct{ secrets *strings.Replacer }

func newFormatter(secrets ...string) formatter { return formatter{redact.New(secrets...)} }

// line turns any text into one line that is safe to show.
func (f formatter) line(s string) string {
	more := max(len(s)-maxBytes, 0)
	for more > 0 && more < len(s) && !utf8.RuneStart(s[len(s)-more]) {
		more++
	}
	return truncate(f.secrets.Replace(wechatws.Printable(s[:len(s)-more])), maxText, more)
}

func (f formatter) entry(k kind, label, text string) entry {
	return entry{at: time.Now(), kind: k, label: label, text: f.line(text)}
}

// message makes an entry for an inbound message: the useful fields of known types, and the
// compact JSON of others.
func (f formatter) message(m wechatws.Message) entry {
	e := f.entry(received, f.label(m), useful(m))
	e.at = m.Received
	return e
}

// plainType matches types that need no quotes.
var plainType = regexp.MustCompile(`^[\pL\pN_][\pL\pN_./-]*$`)

func (f formatter) label(m wechatws.Message) string {
	switch {
	case m.Binary:
		return "(binary)"
	case m.Type == "":
		return "(no type)"
	}
	label := truncate(f.line(m.Type), maxLabel, 0)
	if !plainType.MatchString(label) {
		label = strconv.Quote(label)
	}
	return label
}

func useful(m wechatws.Message) string {
	if m.Binary {
		return fmt.Sprintf("%d bytes: % x", len(m.Data), m.Data[:min(len(m.Data), 16)])
	}
	var in struct { // any: backends mix types
		FromName   any `json:"from_name"`
		Content    any `json:"content"`
		MsgContent any `json:"msg_content"`
	}
	switch m.Type {
	case "message":
		if json.Unmarshal(m.Data, &in) == nil && scalar(in.Content) {
			if !scalar(in.FromName) {
				in.FromName = "?"
			}
			return fmt.Sprintf("%v: %v", in.FromName, in.Content)
		}
	case "join", "leave", "buy", "subscribe":
		if json.Unmarshal(m.Data, &in) == nil && scalar(in.MsgContent) {
			return fmt.Sprint(in.MsgContent)
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, m.Data) != nil {
		return string(m.Data) // not JSON
	}
	return compact.String()
}

func scalar(v any) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case float64, bool:
		return true
	}
	return false
}

// truncate cuts s after a number of runes, and appends the number of missing bytes; more of
// them are missing already.
func truncate(s string, runes, more int) string {
	n := 0
	for i := range s {
		if n++; n > runes {
			s, more = s[:i], more+len(s)-i
			break
		}
	}
	if more == 0 {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes more)", s, more)
}
