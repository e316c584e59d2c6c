package wechatws

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// chooseProxy is the Proxy function of the attempt's http.Transport. net/http asks a proxy for a
// tunnel for https only. For http it sends the request itself to the proxy, and proxies that do not
// know WebSocket remove its Upgrade; RFC 6455, section 4.1, demands a tunnel. So for http the
// transport sees no proxy, and dialNet makes the tunnel. SOCKS has nothing but tunnels.
func (d *dialing) chooseProxy(r *http.Request) (*url.URL, error) {
	u, err := d.cfg.proxy(r)
	if err != nil { // its text may contain the proxy's password
		return nil, &proxyError{networkError{"the proxy settings cannot be used", err}}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxy = nil
	if u != nil && r.URL.Scheme == "http" && (u.Scheme == "http" || u.Scheme == "https") {
		d.proxy, u = u, nil
	}
	return u, nil
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
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, maxHeader)), connect)
	if err != nil {
		return nil, toProxy(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, d.proxyRefused(resp)
	}
	return c, nil
}

// bodyGrace is how long the body of a proxy's refusal may take.
const bodyGrace = time.Second

// proxyRefused returns the error for a proxy's response. The body is read only if it is shown.
func (d *dialing) proxyRefused(resp *http.Response) *ProxyError {
	e := &ProxyError{Status: resp.StatusCode}
	if d.cfg.serverText {
		_ = d.socket().SetReadDeadline(time.Now().Add(bodyGrace)) // the connection is not used any more
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		e.said = d.cfg.says(d.redact(string(body)))
	}
	return e
}

// toProxy marks an error of the connection to a proxy as net/http does.
func toProxy(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
