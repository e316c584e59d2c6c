package wechatws

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/wechatws/wechatws/internal/printable"
)

// maxRedirects is how many redirects of a handshake are followed.
const maxRedirects = 3

// checkRedirect allows a few redirects on the same host. Another host must not receive the
// header, the subprotocols and the login, which are for the configured host, and is refused unless
// the option allows it. On the same host the credentials of the URL are kept, as the header is: a
// Location has none. checkRedirect also removes the Referer that net/http adds, since that is the last
// URL with its query.
func (d *dialing) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if d.url.Scheme == "wss" && req.URL.Scheme != "https" && req.URL.Scheme != "wss" {
		return errors.New("redirect from TLS to plain text refused")
	}
	if _, own := d.header["Referer"]; !own {
		req.Header.Del("Referer")
	}
	req.URL.RawQuery = escapeQuery(req.URL.RawQuery)
	if !d.moved && sameHost(req.URL, via[0].URL) {
		if req.URL.User == nil {
			req.URL.User = via[0].URL.User
		}
		return nil
	}
	if !d.cfg.crossHost {
		return fmt.Errorf("redirect to another host (%s) refused; connect to that host if it is the right one, or see WithCrossHostRedirects", printable.Text(req.URL.Host))
	}
	d.moved = true // for good: the other host may have made the URL of a redirect back
	for name := range d.header {
		req.Header.Del(name)
	}
	req.Header.Del("Sec-WebSocket-Protocol")
	return nil
}

// target returns the URL that was requested last, with a scheme of http or https if the Dialer uses
// the Client of its Handshake.
func (d *dialing) target() *url.URL {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil {
		return d.url
	}
	return d.at
}

// sameHost reports whether two URLs of http or https have the same host and the same port, or
// the standard ports, since a redirect may lead from http to https.
func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != standardPort(u.Scheme) {
			return p
		}
		return ""
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// standardPort returns the port of a URL without one.
func standardPort(scheme string) string {
	switch scheme {
	case "ws", "http":
		return "80"
	case "wss", "https":
		return "443"
	}
	return ""
}
