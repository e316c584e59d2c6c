package wechatws

import (
	"fmt"
	"log/slog"
	"net/url"

	"github.com/wechatws/wechatws/internal/printable"
)

// String returns the endpoint's host and the state, such as "client of live.example.com,
// open". With [WithEndpoint] the host is known from the first attempt on. Printed and in a log
// a Client shows nothing else, since its options hold secrets. String does not block.
func (c *Client) String() string {
	host, state := c.shown()
	if host != "" {
		host = " of " + host
	}
	return fmt.Sprintf("client%s, %v", host, state)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (c *Client) GoString() string { return "wechatws.Client(" + c.String() + ")" }

// LogValue implements [slog.LogValuer], with a group of the attributes host and state.
func (c *Client) LogValue() slog.Value {
	host, state := c.shown()
	return slog.GroupValue(slog.String("host", host), slog.String("state", state.String()))
}

func (c *Client) shown() (host string, state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return printable.Text(c.host), c.state
}

// String returns the URL's scheme and host.
func (e Endpoint) String() string {
	u, err := parseURL(e.URL)
	if err != nil {
		return printable.NotShown
	}
	return shownURL(u)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (e Endpoint) GoString() string { return "wechatws.Endpoint(" + e.String() + ")" }

// LogValue implements [slog.LogValuer], with what String returns.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// String returns the connection's number, the attempt's and how long it took, such as
// "connection 3 is open: attempt 2, 80ms".
func (e OpenEvent) String() string {
	return fmt.Sprintf("connection %d is open: attempt %d, %v", e.Connection, e.Attempt, e.Timings.Total)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (e OpenEvent) GoString() string { return "wechatws.OpenEvent(" + e.String() + ")" }

// String returns the connection's number and why it has ended, such as "connection 3 has ended:
// peer closed the connection: close code 1001 (going away)".
func (e CloseEvent) String() string {
	why := fmt.Sprintf("close code %v", e.Code)
	if e.Err != nil {
		why = because(e.Err)
	}
	return fmt.Sprintf("connection %d has ended: %s", e.Connection, why)
}

// GoString implements [fmt.GoStringer], with what String returns.
func (e CloseEvent) GoString() string { return "wechatws.CloseEvent(" + e.String() + ")" }

// String returns the attempt's number and its error, if there is one.
func (i DialInfo) String() string {
	text := fmt.Sprintf("attempt %d", i.Attempt)
	if i.Err != nil {
		text += ": " + because(i.Err)
	}
	return text
}

// GoString implements [fmt.GoStringer], with what String returns.
func (i DialInfo) GoString() string { return "wechatws.DialInfo(" + i.String() + ")" }

// The errors below have fields with data of the server, and causes of any type, which may hold
// such data too. In JSON they are their text, as in Stats and in events. Their methods have value
// receivers, for an error that is printed without its pointer.

// GoString implements [fmt.GoStringer], with the text of Error.
func (e DialError) GoString() string { return goString("DialError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e DialError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e HandshakeError) GoString() string { return goString("HandshakeError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e HandshakeError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e CloseError) GoString() string { return goString("CloseError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e CloseError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// GoString implements [fmt.GoStringer], with the text of Error.
func (e DecodeError) GoString() string { return goString("DecodeError", &e) }

// MarshalText implements [encoding.TextMarshaler], with the text of Error.
func (e DecodeError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

func goString(name string, err error) string {
	return "&wechatws." + name + "(" + because(err) + ")"
}

// shownURL returns the scheme and the host of a URL. Queries, user info and paths may hold
// tokens.
func shownURL(u *url.URL) string {
	return printable.Text((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}
