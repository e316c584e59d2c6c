package recording

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"syscall"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
)

// Dialer returns a [transport.Dialer] that records the connections of d.
func (w *Writer) Dialer(d transport.Dialer) transport.Dialer { return dialer{w, d} }

type dialer struct {
	w *Writer
	transport.Dialer
}

func (d dialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	conn := d.w.next()
	c, resp, err := d.Dialer.Dial(ctx, h)
	switch {
	case err == nil:
		e := Event{Conn: conn, Event: Open, Subprotocol: d.w.redact(c.Subprotocol())}
		if d.w.Secrets == nil {
			e.Header = h.Header
		}
		d.w.write(e)
		return &recorded{Conn: c, w: d.w, number: conn}, resp, nil
	case resp != nil:
		d.w.write(Event{Conn: conn, Event: Refused, Status: resp.StatusCode, RetryAfter: d.w.redact(resp.Header.Get("Retry-After"))})
	default:
		d.w.write(Event{Conn: conn, Event: Failed, Error: d.w.errorText(err)})
	}
	return c, resp, err
}

// errorText returns the text of an error without the URL, in which there may be a token.
func (w *Writer) errorText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return w.redact(wechatws.Printable(err.Error()))
}

// A recorded is a connection that is recorded.
type recorded struct {
	transport.Conn
	w      *Writer
	number int
	ended  sync.Once
}

// end records the end of the connection, whose first cause counts.
func (c *recorded) end(e Event) {
	c.ended.Do(func() {
		e.Conn, e.Event = c.number, Closed
		e.Reason = c.w.redact(e.Reason)
		c.w.write(e)
	})
}

// failed records the end of a connection as a read has seen it.
func (c *recorded) failed(err error) {
	e := Event{By: Server, Cut: FIN}
	var frame *transport.CloseError
	switch {
	case errors.As(err, &frame):
		e.Cut, e.Code, e.Reason = "", frame.Code, frame.Reason
	case errors.Is(err, syscall.ECONNRESET):
		e.Cut = RST
	case !errors.Is(err, io.EOF):
		e.Error = c.w.errorText(err)
	}
	c.end(e)
}

func (c *recorded) Reader() (transport.MessageType, io.Reader, error) {
	t, r, err := c.Conn.Reader()
	if err != nil {
		c.failed(err)
		return t, r, err
	}
	return t, &recordedReader{r: r, c: c, binary: t == transport.BinaryMessage}, nil
}

func (c *recorded) Write(t transport.MessageType, p []byte) error {
	// Before it is written, so that it is recorded before its answer.
	c.w.message(Event{Conn: c.number, Event: Sent}, t == transport.BinaryMessage, p[:min(len(p), maxMessage)], int64(len(p)))
	return c.Conn.Write(t, p)
}

func (c *recorded) Close(code int, reason string) error {
	c.end(Event{By: Client, Code: code, Reason: reason})
	return c.Conn.Close(code, reason)
}

func (c *recorded) CloseNow() error {
	c.end(Event{By: Client, Cut: FIN})
	return c.Conn.CloseNow()
}

// A recordedReader reads one message, and records it at its end.
type recordedReader struct {
	r      io.Reader
	c      *recorded
	binary bool
	data   []byte // the first maxMessage bytes
	size   int64
	over   bool
}

func (r *recordedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.size += int64(n)
	r.data = append(r.data, p[:min(n, maxMessage-len(r.data))]...)
	switch {
	case r.over:
	case err == io.EOF:
		r.over = true
		r.c.w.message(Event{Conn: r.c.number, Event: Received}, r.binary, r.data, r.size)
	case err != nil:
		r.over = true
		r.c.failed(err)
	}
	return n, err
}
