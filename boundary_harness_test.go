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

// Implementations of what users implement. Each calls pull in one of its methods.

type faultyValue struct{ pull func() }

func (v faultyValue) MarshalJSON() ([]byte, error) {
	v.pull()
	return []byte(`{"msg_type":"value"}`), nil
}

type faultyTarget struct{}

var pullTarget atomic.Pointer[func()] // of the test that runs

func (*faultyTarget) UnmarshalJSON([]byte) error { (*pullTarget.Load())(); return nil }

type faultyMonitor struct {
	*fakeNetwork
	method string
	pull   func()
}

func (m faultyMonitor) at(method string) {
	if m.method == method {
		m.pull()
	}
}

func (m faultyMonitor) Status() wechatws.NetworkStatus {
	m.at("Status")
	return m.fakeNetwork.Status()
}

func (m faultyMonitor) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	m.at("Watch")
	unwatch := m.fakeNetwork.Watch(fn)
	return func() { unwatch(); m.at("stop") }
}

type faultyBackOff struct {
	method string
	pull   func()
}

func (b faultyBackOff) NextBackOff() time.Duration {
	if b.method == "NextBackOff" {
		b.pull()
	}
	return time.Second
}

func (b faultyBackOff) Reset() {
	if b.method == "Reset" {
		b.pull()
	}
}

type faultyHandler struct {
	slog.Handler
	method string
	pull   func()
}

func (h faultyHandler) Enabled(context.Context, slog.Level) bool {
	if h.method == "Enabled" {
		h.pull()
	}
	return true
}

func (h faultyHandler) Handle(context.Context, slog.Record) error {
	if h.method == "Handle" {
		h.pull()
	}
	return nil
}

func (h faultyHandler) WithGroup(string) slog.Handler { return h }

type faultyContext struct {
	context.Context
	pull func()
}

func (c faultyContext) Value(key any) any { c.pull(); return c.Context.Value(key) }

// A faultyDialer makes connections of which one method fails.
type faultyDialer struct {
	transport.Dialer
	method string
	pull   func()
}

func (d faultyDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	if d.method == "Dial" {
		d.pull()
	}
	conn, resp, err := d.Dialer.Dial(ctx, h)
	if err == nil {
		conn = &faultyConn{conn, d.method, d.pull}
	}
	return conn, resp, err
}

type faultyConn struct {
	transport.Conn
	method string
	pull   func()
}

func (c *faultyConn) at(method string) {
	if c.method == method {
		c.pull()
	}
}

func (c *faultyConn) Reader() (transport.MessageType, io.Reader, error) {
	typ, r, err := c.Conn.Reader()
	if err == nil {
		c.at("Reader")
	}
	return typ, readFunc(func(p []byte) (int, error) { c.at("Read"); return r.Read(p) }), err
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func (c *faultyConn) Write(t transport.MessageType, p []byte) error {
	c.at("Write")
	return c.Conn.Write(t, p)
}

func (c *faultyConn) Ping(ctx context.Context) error { c.at("Ping"); return c.Conn.Ping(ctx) }

func (c *faultyConn) Close(code int, reason string) error {
	c.at("Close")
	return c.Conn.Close(code, reason)
}

func (c *faultyConn) CloseNow() error {
	defer c.at("CloseNow")
	return c.Conn.CloseNow()
}

func (c *faultyConn) Subprotocol() string { c.at("Subprotocol"); return c.Conn.Subprotocol() }

// A faultyNetConn is a network connection of which one method fails.
type faultyNetConn struct {
	net.Conn
	method string
	pull   func()
}

func (c *faultyNetConn) at(method string) {
	if c.method == method {
		c.pull()
	}
}

func (c *faultyNetConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.at("Read")
	return n, err
}

func (c *faultyNetConn) Write(p []byte) (int, error) { c.at("Write"); return c.Conn.Write(p) }
func (c *faultyNetConn) Close() error                { defer c.at("Close"); return c.Conn.Close() }

func (c *faultyNetConn) SetWriteDeadline(t time.Time) error {
	c.at("SetWriteDeadline")
	return c.Conn.SetWriteDeadline(t)
}

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
