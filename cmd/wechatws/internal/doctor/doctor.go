// Package doctor finds out what a WebSocket backend needs of a client, and says it in options of
// package wechatws.
//
// An examination is a list of checks, which run one after the other. A check says beforehand what it
// costs ([Plan]), asks the server one question, and returns a [Finding]: a verdict, the evidence, and
// the options that follow from it. A [Report] has all findings, as text or as JSON, and a call of
// wechatws.New.
//
// Connections are made with the library itself, so that proxies, redirects and errors are those
// that a program will see. Frames below messages are read with package internal/ws.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

// A Target is what is examined, and how. URL is required.
type Target struct {
	URL          string
	Header       http.Header // sent with every handshake; values are never printed
	Subprotocols []string    // offered with every handshake
	// Login is sent as the first message of the connections that log in; nil: none. It is never
	// printed.
	Login []byte
	// Heartbeat is the only heartbeat that is tried; nil: usual ones.
	Heartbeat []byte
	// Send are messages that are sent after the login, to see how they are answered; nil: none. The
	// first is sent two more times, right behind the login.
	Send [][]byte
	// Silence is how long connections are watched for the limit of silence, by default 70 s.
	Silence time.Duration
	// Timeout bounds each attempt to connect, by default 10 s.
	Timeout time.Duration
	// MaxMessage is the size of the largest message that is sent, by default 1 MiB.
	MaxMessage int
	// Without names checks that are not run.
	Without []string

	// Secrets are kept out of the report, besides those in the fields above.
	Secrets []string

	TLS      *tls.Config                                                           // nil: the default
	Proxy    func(*http.Request) (*url.URL, error)                                 // nil: none
	OwnProxy bool                                                                  // Proxy is not that of the environment: the code sets it too
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)     // nil: the system's
	Resolve  func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil: the system's
}

// A check asks one question.
type check struct {
	name string
	does string               // for the plan
	cost func(t *Target) cost // nil: it looks at what others have found
	run  func(*examination) Finding
	open bool // it needs a server that accepts connections
}

// checks are all checks, in the order in which they run: each may use what those before it found.
func checks() []check {
	return []check{
		dnsCheck, proxyCheck, addressCheck, tlsCheck,
		handshakeCheck, redirectCheck, subprotocolCheck, clockCheck, retryCheck, compressionCheck,
		messageCheck, pingCheck, heartbeatCheck, answerCheck,
		silenceCheck, typeCheck, closeCheck, sizeCheck,
		encodingCheck, loginCheck, timeCheck, clientCheck,
	}
}

// Names returns the names of all checks, in the order in which they run.
func Names() (names []string) {
	for _, c := range checks() {
		names = append(names, c.name)
	}
	return names
}

// An examination is one run of the checks. Its fields are what they have found so far.
type examination struct {
	*Target
	ctx context.Context
	url *url.URL
	// What a server may repeat, and its replacer.
	secrets []string
	hide    *strings.Replacer
	limit   int   // connections that may still be made
	opened  int   // WebSocket connections made so far
	banned  error // why none may be made any more; nil: they may

	proxy    *url.URL // nil: none
	addrs    []netip.Addr
	resolved bool          // the check dns has run
	reached  string        // the address that TCP has reached first
	connect  time.Duration // of TCP
	broken   string        // why no connection is possible, empty if one is

	shake        *dialed  // the first handshake
	subprotocol  string   // that has to be offered
	early        error    // the end of the first connection, if it came at once
	seen         []event  // messages of all connections
	path         []string // to the type of a message
	typed        bool     // path was found in messages
	pongs        bool
	pingTimes    []time.Duration
	beats        []*beat
	beat         *beat // the one that is answered; nil: none
	observations []*observation
	options      []Option
}

// Examine examines a target. It blocks for as long as the plan says at most, or until ctx ends, and
// calls found with each finding as it is made. Its error is about the target.
func Examine(ctx context.Context, t Target, found func(Finding)) (*Report, error) {
	u, err := t.check()
	if err != nil {
		return nil, err
	}
	plan := planOf(&t)
	ctx, cancel := context.WithTimeout(ctx, plan.Time)
	defer cancel()
	x := &examination{Target: &t, ctx: ctx, url: u, limit: plan.Connections, secrets: secretsOf(&t, u), path: []string{"msg_type"}}
	x.hide = redact.New(x.secrets...)
	r := &Report{End: End{Host: u.Scheme + "://" + u.Host, Started: time.Now()}}
	for _, c := range checks() {
		if slices.Contains(t.Without, c.name) {
			continue
		}
		f := x.examine(c)
		r.Findings = append(r.Findings, f)
		found(f)
	}
	r.End.Took = time.Since(r.End.Started)
	r.End.Connections = plan.Connections - x.limit
	r.End.Broken = x.clean(x.broken)
	if ctx.Err() != nil {
		r.End.Broken = "the time was over"
	}
	r.End.Code = x.code()
	return r, nil
}

// maxEvidence is how many lines of evidence a finding has.
const maxEvidence = 40

// examine runs one check.
func (x *examination) examine(c check) Finding {
	var f Finding
	switch {
	case x.ctx.Err() != nil:
		f = Finding{Verdict: Skipped, Summary: "not tried: the time is over"}
	case c.open && x.broken != "":
		f = Finding{Verdict: Skipped, Summary: "not tried: " + x.broken}
	default:
		f = c.run(x)
	}
	f.Check = c.name
	f.Summary = x.clean(f.Summary)
	if n := len(f.Evidence) - maxEvidence; n > 0 {
		f.Evidence = append(f.Evidence[:maxEvidence:maxEvidence], fmt.Sprintf("… and %d more", n))
	}
	for i, e := range f.Evidence {
		f.Evidence[i] = x.clean(e)
	}
	x.options = append(x.options, f.Options...)
	return f
}

// untried is the finding of a check that looks at a handshake, of which there is none.
func (x *examination) untried() Finding {
	return Finding{Verdict: Skipped, Summary: "not tried: " + cmp.Or(x.broken, "the check handshake is left out")}
}

// check sets the defaults of a target, and returns its URL.
func (t *Target) check() (*url.URL, error) {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be parsed") // err repeats it, and it may hold secrets
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("URL with scheme %q: must be ws or wss", wechatws.Printable(u.Scheme))
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	}
	for _, name := range t.Without {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("check %q: must be one of %s", wechatws.Printable(name), strings.Join(Names(), ", "))
		}
	}
	if t.Silence < 0 || t.Timeout < 0 || t.MaxMessage < 0 {
		return nil, errors.New("silence, timeout and size of messages: must not be below zero")
	}
	if t.Silence == 0 {
		t.Silence = 70 * time.Second
	}
	if t.Timeout == 0 {
		t.Timeout = 10 * time.Second
	}
	if t.MaxMessage == 0 {
		t.MaxMessage = 1 << 20
	}
	if t.Dial == nil {
		t.Dial = (&net.Dialer{}).DialContext
	}
	if t.Resolve == nil {
		t.Resolve = net.DefaultResolver.LookupNetIP
	}
	_, err = wechatws.New(t.URL, append(t.dialing(), wechatws.WithSubprotocols(t.Subprotocols...))...)
	return u, err
}

// dialing returns the options of every connection.
func (t *Target) dialing() []wechatws.Option {
	options := []wechatws.Option{
		wechatws.WithHeader(t.Header), wechatws.WithProxy(t.Proxy), wechatws.WithNetDial(t.Dial), wechatws.WithDialTimeout(t.Timeout),
	}
	if t.TLS != nil {
		options = append(options, wechatws.WithTLSConfig(t.TLS))
	}
	return options
}

// port returns the URL's port, also if it is not written.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "wss" {
		return "443"
	}
	return "80"
}
