package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
)

// A kind is what an entry is about.
type kind int

const (
	received kind = iota // a message; the label is its type
	sent                 // a message of ours
	note                 // something that the program or the connection says
	failure
)

// An entry is one line of what is shown. Its texts are safe for a terminal: it is
// made by a formatter only.
type entry struct {
	at    time.Time
	kind  kind
	label string
	text  string
}

// A message may have a megabyte. So much of it is looked at, and so many runes of
// it are shown.
const (
	maxBytes = 16 << 10
	maxText  = 2000
	maxLabel = 24
)

// A formatter makes entries. It knows the token, so that the token is never shown,
// not even when a server repeats it.
type formatter struct{ secrets *strings.Replacer }

func newFormatter(token string) formatter {
	if token == "" {
		return formatter{strings.NewReplacer()}
	}
	// The forms in which a token may come back: in JSON, in a URL, without the
	// control characters that line takes out.
	forms := []string{token, strconv.Quote(token), url.QueryEscape(token), url.PathEscape(token), clean(token)}
	if quoted, err := json.Marshal(token); err == nil {
		forms = append(forms, string(quoted))
	}
	var pairs []string
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // at one place the longest wins
	for _, form := range forms {
		if form = strings.Trim(form, `"`); form != "" {
			pairs = append(pairs, form, "[token]")
		}
	}
	return formatter{strings.NewReplacer(pairs...)}
}

// line makes any text one line that is safe to show.
func (f formatter) line(s string) string {
	more := max(len(s)-maxBytes, 0)
	for more > 0 && more < len(s) && !utf8.RuneStart(s[len(s)-more]) {
		more++
	}
	return truncate(f.secrets.Replace(clean(s[:len(s)-more])), maxText, more)
}

func (f formatter) entry(k kind, label, text string) entry {
	return entry{time.Now(), k, label, f.line(text)}
}

// message makes an entry of an inbound message: the useful part of what the
// program knows, and compact JSON of the rest.
func (f formatter) message(m wechatws.Message) entry {
	e := f.entry(received, f.label(m), useful(m))
	e.at = m.Received
	return e
}

// plainType is a type that cannot be taken for anything else in a line.
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
	var in struct { // any: backends are careless about types
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
		return string(m.Data) // no JSON at all
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

// The escape sequences that terminals know, with ESC and with the single
// characters U+0080 to U+009F that mean the same: CSI, then OSC and the other
// strings, then the short ones.
var escapes = regexp.MustCompile(
	`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]` +
		`|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}\x{9e}\x{9f}])[^\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})` +
		`|\x1b[ -/]*[0-~]`)

// clean makes text from outside harmless, since who writes to a terminal controls
// it: the title, the colours, the clipboard, and with some the keyboard. Escape
// sequences go, and then every control character that is left, whatever it was part
// of; so do invisible format characters, which can turn the direction of a line.
// Line ends and tabs become spaces, so that nobody can fake a line.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = escapes.ReplaceAllString(strings.ReplaceAll(s, "\r\n", " "), "")
	marks := 0
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > 4 { // a pile of accents covers the lines above
				return -1
			}
			return r
		}
		marks = 0
		switch {
		case r == '\n', r == '\r', r == '\t', unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf):
			return -1
		}
		return r
	}, s)
}

// truncate leaves at most so many runes, and says how many bytes are missing; more
// of them are missing already.
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
