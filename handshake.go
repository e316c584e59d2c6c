package wechatws

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/internal/ws"
	"github.com/wechatws/wechatws/transport"
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

// maxBody is how much of the body of a refusal is read, in bytes.
const maxBody = 1 << 10

// handshake makes the WebSocket connection, with package ws unless there is a Dialer.
func (d *dialing) handshake(ctx context.Context) (wireConn, *http.Response, error) {
	if d.cfg.dialer == nil {
		c, resp, err := ws.Dial(ctx, ws.Handshake{
			URL:          d.url.String(),
			Header:       d.header,
			Subprotocols: d.cfg.subprotocols,
			Compression:  d.compression,
			Client:       d.client(),
			Socket:       d.socket,
		})
		if err != nil {
			return nil, resp, err
		}
		return c, resp, nil
	}
	c, resp, err := d.cfg.dialer.Dial(ctx, transport.Handshake{
		URL:          d.url.String(),
		Header:       d.header,
		Subprotocols: d.cfg.subprotocols,
		Compression:  d.compression,
		Client:       d.client(),
	})
	switch {
	case !boundary.IsNil(c):
		return users.Conn(c), resp, err
	case err == nil:
		return nil, nil, errNoConn
	}
	return nil, resp, err
}

// client returns the HTTP client of this attempt. Nothing of it remains once there is a
// connection.
func (d *dialing) client() *http.Client {
	t := &http.Transport{
		DialContext:       d.dialNet,
		TLSClientConfig:   d.tlsConfig(),
		DisableKeepAlives: true, // a refused handshake must not leave a connection behind

		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        1 << 10, // for one request and one answer
		ReadBufferSize:         1 << 10,
	}
	if d.cfg.proxy != nil {
		t.Proxy = d.chooseProxy
	}
	return &http.Client{Transport: &requester{t, d}, CheckRedirect: d.checkRedirect, Jar: d.cfg.jar}
}

// A requester makes requests with the names of headers as they were given and with the Host in
// the header, otherwise without a standard port (RFC 6455, section 4.1): some servers compare names
// and hosts byte by byte, and net/http does none of it.
type requester struct {
	http.RoundTripper
	dialing *dialing
}

// RoundTrip implements [http.RoundTripper].
func (r *requester) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := req.WithContext(req.Context()) // req must not be changed
	sent.Header = make(http.Header, len(req.Header))
	for name, values := range req.Header {
		sent.Header[cmp.Or(r.dialing.names[name], name)] = values
	}
	host := strings.TrimSuffix(cmp.Or(req.Host, req.URL.Host), ":"+standardPort(req.URL.Scheme))
	sent.Host = cmp.Or(req.Header.Get("Host"), host)
	r.dialing.requested(req)
	resp, err := r.RoundTripper.RoundTrip(sent)
	if err != nil || resp.StatusCode/100 != 3 {
		return resp, err
	}
	if _, err = resp.Location(); err != nil && !errors.Is(err, http.ErrNoLocation) {
		resp.Body.Close()
		return nil, errBadLocation
	}
	return resp, nil
}

// errBadLocation does not repeat the Location, which a server composes freely. The error of net/http
// does.
var errBadLocation = errors.New("redirect to an invalid URL")

// requested records where a request goes, and the secrets in it that net/http has added.
func (d *dialing) requested(req *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = req.URL
	credentials := req.Header.Get("Authorization")
	_, token, _ := strings.Cut(credentials, " ")
	d.sent = append(d.sent, credentials, token, req.Header.Get("Cookie"))
	for _, cookie := range req.Cookies() {
		d.sent = append(d.sent, cookie.Value)
	}
}

// namesOf returns how names in the request are written, by their canonical names: those of the
// handshake as in RFC 6455, others as in the headers given, of which a later one counts.
func namesOf(headers ...http.Header) map[string]string {
	names := map[string]string{}
	for _, name := range []string{"Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "Sec-WebSocket-Version"} {
		names[http.CanonicalHeaderKey(name)] = name
	}
	for _, h := range headers {
		for _, name := range slices.Sorted(maps.Keys(h)) { // a trace may have written one name in two ways
			switch canonical := http.CanonicalHeaderKey(name); canonical {
			case "Accept-Encoding", "Host", "Range", "User-Agent": // otherwise net/http would add its own
			default:
				names[canonical] = name
			}
		}
	}
	return names
}

// tlsConfig returns the TLS configuration of this attempt.
func (d *dialing) tlsConfig() *tls.Config {
	conf := &tls.Config{}
	if d.tls != nil {
		conf = d.tls.Clone()
		conf.NextProtos = []string{"http/1.1"} // HTTP/2 has no upgrade
	}
	// Otherwise what is written at a time at the beginning of a connection becomes several
	// records, and a cut connection would send the messages in the first ones again.
	conf.DynamicRecordSizingDisabled = true
	return conf
}

// handshakeError returns the error for a response that is no valid upgrade.
func (d *dialing) handshakeError(resp *http.Response, err error) *HandshakeError {
	e := &HandshakeError{Status: resp.StatusCode, Header: resp.Header, RetryAfter: retryAfter(resp, time.Now())}
	if resp.Body != nil && resp.StatusCode != http.StatusSwitchingProtocols { // that of a 101 is the connection
		_ = users.Apart(func() (err error) {
			e.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
			return err
		})
		e.said = d.cfg.says(d.redact(string(e.Body)))
	}
	if plain := standardPort(d.target().Scheme) == "80"; plain && resp.StatusCode == http.StatusBadRequest && refusesPlain(e.Body) {
		e.detail, e.cause = needsTLS, http.ErrSchemeMismatch
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		e.detail = printable.Text(d.redact(err.Error()))
		wrong := (*ws.ProtocolError)(nil)
		chosen := d.cfg.dialer != nil && resp.Header.Get("Sec-WebSocket-Extensions") != "" // perhaps the reason
		if d.compression && (chosen || errors.As(err, &wrong) && wrong.Deflate) {
			e.cause = errCompression
		}
	}
	return e
}

// statusText returns an HTTP status and its name, if there is one.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

const needsTLS = "server uses TLS: the scheme of the URL must be wss"

// tlsAlert is how net/http's error about an answer that is no HTTP begins to quote an alert of TLS.
const tlsAlert = `"\x15\x03`

// refusesPlain reports whether a server's page says that its port is for TLS: those of nginx, Go,
// Apache and Tomcat.
func refusesPlain(page []byte) bool {
	return slices.ContainsFunc([]string{"to HTTPS port", "to an HTTPS server", "to an SSL-enabled server port", "requires TLS"},
		func(s string) bool { return bytes.Contains(page, []byte(s)) })
}

// redact removes the attempt's secrets from a text that may repeat data of the peer: a malformed
// status line, a subprotocol, an error of WithNetDial. It finds only secrets that stand in the
// text unchanged; so a text that a server composes freely, such as its page, is shown only with
// WithServerText.
func (d *dialing) redact(text string) string {
	d.mu.Lock()
	secrets := slices.Clone(d.sent)
	d.mu.Unlock()
	for _, values := range d.url.Query() {
		secrets = append(secrets, values...)
	}
	for parameter := range strings.SplitSeq(d.url.RawQuery, "&") {
		_, escaped, _ := strings.Cut(parameter, "=")
		secrets = append(secrets, escaped)
	}
	for _, values := range d.header {
		secrets = append(secrets, values...)
	}
	if password, ok := d.url.User.Password(); ok {
		secrets = append(secrets, password)
	}
	secrets = append(secrets, d.url.User.Username(), d.url.RawQuery)
	secrets = append(secrets, d.cfg.subprotocols...)
	secrets = append(secrets, secretsOfPath(d.url)...)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return text
}

// minSecret is the length in bytes from which redact removes a value. Shorter ones, such as
// "1", are no secrets, and are part of other words.
const minSecret = 4

// secretsOfPath returns the path of a URL and its segments. A word, such as "connection" or "server",
// may be part of any error, so it is a secret only behind its slash. What the host contains is shown
// anyway.
func secretsOfPath(u *url.URL) []string {
	var secrets []string
	for _, path := range []string{u.Path, u.EscapedPath()} {
		secrets = append(secrets, path)
		for segment := range strings.SplitSeq(path, "/") {
			if isWord(segment) {
				segment = "/" + segment
			}
			secrets = append(secrets, segment)
		}
	}
	return slices.DeleteFunc(secrets, func(s string) bool { return strings.Contains(u.Host, strings.Trim(s, "/")) })
}

// isWord reports whether s has lower-case letters only, and is no longer than words are.
func isWord(s string) bool {
	return len(s) < 16 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}
