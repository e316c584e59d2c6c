// Package recording writes the session of a client to a file, and reads it. docs/command.md describes
// the format: JSON, one object a line; a [Header], then [Event]s.
package recording

import (
	"net/http"
	"time"
)

// Version is the version of the format. A reader refuses others.
const Version = 1

// A Header is the first line.
type Header struct {
	Recording string    `json:"recording"` // always "wechatws"
	Version   int       `json:"version"`
	Started   time.Time `json:"started"`
	URL       string    `json:"url"`               // scheme and host
	Secrets   bool      `json:"secrets,omitempty"` // secrets are included
}

// The kinds of Event.
const (
	Open     = "open"     // the handshake has succeeded: Subprotocol, Header
	Refused  = "refused"  // the server has answered the handshake with an HTTP status: Status, RetryAfter
	Failed   = "failed"   // there was no answer: Error
	Received = "received" // a message from the server
	Sent     = "sent"     // a message from the client
	Closed   = "closed"   // the connection has ended: By, and Code and Reason or Cut
	Full     = "full"     // the recording has reached its limit, and nothing follows
)

// The values of Event.By and Event.Cut.
const (
	Server = "server"
	Client = "client"

	FIN = "FIN"
	RST = "RST"
)

// An Event is a line after the first one.
type Event struct {
	T     float64 `json:"t"`    // seconds since Header.Started
	Conn  int     `json:"conn"` // the number of the attempt: 1 for the first one, and so on
	Event string  `json:"event"`

	Subprotocol string      `json:"subprotocol,omitempty"`
	Header      http.Header `json:"header,omitempty"` // of the client's handshake; only with secrets
	Status      int         `json:"status,omitempty"`
	RetryAfter  string      `json:"retry_after,omitempty"`

	Text      *string `json:"text,omitempty"`
	Binary    []byte  `json:"binary,omitempty"`    // as base64
	Size      int64   `json:"size,omitempty"`      // of the whole message, if it is not here as a whole
	Secret    bool    `json:"secret,omitempty"`    // the message is left out: it is the login
	Heartbeat bool    `json:"heartbeat,omitempty"` // the message is the application heartbeat

	By     string `json:"by,omitempty"`     // Server or Client
	Code   int    `json:"code,omitempty"`   // of the close frame; 1005 for one without a code
	Reason string `json:"reason,omitempty"` // of the close frame
	Cut    string `json:"cut,omitempty"`    // FIN or RST, if there was no close frame
	Error  string `json:"error,omitempty"`
}

// maxMessage is the number of bytes of a message that are recorded.
const maxMessage = 1 << 20
