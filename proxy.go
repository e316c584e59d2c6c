package wechatws

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// chooseProxy is the Proxy function of the attempt's http.Transport, which it gives SOCKS proxies
// only. dialNet asks an HTTP proxy for a tunnel: net/http does so for https only, and then refuses
// statuses and headers that are valid (RFC 9110, section 9.3.6). For http it sends the request itself
// to the proxy, and proxies that do not know WebSocket remove its Upgrade; RFC 6455, section 4.1,
// demands a tunnel.
func (d *dialing) chooseProxy(r *http.Request) (*url.URL, error) {
	u, err := d.cfg.proxy(r)
	if err != nil { // its text may contain the proxy's password
		return nil, &proxyError{networkError{"the proxy settings cannot be used", err}}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxy = nil
	switch {
	case u == nil:
		return nil, nil
	case u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https"):
		d.proxy = u
		return nil, nil
	case u.Hostname() != "" && (u.Scheme == "socks5" || u.Scheme == "socks5h"):
		return u, nil
	}
	return nil, &proxyError{networkError{text: "the proxy's URL must have a host, and the scheme http, https, socks5 or socks5h"}}
}

// A proxyError means that a proxy cannot be used. For one that refuses there is ProxyError.
type proxyError struct{ networkError }

// proxyAddr returns the address of an HTTP proxy.
func proxyAddr(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), standardPort(u.Scheme)))
}

// tunnel asks a proxy, to which socket is connected, for a tunnel to addr. The end of the attempt
// aborts the socket.
func (d *dialing) tunnel(ctx context.Context, socket net.Conn, proxy *url.URL, addr string) (net.Conn, error) {
	c := socket
	if proxy.Scheme == "https" {
		conf := d.tlsConfig()
		conf.ServerName = cmp.Or(conf.ServerName, proxy.Hostname())
		secure := tls.Client(c, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, toProxy(err)
		}
		c = secure
	}
	connect := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(u.Username() + ":" + password))
		connect.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := connect.Write(c); err != nil {
		return nil, toProxy(err)
	}
	// The server sends nothing before the request, so that nothing of it is in this buffer.
	answer := bufio.NewReader(io.LimitReader(c, maxHeader))
	status, err := tunnelStatus(answer)
	switch {
	case err != nil:
		return nil, toProxy(err)
	case status < 200 || status > 299:
		return nil, d.proxyRefused(status, c, answer)
	}
	return c, nil
}

// errNoAnswer does not repeat the answer, which may repeat the proxy's password.
var errNoAnswer = errors.New("the answer is not HTTP")

// tunnelStatus reads a proxy's answer to CONNECT, and returns its status. It ignores the header, as
// RFC 9110, section 9.3.6, demands of Content-Length and Transfer-Encoding; http.ReadResponse does
// not.
func tunnelStatus(answer *bufio.Reader) (int, error) {
	lines := textproto.NewReader(answer)
	for {
		line, err := lines.ReadLine()
		if err != nil {
			return 0, err
		}
		proto, rest, _ := strings.Cut(line, " ")
		code, _, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if !strings.HasPrefix(proto, "HTTP/1.") || err != nil || status < 100 || status > 999 {
			return 0, errNoAnswer
		}
		for line != "" {
			if line, err = lines.ReadLine(); err != nil {
				return 0, err
			}
		}
		if status >= 200 || status == http.StatusSwitchingProtocols { // the others precede an answer
			return status, nil
		}
	}
}

// bodyGrace is how long the body of a proxy's refusal may take.
const bodyGrace = time.Second

// proxyRefused returns the error for a proxy's refusal. What follows its header is read only if it
// is shown.
func (d *dialing) proxyRefused(status int, c net.Conn, answer io.Reader) *ProxyError {
	e := &ProxyError{Status: status}
	if d.cfg.serverText {
		_ = c.SetReadDeadline(time.Now().Add(bodyGrace)) // the connection is not used any more
		body, _ := io.ReadAll(io.LimitReader(answer, maxBody))
		e.said = d.cfg.says(d.redact(string(body)))
	}
	return e
}

// toProxy marks an error of the connection to a proxy as net/http does.
func toProxy(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
