package wechatws

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/internal/addresses"
	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/printable"
	"github.com/wechatws/wechatws/internal/ws"
)

// A dialing is one attempt, from DNS to the server's answer.
type dialing struct {
	cfg         *config
	ctx         context.Context
	url         *url.URL
	header      http.Header
	names       map[string]string // of headers, see namesOf
	tls         *tls.Config       // nil: the default
	compression bool              // offer it
	moved       bool              // a redirect has led to another host; for the goroutine of the handshake
	choice      addresses.Choice
	dials       sync.WaitGroup // calls of dialNet

	mu      sync.Mutex // guards the fields below; goroutines of net/http call the trace
	phase   string
	began   time.Time // of the phase
	timings Timings
	at      *url.URL     // of the last request
	proxy   *url.URL     // for a tunnel that dialNet makes; nil: none
	sent    []string     // secrets in the requests, see requested
	sockets []*ws.Socket // several after redirects; the last one is the connection's
	over    bool         // no further sockets are made
}

// A dialed is the result of a successful dial.
type dialed struct {
	conn   wireConn
	socket *ws.Socket // nil if the Dialer makes connections of its own
	moved  bool       // to another host than that of the endpoint
}

// faults returns the faults of those connections that are the user's.
func (d dialed) faults() (faults []*boundary.Fault) {
	if c, ok := d.conn.(*boundary.Conn); ok {
		faults = append(faults, &c.Fault)
	}
	if d.socket != nil {
		if c, ok := d.socket.Conn.(*boundary.NetConn); ok {
			faults = append(faults, &c.Fault)
		}
	}
	return faults
}

// panicked returns the first panic in a connection of the user's, or nil.
func (d dialed) panicked() error {
	for _, f := range d.faults() {
		if err := f.Err(); err != nil {
			return err
		}
	}
	return nil
}

var (
	errNoConn    = errors.New("the Dialer returned neither a connection nor an error")
	errNoNetConn = errors.New("the function of WithNetDial returned neither a connection nor an error")

	errNoSubprotocol = errors.New("none of the subprotocols offered was selected; give WithSubprotocols one that the server supports, or leave the option out")
	errNotOffered    = errors.New("a subprotocol was chosen, and none was offered to this host")
)

// dial makes a connection to ep, with the header that traces have added, and offers compression
// if compression is true. Its errors are *DialError.
func (c *config) dial(ctx context.Context, ep Endpoint, traced http.Header, compression bool, memory *addresses.Memory) (dialed, OpenEvent, error) {
	u, err := parseURL(ep.URL)
	if err == nil {
		err = checkHeader("Endpoint.Header", ep.Header)
	}
	if err == nil && ep.TLS != nil {
		err = checkTLS("Endpoint.TLS", ep.TLS)
	}
	if err != nil {
		return dialed{}, OpenEvent{}, &DialError{Phase: phaseEndpoint, Err: err, text: because(err)}
	}
	d := &dialing{
		cfg: c, url: u, header: c.mergedHeader(ep.Header, traced), names: namesOf(c.header, ep.Header, traced),
		tls: c.tls, compression: compression, choice: addresses.Choice{Memory: memory},
	}
	if ep.TLS != nil {
		d.tls = cloneTLS(ep.TLS)
	}
	d.begin(phaseHandshake)
	d.timings.Start = d.began

	timeout := fmt.Errorf("no answer within %v: %w", c.dialTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, c.dialTimeout, timeout)
	defer cancel()
	d.ctx = ctx
	stopCut := context.AfterFunc(ctx, d.cut)
	var conn wireConn
	var resp *http.Response
	var event OpenEvent
	err = users.Apart(func() (err error) {
		conn, resp, err = d.handshake(httptrace.WithClientTrace(ctx, d.trace()))
		if err == nil {
			event.Subprotocol = conn.Subprotocol()
			switch {
			case len(c.subprotocols) > 0 && !d.moved && event.Subprotocol == "":
				err = errNoSubprotocol
			case d.moved && event.Subprotocol != "":
				err = errNotOffered
			}
		}
		return err
	})
	if !stopCut() && err == nil { // cut has closed the socket
		err = context.Cause(ctx)
	}
	if err != nil {
		if conn != nil { // the handshake was valid
			conn.Abort()
			if u, ok := conn.(*boundary.Conn); ok {
				u.End()
			}
			if !errors.Is(err, errNoSubprotocol) && !errors.Is(err, errNotOffered) {
				resp = nil
			}
		}
		if deadline, _ := ctx.Deadline(); !time.Now().Before(deadline) {
			<-ctx.Done() // a timer below with the same deadline has fired first
		}
		if ctx.Err() != nil && resp == nil { // with a response, err is about the response
			err = context.Cause(ctx)
		}
		if panicked := d.panicked(); panicked != nil {
			err = panicked
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			d.choice.Failed()
		}
		cancel()
		d.abandon()
		return dialed{}, OpenEvent{Timings: d.timed()}, d.failed(resp, err)
	}
	d.choice.Memory.Worked()
	event.Timings, event.URL = d.timed(), shownURL(asWebSocket(d.target()))
	if resp != nil {
		event.Header = resp.Header
	}
	return dialed{conn, d.socket(), d.moved}, event, nil
}

// socket returns the network connection that was made last, or nil.
func (d *dialing) socket() *ws.Socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.sockets); n > 0 {
		return d.sockets[n-1]
	}
	return nil
}

// panicked returns the first panic in a network connection of the attempt, or nil.
func (d *dialing) panicked() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sockets {
		if err := (dialed{socket: s}).panicked(); err != nil {
			return err
		}
	}
	return nil
}

// timed returns the timings up to now.
func (d *dialing) timed() Timings {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timings.Total = time.Since(d.timings.Start)
	return d.timings
}

// dialNet makes a network connection. net/http calls it with a context that does not end with
// the request, to be able to use the connection for another one. Here the context ends with the
// attempt, so that no connection outlives it or is made after it.
func (d *dialing) dialNet(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	over, proxy := d.over, d.proxy
	if !over {
		d.dials.Add(1)
		defer d.dials.Done()
	}
	d.mu.Unlock()
	if over {
		return nil, net.ErrClosed
	}
	deadline, _ := d.ctx.Deadline() // net/http removes it; net.Dialer divides it among the addresses
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()

	netDial := d.cfg.netDial
	if netDial == nil {
		netDial = d.choice.Dial
	}
	to := addr
	if proxy != nil {
		to = proxyAddr(proxy)
	}
	var socket *ws.Socket
	err := users.Apart(func() (err error) {
		if d.cfg.fence != nil {
			if err := d.cfg.fence(); err != nil {
				return err
			}
		}
		c, err := netDial(ctx, network, to)
		if err == nil && boundary.IsNil(c) {
			err = errNoNetConn
		}
		if err == nil {
			socket = users.Socket(c, d.cfg.fence)
		}
		return err
	})
	switch {
	case err != nil && proxy != nil:
		return nil, toProxy(err)
	case err != nil:
		return nil, err
	}
	d.mu.Lock()
	d.sockets = append(d.sockets, socket)
	over = d.over
	d.mu.Unlock()
	if over { // cut was called before the socket was made
		socket.Abort()
		return nil, net.ErrClosed
	}
	if proxy == nil {
		return socket, nil
	}
	c, err := d.tunnel(ctx, socket, proxy, addr)
	if err != nil {
		socket.Abort()
	}
	return c, err
}

// cut closes the connections of an attempt whose context has ended, so that a Dialer that reads
// from one returns. After a 101, net/http does not close them.
func (d *dialing) cut() {
	d.mu.Lock()
	d.over = true
	sockets := slices.Clone(d.sockets)
	d.mu.Unlock()
	for _, s := range sockets {
		s.Abort()
	}
}

// abandon releases everything held by a failed attempt. Its context has ended.
func (d *dialing) abandon() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.dials.Wait()
	for _, s := range d.sockets {
		boundary.End(s)
	}
}

// begin records the beginning of a phase.
func (d *dialing) begin(phase string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.phase, d.began = phase, time.Now()
}

// end records how long the phase took, unless it has failed.
func (d *dialing) end(took *time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		*took = time.Since(d.began)
		d.phase, d.began = phaseHandshake, time.Now()
	}
}

// trace returns a trace that records the phases.
func (d *dialing) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { d.begin(phaseResolve) },
		DNSDone:              func(i httptrace.DNSDoneInfo) { d.end(&d.timings.Resolve, i.Err) },
		ConnectStart:         func(_, _ string) { d.begin(phaseConnect) },
		ConnectDone:          func(_, _ string, err error) { d.end(&d.timings.Connect, err) },
		TLSHandshakeStart:    func() { d.begin(phaseTLS) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { d.end(&d.timings.TLS, err) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { d.begin(phaseHandshake) },
		GotFirstResponseByte: func() { d.end(&d.timings.Handshake, nil) },
	}
}

// failed returns the error of an attempt, in a text without secrets.
func (d *dialing) failed(resp *http.Response, err error) error {
	d.mu.Lock()
	phase := d.phase
	d.mu.Unlock()
	for ue := (*url.Error)(nil); errors.As(err, &ue); { // its text contains the whole URL
		err = ue.Err
	}
	var op *net.OpError
	var unusable *proxyError
	var refused *ProxyError
	switch {
	case resp != nil:
		phase, err = phaseHandshake, d.handshakeError(resp, err)
	case errors.As(err, &unusable), errors.As(err, &refused), errors.As(err, &op) && op.Op == "proxyconnect":
		phase = phaseProxy
	case errors.As(err, &op) && op.Op == "dial" && phase == phaseHandshake:
		phase = phaseConnect // from a function of WithNetDial that does not call the trace
	case isCertificateError(err):
		phase = phaseTLS
	case errors.As(err, &op) && op.Op == "remote error":
		phase = phaseTLS // with TLS 1.3, the alert about a client certificate comes after the handshake
	}
	text := because(err)
	switch {
	case resp != nil:
	case errors.Is(err, http.ErrSchemeMismatch):
		text = "server does not use TLS: the scheme of the URL must be ws"
	case phase == phaseHandshake && strings.Contains(text, tlsAlert):
		text, err = needsTLS, fmt.Errorf("%w: %w", http.ErrSchemeMismatch, err)
	}
	switch {
	case op == nil:
	case op.Op == "dial": // the rest of its text repeats phase and address
		text = bare(op).Error()
	case op.Op == "remote error": // net/http may put the name of its function before it
		text = op.Error()
	}
	at := d.target()
	addr := net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), standardPort(at.Scheme)))
	if refused != nil && refused.said != "" { // proxyRefused has redacted it
		err, text = refused, refused.Error()
	} else if resp == nil { // otherwise handshakeError has redacted it
		text = printable.Text(d.redact(text))
		err = &networkError{text, err}
	}
	return &DialError{Phase: phase, Addr: addr, Err: err, text: text}
}
