package wstest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A Message is a message from a client.
type Message struct {
	At     time.Time // time of arrival; on Linux in the kernel, however late it was read
	Binary bool
	Data   []byte
}

// Text returns the data as a string.
func (m Message) Text() string { return string(m.Data) }

// A Conn is the server's side of one accepted connection. Its methods may be
// called from any goroutine.
type Conn struct {
	server  *Server
	id      int
	request *http.Request
	raw     *faultConn
	ws      *websocket.Conn
	done    chan struct{}

	mu          sync.Mutex
	received    []Message
	taken       int // number of messages returned by Receive
	changed     chan struct{}
	pings       int
	ignorePings bool
	closeCode   int
	closeReason string
}

// ID returns the number of the connection: 1 for the first one that the server accepted.
func (c *Conn) ID() int { return c.id }

// Request returns the request of the handshake.
func (c *Conn) Request() *http.Request { return c.request }

// Subprotocol returns the negotiated subprotocol, or "".
func (c *Conn) Subprotocol() string { return c.ws.Subprotocol() }

// Send sends a text message. Like all methods that write, it blocks while the client
// does not read and the buffers are full.
func (c *Conn) Send(text string) error {
	return c.ws.Write(context.Background(), websocket.MessageText, []byte(text))
}

// SendJSON sends v as JSON.
func (c *Conn) SendJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(string(data))
}

// SendBinary sends a binary message.
func (c *Conn) SendBinary(data []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageBinary, data)
}

// WriteRaw writes bytes to the connection below the WebSocket layer and below TLS, such
// as half a frame or an invalid one.
func (c *Conn) WriteRaw(p []byte) error {
	_, err := c.raw.Write(p)
	return err
}

// Ping sends a protocol ping and waits for its pong or for the end of ctx.
func (c *Conn) Ping(ctx context.Context) error { return c.ws.Ping(ctx) }

// Close sends a close frame and waits, for a few seconds at most, for the client's.
func (c *Conn) Close(code int, reason string) error {
	return c.ws.Close(websocket.StatusCode(code), reason)
}

// Cut ends the connection without a close frame.
func (c *Conn) Cut(how Cut) { c.raw.cut(how) }

// StopReading stops reading from the socket, so that the client's writes block once the
// buffers are full.
func (c *Conn) StopReading() { c.raw.set(func() { c.raw.paused = true }) }

// ResumeReading ends StopReading.
func (c *Conn) ResumeReading() { c.raw.set(func() { c.raw.paused = false }) }

// ReadSlowly limits how many bytes a second are read from the socket, from the next read
// on; 0 removes the limit.
func (c *Conn) ReadSlowly(bytesPerSecond int) { c.raw.set(func() { c.raw.rate = bytesPerSecond }) }

// Blackhole silently discards all data in both directions while lost is true.
func (c *Conn) Blackhole(lost bool) { c.raw.set(func() { c.raw.blackhole = lost }) }

// IgnorePings leaves protocol pings without a pong while ignore is true.
func (c *Conn) IgnorePings(ignore bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ignorePings = ignore
}

// Pings returns the number of protocol pings received.
func (c *Conn) Pings() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pings
}

// pinged records a ping and reports whether to answer it.
func (c *Conn) pinged(context.Context, []byte) bool {
	c.server.record(Event{At: c.raw.lastArrival(), Kind: EventPing, Conn: c.id})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings++
	return !c.ignorePings
}

// Received returns all messages received so far.
func (c *Conn) Received() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.received)
}

// Receive returns the next message that no Receive has returned. It blocks until there
// is one, and returns io.EOF when the connection has ended and all messages were
// returned, or the error of ctx.
func (c *Conn) Receive(ctx context.Context) (Message, error) {
	for {
		over := false
		select {
		case <-c.done:
			over = true
		default:
		}
		c.mu.Lock()
		if c.taken < len(c.received) {
			c.taken++
			m := c.received[c.taken-1]
			c.mu.Unlock()
			return m, nil
		}
		changed := c.changed
		c.mu.Unlock()
		if over {
			return Message{}, io.EOF
		}
		select {
		case <-changed:
		case <-c.done:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// Done returns a channel that is closed when the connection has ended, as seen by the
// server.
func (c *Conn) Done() <-chan struct{} { return c.done }

// CloseCode returns the code and the reason in the client's close frame, and 1006 if
// there was none. The client may have the answer to its close frame before CloseCode
// returns the code: wait for [Conn.Done] first.
func (c *Conn) CloseCode() (code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeCode, c.closeReason
}

// read reads messages until the connection ends.
func (c *Conn) read() {
	defer close(c.done)
	defer c.ws.CloseNow()
	for {
		typ, data, err := c.ws.Read(context.Background())
		if err != nil {
			c.over(err)
			return
		}
		m := Message{At: c.raw.lastArrival(), Binary: typ == websocket.MessageBinary, Data: data}
		c.keep(m)
		c.server.record(Event{At: m.At, Kind: EventMessage, Conn: c.id, Message: m})
		c.server.mu.Lock()
		onMessage := c.server.onMessage
		c.server.mu.Unlock()
		if onMessage != nil {
			onMessage(c, m)
		}
	}
}

// keep stores a message for Received and Receive.
func (c *Conn) keep(m Message) {
	if c.server.forget {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = append(c.received, m)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Conn) over(err error) {
	at := time.Now()
	var ce websocket.CloseError
	c.mu.Lock()
	if errors.As(err, &ce) {
		at = c.raw.lastArrival()
		c.closeCode, c.closeReason = int(ce.Code), ce.Reason
	}
	code, reason := c.closeCode, c.closeReason
	c.mu.Unlock()
	c.server.record(Event{At: at, Kind: EventClosed, Conn: c.id, Code: code, Reason: reason})
}
