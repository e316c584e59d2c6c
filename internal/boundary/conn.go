package boundary

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/ws"
	"github.com/wechatws/wechatws/transport"
)

// A Conn has the methods of a [ws.Conn], by means of a [transport.Conn], which is called as that
// interface promises. It gathers nothing: each message is written when it is appended. The
// transport.Conn answers pings itself. The places in its outgoing stream are numbers of beginnings and
// ends of messages, two for each, so that one that was written in part is recognized.
type Conn struct {
	// Set before the first call of Receive, and as in a [ws.Conn], except that text is checked when
	// its message is complete.
	ReadLimit             int64
	SkipLarge, StrictText bool
	OnPong                func(payload []byte)

	Fault
	conn transport.Conn
	born time.Time

	reader   io.Reader // of the current message
	appended int64     // used by the writer only
	written  atomic.Int64
	partial  atomic.Bool
	heard    atomic.Int64 // nanoseconds from born to the last message or pong
	arrived  atomic.Int64 // bytes of messages
	due      atomic.Int64 // nanoseconds from born to when the write under way should be done; 0: there is none

	gate    gate           // for Ping, Close and CloseNow, which block
	closing sync.WaitGroup // Close
	aborted sync.Once
}

var errNoReader = errors.New("Conn.Reader returned neither a reader nor an error")

// pingTimeout is how long the transport.Conn may wait for a pong.
const pingTimeout = time.Minute

// Conn returns the Conn of a connection that a user's Dialer has made.
func (c Caller) Conn(conn transport.Conn) *Conn {
	user := &Conn{conn: conn, born: time.Now()}
	user.init(c)
	return user
}

// LastHeard returns when the last message or pong arrived.
func (c *Conn) LastHeard() time.Time { return c.born.Add(time.Duration(c.heard.Load())) }

// Life returns what the connection shows of its peer: while a write takes longer than it would at
// [ws.SlowestLink], the peer takes nothing.
func (c *Conn) Life() ws.Life {
	life := ws.Life{Heard: c.LastHeard(), Arrived: c.arrived.Load(), Acked: math.MaxInt64}
	if due := c.due.Load(); due > 0 {
		life.Waits = c.born.Add(time.Duration(due))
	}
	return life
}

func (c *Conn) hear() { c.heard.Store(int64(time.Since(c.born))) }

// Receive returns one message.
func (c *Conn) Receive() (*ws.Batch, error) {
	text, data, skipped, err := c.read()
	var ce *transport.CloseError
	switch {
	case err == nil:
		c.arrived.Add(int64(len(data)) + skipped)
		c.hear()
		b := ws.Single(text, data)
		b.Skipped = skipped
		return b, nil
	case errors.As(err, &ce):
		err = &ws.CloseError{Code: ce.Code, Reason: ce.Reason}
	}
	return nil, err
}

func (c *Conn) read() (text bool, data []byte, skipped int64, err error) {
	var typ transport.MessageType
	err = c.users.Protect(func() (err error) {
		if typ, c.reader, err = c.conn.Reader(); err == nil && c.reader == nil {
			err = errNoReader
		}
		return err
	})
	if err != nil {
		return false, nil, 0, err
	}
	text = typ == transport.TextMessage
	c.partial.Store(true)
	defer c.partial.Store(false)
	var r io.Reader = c
	if c.ReadLimit < math.MaxInt64 { // one byte more reveals a larger message
		r = io.LimitReader(r, c.ReadLimit+1)
	}
	data, err = io.ReadAll(r)
	switch {
	case err != nil:
	case int64(len(data)) > c.ReadLimit:
		skipped, err = c.skip(int64(len(data)))
		return text, nil, skipped, err
	case text && c.StrictText && !utf8.Valid(data):
		err = ws.ErrNotText
	}
	return text, data, 0, err
}

// skip discards the rest of the current message, of which so many bytes were read, and returns
// its size.
func (c *Conn) skip(read int64) (size int64, err error) {
	if !c.SkipLarge {
		return 0, &ws.LimitError{Limit: c.ReadLimit}
	}
	n, err := io.Copy(io.Discard, io.LimitReader(c, ws.MaxSkip))
	if err == nil && n == ws.MaxSkip {
		err = &ws.LimitError{Limit: c.ReadLimit}
	}
	return read + n, err
}

// Read reads the current message.
func (c *Conn) Read(p []byte) (n int, err error) {
	err = c.users.Protect(func() (err error) { n, err = transfer(p, c.reader.Read); return err })
	return n, err
}

// Subprotocol returns the one that the server has chosen, or an empty string.
func (c *Conn) Subprotocol() string { return c.conn.Subprotocol() }

// Partial reports whether a part of a message has been read.
func (c *Conn) Partial() bool { return c.partial.Load() }

// AppendMessage writes a message. It blocks.
func (c *Conn) AppendMessage(text bool, p []byte) error {
	if c.gate.isClosed() {
		return net.ErrClosed
	}
	typ := transport.BinaryMessage
	if text {
		typ = transport.TextMessage
	}
	c.written.Store(c.appended + 1)
	c.appended += 2
	c.due.Store(int64(time.Since(c.born) + time.Duration(len(p))*time.Second/ws.SlowestLink))
	err := c.users.Protect(func() error { return c.conn.Write(typ, p) })
	c.due.Store(0)
	if err == nil {
		c.written.Store(c.appended)
	}
	return err
}

// AppendPing sends a ping and, when its pong arrives, calls OnPong. It does not block.
func (c *Conn) AppendPing(payload []byte) error {
	c.start(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		err := c.conn.Ping(ctx)
		if err == nil {
			c.hear()
			c.OnPong(payload)
		}
		return err
	})
	return nil
}

// AppendPong does nothing, since the Conn answers pings.
func (c *Conn) AppendPong([]byte) error { return nil }

// AppendClose begins the close handshake. It does not block.
func (c *Conn) AppendClose(code int, reason string) error {
	c.closing.Add(1)
	if !c.start(func() error { defer c.closing.Done(); return c.conn.Close(code, reason) }) {
		c.closing.Done()
	}
	return nil
}

// Discard blocks until the close handshake has ended, if AppendClose has begun one. The caller
// must bound it with Abort.
func (c *Conn) Discard() { c.closing.Wait() }

// Flush does nothing, since nothing is gathered.
func (c *Conn) Flush() error { return nil }

// TryFlush does nothing, since nothing is gathered.
func (c *Conn) TryFlush() (done bool, err error) { return true, nil }

// Appended returns how many messages were appended.
func (c *Conn) Appended() int64 { return c.appended }

// Written returns how many messages the transport.Conn has taken.
func (c *Conn) Written() int64 { return c.written.Load() }

// Seal prevents any further write. A write under way may still succeed.
func (c *Conn) Seal() int64 {
	c.gate.close()
	return c.Written()
}

// Abort ends the connection. It does not block.
func (c *Conn) Abort() {
	c.aborted.Do(func() {
		c.gate.close()
		c.gate.under.Go(func() { _ = c.users.Protect(c.conn.CloseNow) })
	})
}

// End waits until no method is being called. Abort must have been called before.
func (c *Conn) End() { c.gate.under.Wait() }

// start calls a method that blocks on a goroutine of its own, unless the connection is over, and
// reports whether it does.
func (c *Conn) start(method func() error) bool {
	ok := c.gate.enter()
	if ok {
		go func() {
			defer c.gate.under.Done()
			_ = c.users.Protect(method)
		}()
	}
	return ok
}
