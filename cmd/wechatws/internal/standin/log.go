package standin

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/jsonline"
	"github.com/wechatws/wechatws/wstest"
)

// A Line is what a log has of an event. docs/command.md describes it.
type Line struct {
	At           time.Time `json:"at"`
	Event        string    `json:"event"`
	Connection   int       `json:"connection,omitempty"`
	Path         string    `json:"path,omitempty"`         // of a handshake, without its query
	Origin       string    `json:"origin,omitempty"`       // of a handshake
	Subprotocols []string  `json:"subprotocols,omitempty"` // that a handshake offers
	jsonline.Payload
	Code    int    `json:"code,omitempty"`    // of the client's close frame; 1006 without one
	Reason  string `json:"reason,omitempty"`  // of the client's close frame
	URL     string `json:"url,omitempty"`     // of the server
	Control string `json:"control,omitempty"` // the URL for commands
	Text    string `json:"text,omitempty"`
}

// A Log writes events as lines. Its methods may be called from any goroutine.
type Log struct {
	JSON  bool // one JSON object a line
	Pings bool // also the client's protocol pings

	mu  sync.Mutex
	Out io.Writer
}

// Event writes an event of a server.
func (l *Log) Event(e wstest.Event) {
	line := Line{At: e.At, Event: string(e.Kind), Connection: e.Conn}
	switch e.Kind {
	case wstest.EventHandshake:
		line.Path, line.Origin = e.Request.URL.Path, e.Request.Header.Get("Origin")
		line.Subprotocols = subprotocols(e.Request.Header)
	case wstest.EventMessage:
		line.Payload = jsonline.PayloadOf(e.Message.Binary, e.Message.Data)
		line.Text = shown(e.Message)
	case wstest.EventPing:
		if !l.Pings {
			return
		}
	case wstest.EventClosed:
		line.Code, line.Reason = e.Code, e.Reason
	}
	l.Write(line)
}

func subprotocols(h http.Header) (names []string) {
	for _, field := range h.Values("Sec-WebSocket-Protocol") {
		for _, name := range strings.Split(field, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// Note writes a line about the program.
func (l *Log) Note(format string, args ...any) {
	l.Write(Line{Event: "note", Text: fmt.Sprintf(format, args...)})
}

// Write writes a line, with the time if it has none.
func (l *Log) Write(line Line) {
	if line.At.IsZero() {
		line.At = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.JSON {
		if line.Event == string(wstest.EventMessage) {
			line.Text = "" // it is in the payload
		}
		_ = jsonline.Write(l.Out, line)
		return
	}
	_, _ = fmt.Fprintf(l.Out, "%s %s\n", line.At.Format("15:04:05.000"), cut(wechatws.Printable(line.plain()), maxText))
}

// plain returns the text of a line for people.
func (l Line) plain() string {
	who := l.Event
	if l.Connection > 0 {
		who = fmt.Sprintf("#%d %s", l.Connection, l.Event)
	}
	switch l.Event {
	case "note":
		return "-- " + l.Text
	case string(wstest.EventHandshake):
		text := who + " " + l.Path
		if l.Origin != "" {
			text += " from " + l.Origin
		}
		if len(l.Subprotocols) > 0 {
			text += " offers " + strings.Join(l.Subprotocols, ", ")
		}
		return text
	case "listening":
		text := "-- listening on " + l.URL
		if l.Control != "" {
			text += "; commands to " + l.Control
		}
		return text
	case string(wstest.EventClosed):
		return strings.TrimSpace(fmt.Sprintf("%s %d %s", who, l.Code, l.Reason))
	}
	return strings.TrimSpace(who + " " + l.Text)
}

// The bytes of a message that are formatted, and the runes of a line.
const (
	maxBytes = 16 << 10
	maxText  = 2000
)

// shown returns the beginning of a message as text.
func shown(m wstest.Message) string {
	if m.Binary {
		return fmt.Sprintf("%d bytes: % x", len(m.Data), m.Data[:min(len(m.Data), 16)])
	}
	n := min(len(m.Data), maxBytes)
	for n < len(m.Data) && n > 0 && !utf8.RuneStart(m.Data[n]) {
		n--
	}
	if n < len(m.Data) {
		return fmt.Sprintf("%s… (%d bytes more)", m.Data[:n], len(m.Data)-n)
	}
	return string(m.Data)
}

// cut shortens text to a number of runes.
func cut(text string, runes int) string {
	n := 0
	for i := range text {
		if n++; n > runes {
			return text[:i] + "…"
		}
	}
	return text
}
