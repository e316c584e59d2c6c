package wechatws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/transport"
)

// Connect: where to, and how.

// WithEndpoint calls fn before every attempt for the URL, the header and the TLS configuration,
// by default the url given to [New], which must be empty with this option. It is for tokens and
// certificates that expire and for hosts that change.
//
// fn receives the number of the attempt, as in [StateChange], and the error of the previous
// attempt or connection, or nil. It runs on a goroutine of its own, one call at a time, and
// may block until its context ends: after the dial timeout ([WithDialTimeout]), or when the
// client is closed. If it returns an error, the attempt has failed; an error marked with
// [Permanent] ends the client. If it returns an Endpoint that cannot be used, the attempt has
// failed with an *[OptionError] in its *[DialError], and the next one follows.
func WithEndpoint(fn func(ctx context.Context, attempt int, last error) (Endpoint, error)) Option {
	return setting("WithEndpoint", func(c *config) error {
		c.endpoint, c.urls = fn, nil
		if fn == nil {
			return wrong("WithEndpoint", "nil", "must be a function")
		}
		return nil
	})
}

// WithHeader sends h with every handshake, by default no header: cookies, tokens, an Origin.
// Names are sent as they are written. A Host is sent instead of the URL's, to which the client
// connects. h is cloned. The headers of the handshake itself are refused, and so are two names
// that differ in case only. nil is no header.
func WithHeader(h http.Header) Option {
	return setting("WithHeader", func(c *config) error {
		c.header = h.Clone()
		return checkHeader("WithHeader", h)
	})
}

// WithSubprotocols offers these subprotocols, the preferred one first; by default none. The server
// must select one of them: if it selects none, or another one, the attempt has failed, with a
// [*HandshakeError] of status 101, as in browsers. [OpenEvent] has the one that was selected.
func WithSubprotocols(names ...string) Option {
	return setting("WithSubprotocols", func(c *config) error {
		c.subprotocols = slices.Clone(names)
		var errs []error
		for i, name := range names {
			at := fmt.Sprintf("name %d of %d", i+1, len(names)) // the name itself may be a secret
			switch {
			case !isToken(name):
				errs = append(errs, wrong("WithSubprotocols", at, "must be an HTTP token such as \"chat.v1\""))
			case slices.Contains(names[:i], name):
				errs = append(errs, wrong("WithSubprotocols", at, "must be given once"))
			}
		}
		return errors.Join(errs...)
	})
}

// WithCookieJar keeps the cookies of the server's answers in jar, redirects included, and sends
// them with later handshakes; by default none are kept. It is for load balancers that bind a client
// to a server, and for gateways that set a cookie in a redirect. Package net/http/cookiejar has a
// jar. Cookies of [WithHeader] are sent in addition.
func WithCookieJar(jar http.CookieJar) Option {
	return setting("WithCookieJar", func(c *config) error {
		if boundary.IsNil(jar) {
			return wrong("WithCookieJar", "nil", "must be a CookieJar")
		}
		c.jar = jar
		return nil
	})
}

// WithCrossHostRedirects follows redirects of the handshake to other hosts too, by default only on
// the same host and port; at most three, and none from wss to ws. Another host receives neither
// the header ([WithHeader], [Endpoint], [DialInfo]) nor the subprotocols, and on a connection to it
// the login message is not sent. What [Client.AfterConnect] functions send, heartbeats and queued
// messages are. It must select no subprotocol. The TLS configuration is the same. [OpenEvent] has
// the host.
func WithCrossHostRedirects() Option {
	return setting("WithCrossHostRedirects", func(c *config) error { c.crossHost = true; return nil })
}

// WithTLSConfig sets the TLS configuration for wss, by default that of package crypto/tls. t
// is cloned. Its callbacks run on goroutines of net/http; a panic in one is a failed attempt.
// Versions below TLS 1.2 are refused. [Endpoint] may have another configuration for an attempt.
func WithTLSConfig(t *tls.Config) Option {
	return setting("WithTLSConfig", func(c *config) error {
		if t == nil {
			return wrong("WithTLSConfig", "nil", "must be a configuration")
		}
		c.tls = cloneTLS(t)
		return checkTLS("WithTLSConfig", t)
	})
}

// WithProxy sets the function that chooses the proxy for each handshake, by default
// [http.ProxyFromEnvironment]; see the Proxy field of [http.Transport]. A proxy is asked for a
// tunnel (CONNECT), for ws as for wss. Its URL has a host and the scheme http, https, socks5 or
// socks5h; with another one the attempt fails. nil is no proxy. An error from fn is a failed
// attempt, and ends the client if it is marked with [Permanent].
func WithProxy(fn func(*http.Request) (*url.URL, error)) Option {
	return setting("WithProxy", func(c *config) error { c.proxy = fn; return nil })
}

// WithNetDial makes the network connections below TLS and HTTP, by default with a
// [net.Dialer]: for choosing an interface, setting socket options, or a network in memory.
// The default connects with TCP_NODELAY, and tries an address that has failed within the last
// 10 minutes after the other addresses of the same name.
//
// fn runs on a goroutine of its own, and must return when its context ends. The context has
// the deadline of the dial timeout ([WithDialTimeout]), which [net.Dialer] divides among the
// addresses of a name. fn alone decides the order of the addresses. An error from it is a
// failed attempt, and ends the client if it is marked with [Permanent].
//
// A connection that is neither a [*net.TCPConn] nor a [*net.UnixConn] is only written to on
// goroutines of the client, and closed on one of its own, so that its methods may block.
func WithNetDial(fn func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return setting("WithNetDial", func(c *config) error {
		if fn == nil {
			return wrong("WithNetDial", "nil", "must be a function")
		}
		c.netDial = fn
		return nil
	})
}

// WithDialer sets the implementation of WebSocket, by default the client's own one of RFC 6455
// and RFC 7692. Packages transport/coder and transport/nhooyr have Dialers for programs that
// use one of these libraries already. A [transport.Dialer] may also wrap the [transport.Conn]
// of another one: all messages are then read and written by the wrapper.
//
// With a Dialer, each message is written with a call of its own, on a goroutine of the client,
// and the [transport.Conn] answers the server's pings and performs the close handshake. If a
// write fails, or is under way when the connection ends, the message is sent again or handed
// back although it may have arrived.
func WithDialer(d transport.Dialer) Option {
	return setting("WithDialer", func(c *config) error {
		if boundary.IsNil(d) {
			return wrong("WithDialer", "nil", "must be a Dialer")
		}
		c.dialer = d
		return nil
	})
}

// WithDialTimeout bounds an attempt, from DNS to the server's answer, by default to 10 s. The
// function of [WithEndpoint] before it, and making and writing the login message after it,
// are bounded by the same duration each. It must be above zero.
func WithDialTimeout(d time.Duration) Option {
	return setting("WithDialTimeout", func(c *config) error {
		c.dialTimeout = d
		return positive("WithDialTimeout", d)
	})
}

// WithReadLimit sets the largest inbound message, in bytes after decompression, by default
// 1 MiB; [math.MaxInt64] is no limit. It must be above zero.
//
// A larger message is read and discarded, in memory that does not grow with it. [Client.OnError]
// receives a [*ReadLimitError] with its size, in the order of the messages, and the connection
// stays open. No call receives the message: a [Client.Request] whose answer is too large blocks
// until its context ends. A message that is larger than the limit by more than 64 MiB ends the
// connection with the same error and [StatusMessageTooBig], as soon as that is known, and a
// reconnect follows; [WithStrict] does this at any message above the limit.
func WithReadLimit(bytes int64) Option {
	return setting("WithReadLimit", func(c *config) error {
		c.readLimit = bytes
		if bytes <= 0 {
			return wrong("WithReadLimit", bytes, "must be above zero")
		}
		return nil
	})
}

// WithStrict ends the connection, as RFC 6455 has it, at a message above the read limit
// ([WithReadLimit]) and at text that is not valid UTF-8; by default both are skipped, and
// [Client.OnError] receives a [*ReadLimitError], or a [*DecodeError] that wraps [ErrNotUTF8]. Use
// it if the server sends again what it could not deliver.
//
// The client sends a close frame and reconnects: with [StatusMessageTooBig] as soon as the limit is
// exceeded, or a frame header announces that it will be; with [StatusInvalidFramePayloadData] at
// the first invalid byte (with [WithDialer]: at the end of the message). [Client.OnClose] receives
// a [*CloseError] that wraps a *ReadLimitError, or [ErrProtocol] and ErrNotUTF8; OnError is not
// called.
func WithStrict() Option {
	return setting("WithStrict", func(c *config) error { c.strict = true; return nil })
}

// WithCompression offers permessage-deflate without context takeover, by default off: for
// small messages it costs more memory and time than it saves. Messages of less than 512 bytes,
// and those that would not become smaller, are sent uncompressed. If a server's answer says
// that it keeps its context nevertheless, each connection to it takes 32 KiB more.
//
// If a server answers the offer wrongly, or sends a message that cannot be decompressed, the
// attempt or the connection ends with an [ErrProtocol] that says so, and no compression is offered
// from then on. [Client.OnError] receives that error too.
func WithCompression() Option {
	return setting("WithCompression", func(c *config) error { c.compression = true; return nil })
}

// errCompression means that a server answers the offer of compression wrongly, or that a message
// cannot be decompressed: it is truncated, or the server keeps its context although it was
// negotiated otherwise.
var errCompression = fmt.Errorf("%w: server compresses wrongly, going on without compression", ErrProtocol)
