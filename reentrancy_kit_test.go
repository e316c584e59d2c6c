package wechatws_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
)

// Implementations of the interfaces for users, each with one method that calls enter.

type enteringMonitor struct {
	*fakeNetwork
	method string
	enter  func(context.Context)
}

func (m enteringMonitor) Status() wechatws.NetworkStatus {
	if m.method == "Status" {
		m.enter(nil)
	}
	return m.fakeNetwork.Status()
}

func (m enteringMonitor) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	if m.method == "Watch" {
		m.enter(nil)
	}
	inner := m.fakeNetwork.Watch(fn)
	return func() {
		if m.method == "stop" {
			m.enter(nil)
		}
		inner()
	}
}

type enteringBackOff struct{ enter func(context.Context) }

func (b enteringBackOff) NextBackOff() time.Duration { b.enter(nil); return time.Second }
func (enteringBackOff) Reset()                       {}

// An enteringCodec calls enter when it encodes a late value for the second time, for the
// write, or when it decodes.
type enteringCodec struct {
	method string
	lates  *atomic.Int32
	enter  func(context.Context)
}

func (c enteringCodec) Marshal(v any) ([]byte, error) {
	if _, ok := v.(late); ok && c.method == "Marshal" && c.lates.Add(1) == 2 {
		c.enter(nil)
	}
	return json.Marshal(v)
}

func (c enteringCodec) Unmarshal(data []byte, v any) error {
	if c.method == "Unmarshal" {
		c.enter(nil)
	}
	return json.Unmarshal(data, v)
}

type enteringHandler struct{ enter func(context.Context) }

func (enteringHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h enteringHandler) Handle(context.Context, slog.Record) error { h.enter(nil); return nil }
func (h enteringHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h enteringHandler) WithGroup(string) slog.Handler             { return h }

type enteringDialer struct {
	method string
	enter  func(context.Context)
}

func (d enteringDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	if d.method == "Dial" {
		d.enter(ctx)
	}
	conn, resp, err := coder.Dialer{}.Dial(ctx, h)
	if err != nil {
		return nil, resp, err
	}
	return enteringConn{conn, d}, resp, nil
}

type enteringConn struct {
	transport.Conn
	of enteringDialer
}

func (c enteringConn) in(method string) {
	if c.of.method == method {
		c.of.enter(nil)
	}
}

func (c enteringConn) Reader() (transport.MessageType, io.Reader, error) {
	c.in("Reader")
	return c.Conn.Reader()
}

func (c enteringConn) Write(t transport.MessageType, p []byte) error {
	c.in("Write")
	return c.Conn.Write(t, p)
}

func (c enteringConn) Ping(ctx context.Context) error { c.in("Ping"); return c.Conn.Ping(ctx) }

func (c enteringConn) Close(code int, reason string) error {
	c.in("Close")
	return c.Conn.Close(code, reason)
}

func (c enteringConn) CloseNow() error { c.in("CloseNow"); return c.Conn.CloseNow() }

type enteringNetConn struct {
	net.Conn
	method string
	enter  func(context.Context)
}

func (c enteringNetConn) in(method string) {
	if c.method == method {
		c.enter(nil)
	}
}

func (c enteringNetConn) Read(p []byte) (int, error)  { c.in("Read"); return c.Conn.Read(p) }
func (c enteringNetConn) Write(p []byte) (int, error) { c.in("Write"); return c.Conn.Write(p) }
func (c enteringNetConn) Close() error                { c.in("Close"); return c.Conn.Close() }
