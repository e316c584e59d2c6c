package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wechatws/wechatws"
)

// clientFlags are the options of the library as flags.
type clientFlags struct {
	headers                  []string
	subprotocols             []string
	login, token             string
	heartbeat, heartbeatType string
	heartbeatEvery           time.Duration
	noHeartbeat              bool
	pingEvery, silence       time.Duration
	noPings                  bool
	typeField                string
	typePath                 []string

	tls         tlsFlags
	proxy       string
	compression bool
	crossHost   bool
	cookies     bool
	dialTimeout time.Duration

	readLimit   int64
	strict      bool
	queue       int
	queueBytes  int
	queueFull   string
	retry       string
	noReconnect bool
	jitter      float64
	stable      time.Duration
	permanent   time.Duration
	network     bool
	drain       time.Duration
	serverText  bool

	given func(name string) bool // a flag is on the command line
}

// add adds the flags to a command.
func (f *clientFlags) add(c *cobra.Command) {
	flags := c.Flags()
	f.given = flags.Changed
	f.addConnecting(c)
	flags.Lookup("token").Usage += ", with the --type-field"
	flags.StringVar(&f.heartbeat, "heartbeat", "", "the message that is sent as a heartbeat (default {\"msg_type\":\"ping\"}, with the --type-field)")
	flags.DurationVar(&f.heartbeatEvery, "heartbeat-interval", 3*time.Second, "the time between two heartbeats")
	flags.StringVar(&f.heartbeatType, "heartbeat-answer", "", "the type of the message that answers a heartbeat, for servers that do not answer protocol pings")
	flags.BoolVar(&f.noHeartbeat, "no-heartbeat", false, "send no heartbeat")
	flags.DurationVar(&f.pingEvery, "ping-interval", 3*time.Second, "the time between two protocol pings")
	flags.DurationVar(&f.silence, "silence-timeout", 10*time.Second, "the silence after which a connection counts as half-open")
	flags.BoolVar(&f.noPings, "no-pings", false, "send no protocol pings, and wait for a silent server for ever")
	flags.StringVar(&f.typeField, "type-field", "msg_type", "the field that has a message's type")
	flags.StringSliceVar(&f.typePath, "type-path", nil, "where a message's type is, such as header,event or 0 for the first element of an array")
	flags.BoolVar(&f.compression, "compression", false, "offer permessage-deflate")
	flags.BoolVar(&f.crossHost, "cross-host-redirects", false, "follow redirects to other hosts")
	flags.BoolVar(&f.cookies, "cookies", false, "keep the server's cookies")
	flags.Int64Var(&f.readLimit, "read-limit", 1<<20, "the largest inbound message, in bytes")
	flags.BoolVar(&f.strict, "strict", false, "end the connection at a message that is too large or not valid UTF-8, instead of skipping it")
	flags.IntVar(&f.queue, "queue", 1024, "how many messages may wait to be written; 0: none")
	flags.IntVar(&f.queueBytes, "queue-bytes", 4<<20, "how many bytes may wait to be written")
	flags.StringVar(&f.queueFull, "queue-full", "fail", "what happens to a message when the queue is full: fail, or drop-oldest for the oldest one instead")
	flags.StringVar(&f.retry, "retry", "3s*20,10s*30,450s", "the waits before attempts to connect again, DELAY*ATTEMPTS; the last one may be without end")
	flags.BoolVar(&f.noReconnect, "no-reconnect", false, "end at the first failure")
	flags.Float64Var(&f.jitter, "jitter", 0, "the part of each wait that is random, from 0 to 1; 0.2 for one of many clients")
	flags.DurationVar(&f.stable, "stable-after", 5*time.Second, "how long a connection must have lasted for the waits to begin again")
	flags.DurationVar(&f.permanent, "permanent-after", 15*time.Minute, "how long a refusal is retried that the server repeats")
	flags.BoolVar(&f.network, "network-monitor", false, "follow the machine's network: do not connect while there is none, and at once when it is back")
	flags.DurationVar(&f.drain, "drain-timeout", time.Second, "how long queued messages are written at the end")
	flags.BoolVar(&f.serverText, "server-text", false, "show the server's own text in errors, in which it may repeat secrets")
	for _, flag := range []string{
		"heartbeat", "heartbeat-interval", "heartbeat-answer", "ping-interval", "silence-timeout",
		"type-field", "type-path", "read-limit", "queue", "queue-bytes", "retry", "jitter", "stable-after", "permanent-after", "drain-timeout",
	} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = c.RegisterFlagCompletionFunc("queue-full", cobra.FixedCompletions([]string{"fail", "drop-oldest"}, cobra.ShellCompDirectiveNoFileComp))
}

// addConnecting adds the flags without which a connection may be impossible.
func (f *clientFlags) addConnecting(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a field of the handshake's header, \"Name: SECRET\"; may be given several times")
	flags.StringArrayVar(&f.subprotocols, "subprotocol", nil, "a subprotocol to offer, the preferred one first; may be given several times")
	flags.StringVar(&f.login, "login", "", "the first message on every connection: a SECRET")
	flags.StringVar(&f.token, "token", "", "log in with {\"msg_type\":\"login\",\"token\":SECRET} on every connection")
	f.tls.add(c)
	flags.StringVar(&f.proxy, "proxy", "", "the proxy's URL, a SECRET, or none (default from HTTP_PROXY, HTTPS_PROXY and NO_PROXY)")
	flags.DurationVar(&f.dialTimeout, "dial-timeout", 10*time.Second, "how long an attempt to connect may take")
	for _, flag := range []string{"header", "subprotocol", "login", "token", "dial-timeout"} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	_ = c.RegisterFlagCompletionFunc("proxy", cobra.FixedCompletions([]string{"none"}, cobra.ShellCompDirectiveNoFileComp))
}

// A setup is what the flags ask for.
type setup struct {
	options   []wechatws.Option
	header    http.Header
	secrets   []string
	login     string // the login message; empty for none
	heartbeat string // the heartbeat; empty for none
}

// setup reads the flags, and the files and variables that they name.
func (f *clientFlags) setup() (s setup, err error) {
	s.options = []wechatws.Option{
		wechatws.WithDialTimeout(f.dialTimeout),
		wechatws.WithReadLimit(f.readLimit),
	}
	for _, part := range []func(*setup) error{f.identify, f.route, f.live, f.transport, f.wait} {
		if err := part(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *setup) add(options ...wechatws.Option) { s.options = append(s.options, options...) }

// identify adds the header, the subprotocols and the login.
func (f *clientFlags) identify(s *setup) error {
	s.header = http.Header{}
	for _, field := range f.headers {
		name, value, ok := strings.Cut(field, ":")
		if !ok { // all of it may be a secret
			return wrongFlag("header", "", `must be "Name: value"`)
		}
		secret, err := secretOf("header", strings.TrimSpace(value))
		if err != nil {
			return err
		}
		s.header.Add(name, secret)
		if !strings.EqualFold(name, "Host") && !strings.EqualFold(name, "Origin") && !strings.EqualFold(name, "User-Agent") {
			s.secrets = append(s.secrets, long(secret)...)
		}
	}
	if len(s.header) > 0 {
		s.add(wechatws.WithHeader(s.header))
	}
	if len(f.subprotocols) > 0 {
		s.add(wechatws.WithSubprotocols(f.subprotocols...))
	}
	switch {
	case f.login != "" && f.token != "":
		return usage("--login and --token exclude each other")
	case f.login != "":
		login, err := secretOf("login", f.login)
		if err != nil {
			return err
		}
		s.login = login
		s.secrets = append(append(s.secrets, login), secretsIn(login, append(slices.Clone(f.typePath), f.typeField)...)...)
	case f.token != "":
		token, err := secretOf("token", f.token)
		if err != nil {
			return err
		}
		login, err := json.Marshal(map[string]string{cmp.Or(f.typeField, "msg_type"): "login", "token": token}) // doctor has no --type-field
		if err != nil {
			return err
		}
		s.login = string(login)
		s.secrets = append(s.secrets, long(token)...)
	}
	if s.login != "" {
		s.add(wechatws.WithLoginMessage(wechatws.Text(s.login)))
	}
	return nil
}

// route adds where a message's type is.
func (f *clientFlags) route(s *setup) error {
	switch {
	case f.given("type-field") && f.given("type-path"):
		return usage("--type-field and --type-path exclude each other")
	case f.given("type-path"):
		s.add(wechatws.WithTypePath(f.typePath...))
	default:
		s.add(wechatws.WithTypeField(f.typeField))
	}
	return nil
}

// live adds the heartbeat and the liveness.
func (f *clientFlags) live(s *setup) error {
	for _, flag := range []string{"heartbeat", "heartbeat-interval", "heartbeat-answer"} {
		if f.noHeartbeat && f.given(flag) {
			return usage("--no-heartbeat and --%s exclude each other", flag)
		}
	}
	for _, flag := range []string{"ping-interval", "silence-timeout"} {
		if f.noPings && f.given(flag) {
			return usage("--no-pings and --%s exclude each other", flag)
		}
	}
	if f.noPings {
		s.add(wechatws.WithoutLiveness())
	} else {
		s.add(wechatws.WithLiveness(wechatws.Liveness{Interval: f.pingEvery, Timeout: f.silence}))
	}
	if f.noHeartbeat || f.given("type-path") && f.heartbeat == "" { // there is no default heartbeat then
		s.add(wechatws.WithoutHeartbeat())
		return nil
	}
	s.heartbeat = f.heartbeat
	if s.heartbeat == "" {
		text, err := json.Marshal(map[string]string{f.typeField: "ping"})
		if err != nil {
			return err
		}
		s.heartbeat = string(text)
	}
	h := wechatws.Heartbeat{Interval: f.heartbeatEvery, Message: wechatws.Text(s.heartbeat)}
	if answer := f.heartbeatType; answer != "" {
		h.Pong = func(m wechatws.Message) bool { return m.Type == answer }
	}
	s.add(wechatws.WithHeartbeat(h))
	return nil
}

// transport adds how the server is reached.
func (f *clientFlags) transport(s *setup) error {
	config, err := f.tls.config()
	if err != nil {
		return err
	}
	if config != nil {
		s.add(wechatws.WithTLSConfig(config))
	}
	proxy, err := f.proxyFunc(s)
	if err != nil {
		return err
	}
	if f.proxy != "" {
		s.add(wechatws.WithProxy(proxy))
	}
	if f.compression {
		s.add(wechatws.WithCompression())
	}
	if f.crossHost {
		s.add(wechatws.WithCrossHostRedirects())
	}
	if f.cookies {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}
		s.add(wechatws.WithCookieJar(jar))
	}
	if f.strict {
		s.add(wechatws.WithStrict())
	}
	if f.serverText {
		s.add(wechatws.WithServerText())
	}
	return nil
}

// proxyFunc returns the function that chooses the proxy; nil: there is none.
func (f *clientFlags) proxyFunc(s *setup) (func(*http.Request) (*url.URL, error), error) {
	switch f.proxy {
	case "":
		return http.ProxyFromEnvironment, nil
	case "none":
		return nil, nil
	}
	proxy, err := secretOf("proxy", f.proxy)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, wrongFlag("proxy", "", "must be a URL such as http://proxy.example.com:3128, or none")
	}
	if password, ok := u.User.Password(); ok {
		s.secrets = append(s.secrets, password)
	}
	return http.ProxyURL(u), nil
}

// wait adds the queue and the schedule.
func (f *clientFlags) wait(s *setup) error {
	policy := wechatws.QueueFail
	switch f.queueFull {
	case "fail":
	case "drop-oldest":
		policy = wechatws.QueueDropOldest
	default:
		return wrongFlag("queue-full", f.queueFull, "must be fail or drop-oldest")
	}
	s.add(wechatws.WithQueue(f.queue, f.queueBytes, policy), wechatws.WithDrainTimeout(f.drain))
	s.add(wechatws.WithJitter(f.jitter), wechatws.WithStableAfter(f.stable), wechatws.WithPermanentAfter(f.permanent))
	if f.network {
		s.add(wechatws.WithNetworkMonitor(wechatws.SystemNetwork()))
	}
	if f.noReconnect {
		if f.given("retry") {
			return usage("--no-reconnect and --retry exclude each other")
		}
		s.add(wechatws.WithoutReconnect())
		return nil
	}
	tiers, err := tiersOf(f.retry)
	if err != nil {
		return err
	}
	s.add(wechatws.WithTiers(tiers...))
	return nil
}

// flagOf has the flag of each option that a flag sets, and of the URL.
var flagOf = map[string]string{
	"WithDialTimeout": "dial-timeout", "WithReadLimit": "read-limit", "WithHeader": "header", "WithSubprotocols": "subprotocol",
	"WithLoginMessage": "login", "WithTypePath": "type-path", "WithTypeField": "type-field",
	"WithLiveness": "ping-interval and --silence-timeout", "WithHeartbeat": "heartbeat", "WithTLSConfig": "tls-…", "WithProxy": "proxy",
	"WithQueue": "queue", "WithTiers": "retry", "WithJitter": "jitter", "WithStableAfter": "stable-after",
	"WithPermanentAfter": "permanent-after", "WithDrainTimeout": "drain-timeout", "WithEndpoints": "endpoint",
}

// changed reports whether any of the flags is on the command line.
func changed(flags *pflag.FlagSet, names ...string) bool {
	for _, name := range names {
		if flags.Changed(name) {
			return true
		}
	}
	return false
}
