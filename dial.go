package wechatws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/internal/frames"
)

// maxRedirects bounds what the transport would follow without end.
const maxRedirects = 3

// A dialing is one attempt from DNS to the server's answer.
type dialing struct {
	cfg    *config
	ctx    context.Context
	url    *url.URL
	header http.Header
	dials  sync.WaitGroup // calls of netDial

	mu      sync.Mutex // the trace is called from net/http's goroutines
	step    Step
	began   time.Time // the step
	timings Timings
	wires   []*wire // redirects make several; the last one is the connection's
	over    bool    // no more
}

// What a dial that succeeds has brought.
type dialed struct {
	conn       Conn
	wire       *wire          // nil when the Dialer makes connections of its own
	stream     *frames.Stream // nil when the Conn is to see every frame
	compressed bool           // perhaps: it was offered
}

// dial makes a connection to ep, with an offer of compression or without. Its errors are *DialError.
func (c *config) dial(ctx context.Context, ep Endpoint, compression bool) (dialed, OpenEvent, error) {
	u, err := parseURL(ep.URL)
	if err != nil {
		return dialed{}, OpenEvent{}, &DialError{Step: StepEndpoint, Err: err, text: trimPrefix(err)}
	}
	d := &dialing{cfg: c, url: u, header: c.mergedHeader(ep.Header)}
	d.begin(StepHandshake)
	d.timings.Start = d.began

	timeout := fmt.Errorf("no answer within %v: %w", c.dialTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, c.dialTimeout, timeout)
	defer cancel()
	d.ctx = ctx
	var conn Conn
	var resp *http.Response
	var stream *frames.Stream
	var event OpenEvent
	err = protect(func() (err error) {
		conn, resp, err = c.dialer.Dial(httptrace.WithClientTrace(ctx, d.trace()), Handshake{
			URL:          u.String(),
			Header:       d.header,
			Subprotocols: c.subprotocols,
			Compression:  compression,
			Client:       d.client(),
		})
		if isNil(conn) {
			if conn = nil; err == nil {
				resp, err = nil, errNoConn
			}
			return err
		}
		if conn, stream = bounded(conn); err == nil {
			event.Subprotocol = conn.Subprotocol()
		}
		return err
	})
	if err != nil {
		if conn != nil { // the server is not at fault
			_ = conn.CloseNow()
			resp = nil
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		cancel()
		d.abandon()
		return dialed{}, OpenEvent{Timings: d.timed()}, d.failed(resp, err)
	}
	timings := d.timed()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := dialed{conn: conn, stream: stream, compressed: compression}
	event.Timings = timings
	if resp != nil {
		event.Header = resp.Header
	}
	if n := len(d.wires); n > 0 {
		got.wire = d.wires[n-1]
	}
	return got, event, nil
}

// timed is where the time has gone up to now.
func (d *dialing) timed() Timings {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timings.Total = time.Since(d.timings.Start)
	return d.timings
}

// client is good for this one attempt: nothing of it is left once there is a
// connection.
func (d *dialing) client() *http.Client {
	var conf *tls.Config
	if d.cfg.tls != nil {
		conf = d.cfg.tls.Clone()
		conf.NextProtos = []string{"http/1.1"} // there is no upgrade in HTTP/2
	}
	t := &http.Transport{
		DialContext:       d.dialNet,
		TLSClientConfig:   conf,
		DisableKeepAlives: true, // a refused handshake must not leave a connection behind

		MaxResponseHeaderBytes: 64 << 10,
	}
	if d.cfg.proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			u, err := d.cfg.proxy(r)
			if err != nil { // its text may hold the proxy's password
				return nil, proxyError("the proxy settings cannot be used")
			}
			return u, nil
		}
		t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
			if r.StatusCode != http.StatusOK {
				return &ProxyError{Status: r.StatusCode}
			}
			return nil
		}
	}
	var transport http.RoundTripper = t
	if !d.cfg.everyFrame {
		transport = upgrade{t}
	}
	return &http.Client{Transport: transport, CheckRedirect: d.checkRedirect}
}

// An upgrade puts a stream between the WebSocket library and its connection, which
// is the body of the response.
type upgrade struct{ http.RoundTripper }

func (u upgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if body, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = frames.NewStream(body)
	}
	return resp, nil
}

// A proxyError is a proxy that cannot be used, as against one that refuses.
type proxyError string

func (e proxyError) Error() string { return string(e) }

// dialNet makes a network connection. net/http gives it a context that does not
// end with the request, in the hope of using the connection for another one. Here
// it ends with the attempt: a stale one must neither linger nor come up late.
func (d *dialing) dialNet(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	over := d.over
	if !over {
		d.dials.Add(1)
		defer d.dials.Done()
	}
	d.mu.Unlock()
	if over {
		return nil, net.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()

	var w *wire
	err := protect(func() (err error) {
		if d.cfg.guard != nil {
			if err := d.cfg.guard(); err != nil {
				return err
			}
		}
		c, err := d.cfg.netDial(ctx, network, addr)
		if err == nil && isNil(c) {
			err = errNoNetConn
		}
		if err == nil {
			w = newWire(c, d.cfg.guard)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.wires = append(d.wires, w)
	d.mu.Unlock()
	return w, nil
}

// abandon leaves nothing of an attempt that has failed. The context has ended.
func (d *dialing) abandon() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.dials.Wait()
	for _, w := range d.wires {
		w.Close()
	}
}

// checkRedirect follows a few redirects, and keeps what may be secret from other
// hosts: net/http itself strips only the headers that it knows, and tells the
// next host the last URL, query and all.
func (d *dialing) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if d.url.Scheme == "wss" && req.URL.Scheme != "https" && req.URL.Scheme != "wss" {
		return errors.New("redirect from TLS to plain text refused")
	}
	req.Header.Del("Referer")
	if req.URL.Host != via[0].URL.Host {
		for name := range d.header {
			req.Header.Del(name)
		}
	}
	return nil
}

// begin notes that a step begins.
func (d *dialing) begin(s Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.began = s, time.Now()
}

// end notes how long the step took, unless it failed.
func (d *dialing) end(took *time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		*took = time.Since(d.began)
		d.step, d.began = StepHandshake, time.Now()
	}
}

func (d *dialing) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { d.begin(StepResolve) },
		DNSDone:              func(i httptrace.DNSDoneInfo) { d.end(&d.timings.Resolve, i.Err) },
		ConnectStart:         func(_, _ string) { d.begin(StepConnect) },
		ConnectDone:          func(_, _ string, err error) { d.end(&d.timings.Connect, err) },
		TLSHandshakeStart:    func() { d.begin(StepTLS) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { d.end(&d.timings.TLS, err) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { d.begin(StepHandshake) },
		GotFirstResponseByte: func() { d.end(&d.timings.Handshake, nil) },
	}
}

// failed makes the error of an attempt.
func (d *dialing) failed(resp *http.Response, err error) error {
	d.mu.Lock()
	step := d.step
	d.mu.Unlock()
	for ue := (*url.Error)(nil); errors.As(err, &ue); { // its text holds the whole URL
		err = ue.Err
	}
	var op *net.OpError
	var unusable proxyError
	var refused *ProxyError
	switch {
	case resp != nil:
		step, err = StepHandshake, d.handshakeError(resp, err)
	case errors.As(err, &unusable), errors.As(err, &refused), errors.As(err, &op) && op.Op == "proxyconnect":
		step = StepProxy
	case errors.As(err, &op) && op.Op == "dial" && step == StepHandshake:
		step = StepConnect // a WithNetDial that tells the trace nothing
	case isCertificateError(err):
		step = StepTLS
	}
	text := trimPrefix(err)
	if op != nil && op.Op == "dial" { // the rest of its text is said already
		text = bare(op).Error()
	}
	addr := d.url.Host
	if d.url.Port() == "" {
		addr = net.JoinHostPort(d.url.Hostname(), map[string]string{"ws": "80", "wss": "443"}[d.url.Scheme])
	}
	return &DialError{Step: step, Addr: addr, Err: err, text: d.redact(text)}
}

// handshakeError tells of a response that is no valid upgrade.
func (d *dialing) handshakeError(resp *http.Response, err error) *HandshakeError {
	e := &HandshakeError{Status: resp.StatusCode, Header: resp.Header, RetryAfter: retryAfter(resp, time.Now())}
	if resp.Body != nil {
		e.Body, _ = io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_, e.detail, _ = strings.Cut(err.Error(), "failed to WebSocket dial: ")
	} else if line := firstLine(e.Body); line != "" {
		e.detail = fmt.Sprintf("%q", line)
	}
	e.detail = d.redact(e.detail)
	return e
}

// firstLine is the start of a body, short enough for an error message.
func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
	if r := []rune(line); len(r) > 100 {
		line = string(r[:100]) + "…"
	}
	return line
}

// redact takes the attempt's secrets out of a text that may echo them: a
// server's error page, a dialer's error.
func (d *dialing) redact(text string) string {
	var secrets []string
	for _, values := range d.url.Query() {
		secrets = append(secrets, values...)
	}
	for _, values := range d.header {
		secrets = append(secrets, values...)
	}
	if password, ok := d.url.User.Password(); ok {
		secrets = append(secrets, password)
	}
	secrets = append(secrets, d.url.User.Username(), d.url.RawQuery)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // a whole before its parts
	for _, s := range secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return text
}

// minSecret spares short values such as "1": no secret, and all over the text.
const minSecret = 4

// trimPrefix is for an error inside another one of this package.
func trimPrefix(err error) string { return strings.TrimPrefix(err.Error(), "wechatws: ") }
