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

// shownURL returns the scheme and the host of a URL. Queries, user info and paths may hold
// tokens.
func shownURL(u *url.URL) string {
	return printable.Text((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}
