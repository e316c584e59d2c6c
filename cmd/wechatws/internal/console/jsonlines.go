package console

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/jsonline"
)

// A line is an entry as JSON. docs/command.md describes it.
type line struct {
	At         time.Time `json:"at"`
	Event      string    `json:"event"`
	Connection int       `json:"connection,omitempty"`
	Type       string    `json:"type,omitempty"`
	jsonline.Payload
	Text string `json:"text,omitempty"` // of a note and of an error
}

var events = map[kind]string{note: "note", failure: "error"}

// printJSON is the printer of Config.JSON.
func printJSON(out io.Writer, entries []entry) error {
	for _, e := range entries {
		l := line{At: e.at, Event: events[e.kind], Text: e.text}
		if m := e.message; m != nil {
			l.Event, l.Connection, l.Type, l.Text = m.event, m.connection, m.msgType, ""
			l.Payload = jsonline.PayloadOf(m.binary, m.data)
		}
		if err := jsonline.Write(out, l); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

// A message is what JSON has of one, besides the entry. Its secrets have been replaced.
type message struct {
	event      string // received, sent or queued
	connection int
	msgType    string
	binary     bool
	data       []byte
}

// whole adds a message to an entry if entries are written as JSON.
func (s *session) whole(e entry, m message) entry {
	if !s.json {
		return e
	}
	if utf8.Valid(m.data) { // also a binary message may repeat a token
		m.data = []byte(s.format.secrets.Replace(string(m.data)))
	}
	m.msgType = s.format.secrets.Replace(m.msgType)
	e.message = &m
	return e
}
