package wechatws_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
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
