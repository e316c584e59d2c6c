package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/ws"
	"github.com/wechatws/wechatws/transport"
)

const (
	maxReceived = 8 << 20                // bytes that are received on one connection
	eventSize   = 64                     // bytes that an event counts as, besides its data
	maxKept     = 64 << 10               // bytes of a message that are kept
	maxSeen     = 256                    // messages that are kept of all connections
	readLimit   = 1 << 20                // the library's default
	pause       = 100 * time.Millisecond // between two connections
)

// errEnough is the end of a connection on which too much arrives, errStuck that of one whose server does
// not read.
var (
	errEnough = fmt.Errorf("doctor has ended it: more than %s has arrived", size(maxReceived))
	errStuck  = errors.New("doctor has ended it: the server does not read")
)

// A kind is what an event is.
type kind int

const (
	message kind = iota
	ping
	pong
	end
)

// An event is what happened on a connection.
type event struct {
	kind kind
	at   time.Time
	conn int // the number of the connection, from 1
	text bool
	data []byte // of a message, cut at maxKept
	size int    // of the message
	err  error  // of the end
}

// A dialed is what a handshake has shown, whether it succeeded or not.
type dialed struct {
	response  *http.Response // nil: there was none
	hops      []hop
	conn      *ws.Conn // nil: it failed
	agreed    string   // the extensions in the answer
	requested time.Time
	answered  time.Time
}

// A hop is a redirect.
type hop struct {
	status   int
	from, to *url.URL
	err      error // why it was not followed
}

// An offer is what a handshake offers, and how it goes on.
type offer struct {
	subprotocols []string
	compression  bool
	options      []wechatws.Option
}

// A link is a connection below messages: nothing is sent but what the checks send, and answers to
// the server's pings.
type link struct {
	dialed
	number int
	opened time.Time
	client *wechatws.Client // that has made the connection
	stop   func() bool      // of the end of ctx
	events chan event
	closed chan struct{} // by close
	read   sync.WaitGroup
	end    *event // nil: it is open

	writing  chan struct{} // a mutex that can be waited for in virtual time
	received int           // for the reader
	stuck    atomic.Bool
}

// open makes a connection with the library. The dialed is returned with an error too.
func (x *examination) open(o offer) (*link, dialed, error) {
	switch {
	case x.banned != nil:
		return nil, dialed{}, x.banned
	case x.limit == 0:
		return nil, dialed{}, errors.New("the connections of the plan are used up")
	}
	x.limit--
	time.Sleep(pause)
	d := &dialer{offer: o}
	if d.subprotocols == nil {
		d.subprotocols = x.Subprotocols
	}
	if d.subprotocols == nil && x.subprotocol != "" {
		d.subprotocols = []string{x.subprotocol}
	}
	options := append(x.dialing(), wechatws.WithDialer(d), wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(), wechatws.WithoutReconnect())
	client, err := wechatws.New(x.URL, append(options, o.options...)...)
	if err != nil {
		return nil, dialed{}, err
	}
	if err := client.Connect(x.ctx); err != nil {
		client.CloseNow()
		<-client.Done()
		x.obey(err)
		return nil, d.dialed, err
	}
	x.opened++
	l := &link{dialed: d.dialed, number: x.opened, opened: time.Now(), client: client,
		events: make(chan event, 64), closed: make(chan struct{}), writing: make(chan struct{}, 1)}
	l.conn.ReadLimit, l.conn.SkipLarge = readLimit, true
	l.conn.OnPing = func(p []byte) {
		l.put(event{kind: ping, at: time.Now()})
		l.write(writeWait, func() error { return l.conn.AppendPong(p) })
	}
	l.conn.OnPong = func([]byte) { l.put(event{kind: pong, at: time.Now()}) }
	l.stop = context.AfterFunc(x.ctx, l.conn.Abort)
	l.read.Go(l.receive)
	return l, d.dialed, nil
}

// obey makes no more connections if a server has refused one because there are too many, or it is too
// busy.
func (x *examination) obey(err error) {
	var refusal *wechatws.HandshakeError
	if errors.As(err, &refusal) && (refusal.Status == http.StatusTooManyRequests || refusal.Status == http.StatusServiceUnavailable) {
		x.banned = fmt.Errorf("the server has refused a connection with status %d", refusal.Status)
		x.broken = x.banned.Error()
	}
}

// openAndLogIn is open with what all other checks need: the login, and the subprotocol.
func (x *examination) openAndLogIn() (*link, error) {
	l, _, err := x.open(offer{})
	if err != nil {
		return nil, err
	}
	if x.Login != nil {
		l.send(x.Login)
	}
	return l, nil
}

// settled is openAndLogIn, and waits until nothing more arrives. If that fails, or the connection ends
// meanwhile, the finding says so.
func (x *examination) settled() (*link, *Finding) {
	l, err := x.openAndLogIn()
	if err != nil {
		return nil, &Finding{Verdict: Unknown, Summary: "no connection for it", Evidence: []string{err.Error()}}
	}
	x.saw(l.settle(time.Second/4, time.Second))
	if l.end != nil {
		l.close()
		return nil, &Finding{Verdict: Unknown, Summary: "the connection ended before anything was sent: " + ending(l.end.err)}
	}
	return l, nil
}

// close sends a close frame, ends the connection without waiting for the answer, and waits for its
// goroutines.
func (l *link) close() {
	l.stop()
	l.write(time.Second, func() error { return l.conn.AppendClose(1000, "") })
	l.client.CloseNow()
	l.conn.Abort()
	close(l.closed)
	l.read.Wait()
	<-l.client.Done()
}

// receive puts what arrives into events.
func (l *link) receive() {
	for {
		b, err := l.conn.Receive()
		at := time.Now()
		if err != nil || l.received > maxReceived {
			switch {
			case l.received > maxReceived:
				err = errEnough
				l.conn.Abort()
			case l.stuck.Load():
				err = errStuck
			}
			l.put(event{kind: end, at: at, err: err})
			return
		}
		if b.Skipped > 0 {
			l.put(event{kind: message, at: at, size: int(b.Skipped)})
		}
		for _, m := range b.Messages {
			l.put(event{kind: message, at: at, text: m.Text, data: bytes.Clone(m.Data[:min(len(m.Data), maxKept)]), size: len(m.Data)})
		}
		b.Release()
	}
}

// put adds an event, and ends a connection on which too much arrives. The reader calls it.
func (l *link) put(e event) {
	e.conn = l.number
	select {
	case l.events <- e:
	case <-l.closed:
	}
	if l.received += eventSize + e.size; l.received > maxReceived {
		l.conn.Abort() // control frames are read without a return from Receive
	}
}

// writeWait is how long a short write may take.
const writeWait = 3 * time.Second

// longer is how much longer a large message may take.
func longer(size int) time.Duration { return time.Duration(size/(64<<10)) * time.Second }

// write appends with fn and flushes, for at most d. An error shows in the end of the connection.
func (l *link) write(d time.Duration, fn func() error) {
	l.writing <- struct{}{}
	defer func() { <-l.writing }()
	blocked := time.AfterFunc(d, func() { l.stuck.Store(true); l.conn.Abort() })
	defer blocked.Stop()
	if fn() == nil {
		_ = l.conn.Flush()
	}
}

func (l *link) send(text []byte) {
	l.write(writeWait+longer(len(text)), func() error { return l.conn.AppendMessage(true, text) })
}

func (l *link) ping() {
	l.write(writeWait, func() error { return l.conn.AppendPing([]byte("doctor")) })
}

// watch waits for d, or until stop returns true or the connection has ended, and returns what
// happened. stop may be nil.
func (l *link) watch(d time.Duration, stop func(event) bool) (events []event) {
	if l.end != nil {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case e := <-l.events:
			events = append(events, e)
			if e.kind == end {
				l.end = &e
				return events
			}
			if stop != nil && stop(e) {
				return events
			}
		case <-timer.C:
			return events
		}
	}
}

// settle waits until nothing has arrived for quiet, for at most d.
func (l *link) settle(quiet, d time.Duration) (events []event) {
	for until := time.Now().Add(d); l.end == nil && time.Now().Before(until); {
		more := l.watch(quiet, func(event) bool { return true })
		if len(more) == 0 {
			break
		}
		events = append(events, more...)
	}
	return events
}

// lasted returns how long the connection lasted, or has lasted.
func (l *link) lasted() time.Duration {
	if l.end != nil {
		return l.end.at.Sub(l.opened)
	}
	return time.Since(l.opened)
}

// messages returns the messages among events.
func messages(events []event) (list []event) {
	for _, e := range events {
		if e.kind == message {
			list = append(list, e)
		}
	}
	return list
}

// saw keeps messages for the checks that look at them.
func (x *examination) saw(events []event) {
	list := messages(events)
	x.seen = append(x.seen, list[:min(len(list), maxSeen-len(x.seen))]...)
}

// ending says how a connection has ended.
func ending(err error) string {
	var closed *ws.CloseError
	var wrong *ws.ProtocolError
	switch {
	case errors.As(err, &closed) && closed.Code == 1005:
		return "close frame without a code"
	case errors.As(err, &closed) && closed.Reason == "":
		return fmt.Sprintf("close frame %d without a reason", closed.Code)
	case errors.As(err, &closed):
		return fmt.Sprintf("close frame %d %q", closed.Code, printable(closed.Reason))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "bare FIN: the end of the TCP connection without a close frame"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "RST: the TCP connection was reset"
	case errors.As(err, &wrong):
		return "invalid data from the server: " + printable(err.Error())
	}
	return printable(err.Error())
}

// code returns the close code of an end, or 0.
func code(err error) int {
	var closed *ws.CloseError
	if errors.As(err, &closed) {
		return closed.Code
	}
	return 0
}

// A dialer is a transport.Dialer that keeps the connection for the checks. The client that it
// belongs to receives nothing.
type dialer struct {
	offer
	dialed
}

// Dial implements [transport.Dialer].
func (d *dialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	client := *h.Client
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		err := h.Client.CheckRedirect(req, via)
		to := *req.URL
		d.hops = append(d.hops, hop{req.Response.StatusCode, via[len(via)-1].URL, &to, err})
		return err
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { d.requested = time.Now() },
		GotFirstResponseByte: func() { d.answered = time.Now() },
	})
	c, response, err := ws.Dial(ctx, ws.Handshake{
		Client: &client, URL: h.URL, Header: h.Header, Subprotocols: slices.Clone(d.subprotocols), Compression: d.compression,
	})
	d.response = response
	if err != nil {
		return nil, response, err
	}
	d.conn, d.agreed = c, response.Header.Get("Sec-WebSocket-Extensions")
	return &held{conn: c, closed: make(chan struct{})}, response, nil
}

// A held is a connection that the client holds and does not use.
type held struct {
	conn   *ws.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *held) Reader() (transport.MessageType, io.Reader, error) {
	<-h.closed
	return 0, nil, io.EOF
}
func (h *held) Write(transport.MessageType, []byte) error { return nil }
func (h *held) Ping(context.Context) error                { return nil }
func (h *held) Close(int, string) error                   { return h.CloseNow() }
func (h *held) Subprotocol() string                       { return "" }
func (h *held) CloseNow() error {
	h.once.Do(func() { close(h.closed); h.conn.Abort() })
	return nil
}
