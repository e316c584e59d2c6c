package fleet

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
)

// An Option configures a [Fleet]. Options are plain values and may be given to any number of
// calls of [Open]. A later option replaces an earlier one of the same name.
type Option func(*config)

// config is the result of the options of Open. The zero value of a setting means that its option
// is not given.
type config struct {
	name     string
	embedded bool // in this process
	urls     string
	nats     []nats.Option
	conn     *nats.Conn // of the program, or nil
	prefix   string     // of requests to JetStream
	existing bool
	replicas int

	dir, listen, token string
	tls                *tls.Config // of the listener

	lease         time.Duration
	shards        int
	partitions    int
	keepIn        time.Duration
	keepOut       time.Duration
	maxIn, maxOut int64

	codec  wechatws.Codec
	logger *slog.Logger

	mistakes mistakes
}

const (
	defaultName = "wechatws"

	defaultLease      = 8 * time.Second
	defaultShards     = 4096
	mostShards        = 1 << 16
	defaultPartitions = 16
	defaultKeepIn     = 24 * time.Hour
	defaultKeepOut    = 7 * 24 * time.Hour

	// A lost worker keeps its rooms for a lease, so that a lease must not be arbitrarily long.
	longestLease = 5 * time.Minute
	longestKeep  = 10 * 365 * 24 * time.Hour

	// maxToken is small enough for the first command of a connection, which has at most 4 KiB, and in
	// which a byte of a token can take six bytes.
	maxToken = 512
)

var (
	validName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,32}$`) // of fleets and groups
	// bcrypted matches tokens that a NATS server treats as the hash of a token.
	bcrypted = regexp.MustCompile(`^\$2[abxy]\$\d{2}\$`)
	// validPrefix matches subjects without wildcards.
	validPrefix = regexp.MustCompile(`^[^\s.*>]{1,64}(\.[^\s.*>]{1,64}){0,8}$`)
)

const wantName = "must be 1 to 32 letters, digits, - and _"

// Options for the place of the fleet.

// WithName sets the name of the fleet, which distinguishes fleets that share a NATS; the default
// is "wechatws". The names of all buckets, streams and subjects begin with it. It must be 1 to 32
// letters, digits, - and _.
func WithName(name string) Option {
	return func(c *config) {
		c.name = name
		c.mistakes.check("WithName", quoted(name), unless(validName.MatchString(name), wantName))
	}
}

// WithNATS connects to the NATS servers at urls, which are separated by commas; the default is a
// server that [Open] starts inside this process. A URL may contain a user, a password or a token,
// which are never printed. The options, such as credentials or TLS, are those of the connection.
func WithNATS(urls string, options ...nats.Option) Option {
	options = slices.Clone(options)
	return func(c *config) {
		c.embedded, c.conn, c.urls, c.nats = false, nil, urls, options
		all, ok := parseURLs(urls)
		c.mistakes.check("WithNATS", hidden, unless(ok && len(all) > 0, "must be nats, tls, ws or wss URLs, separated by commas"))
	}
}

// WithConn uses a connection of the program to NATS; by default [Open] makes one. [Fleet.Close] does not
// close it, and the program must not close it before. It must be made with [nats.ReconnectBufSize](-1) and
// [nats.MaxReconnects](-1). [nats.PingInterval](time.Second) and [nats.MaxPingsOutstanding](2) make it
// detect a lost server in time for another one to renew leases. The fleet makes it reconnect to another
// server of its list when the connected one is cut off from the others. A worker also renews its lease on
// it, behind what its rooms send; on those that Open makes, rooms and leases have a connection each.
func WithConn(nc *nats.Conn) Option {
	return func(c *config) {
		c.embedded, c.conn, c.urls, c.nats = false, nc, "", nil
		c.mistakes.check("WithConn", "a connection", wantConn(nc))
	}
}

// WithAPIPrefix sets the subject that requests to JetStream begin with; the default is "$JS.API". It is
// "$JS.DOMAIN.API" for a fleet in another JetStream domain, such as that of a hub to which the connected
// server is a leaf node, and the prefix of the imports for a fleet in another account. It needs [WithNATS]
// or [WithConn].
func WithAPIPrefix(prefix string) Option {
	return func(c *config) {
		c.prefix = prefix
		c.mistakes.check("WithAPIPrefix", quoted(prefix), unless(validPrefix.MatchString(prefix), "must be a subject without spaces, * and >, such as $JS.hub.API"))
	}
}

// WithExisting makes [Open] return [ErrNoFleet] if there is no fleet of this name, or a part of it is missing; the
// default is to create it.
func WithExisting() Option { return func(c *config) { c.existing = true } }

// WithReplicas sets how many NATS servers keep each stream and bucket, 1, 3 or 5; the default is
// 1. With 3 or 5, one of them may be lost, or cut off from the others, and no room is disturbed.
// It needs [WithNATS] or [WithConn]. As with the options below, the process that creates the fleet sets
// it, and in the others Open returns a *wechatws.OptionError for another value.
func WithReplicas(n int) Option {
	return func(c *config) {
		c.replicas = n
		c.mistakes.check("WithReplicas", n, wantReplicas(n))
	}
}

// Options for the embedded server, which is there without WithNATS.

// WithDir sets the directory in which the embedded server keeps its files; the default is a
// temporary one, which [Fleet.Close] removes. It is locked until Close: while another Fleet has it open,
// also one of another process, Open returns a *wechatws.OptionError.
func WithDir(dir string) Option {
	return func(c *config) {
		c.dir = dir
		c.mistakes.check("WithDir", strconv.Quote(dir), unless(dir != "", "must not be empty"))
	}
}

// WithListen makes the embedded server listen for other processes at address, which is host:port;
// by default it does not listen. Port 0 chooses a free one, see [Fleet.URL].
//
// A connection must present the token, with [nats.Token] in the options of [WithNATS] or as the
// user of the URL: nats://TOKEN@host:port. Such a connection may do everything, in all fleets of
// that server. An empty token means that none is needed. An address that is not a loopback address
// needs a token and [WithListenTLS]. A token is at most 512 bytes of UTF-8, and must not begin like a
// bcrypt hash ($2a$10$).
func WithListen(address, token string) Option {
	return func(c *config) {
		c.listen, c.token = address, token
		value, want := hidden, ""
		switch {
		case len(token) > maxToken || !utf8.ValidString(token):
			want = "the token must be valid UTF-8 of at most 512 bytes"
		case bcrypted.MatchString(token):
			want = "the token must not begin like a bcrypt hash: the server would take it for one"
		default:
			value = quoted(address)
			_, _, want = listenAddress(address)
		}
		c.mistakes.check("WithListen", value, want)
	}
}

// WithListenTLS encrypts the connections of other processes to the embedded server, with the
// certificates of t; by default they are not encrypted. It needs [WithListen]. The other processes give
// [nats.RootCAs] or [nats.Secure] to [WithNATS].
func WithListenTLS(t *tls.Config) Option {
	return func(c *config) {
		c.tls = t
		c.mistakes.check("WithListenTLS", hidden, unless(t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil),
			"must have a certificate"))
	}
}

// Options that are the same in all processes of a fleet. The process that creates the fleet sets them:
// in the others Open returns a *wechatws.OptionError for another value.

// WithLease sets for how long a worker that does not renew its lease keeps its rooms, and so how long
// it takes until other workers take the rooms of a lost one; the default is 8 s. It must be whole
// seconds, 2 s to 5 minutes.
//
// A worker that cannot reach NATS closes its rooms a twelfth of the lease before that. Since it renews
// every sixteenth, its rooms stay open while all of NATS is away for three quarters of the lease.
// When all servers of a NATS cluster are restarted at once, they take 4 to 9 s to elect leaders.
func WithLease(d time.Duration) Option {
	return func(c *config) {
		c.lease = d
		c.mistakes.check("WithLease", d, wantLease(d))
	}
}

// WithShards sets the number of shards, 1 to 65536; the default is 4096. Each room belongs to a
// shard, by its ID, and each shard to a worker. For an even spread the number should be at least 30
// times that of the workers; a shard may have thousands of rooms.
func WithShards(n int) Option {
	return func(c *config) {
		c.shards = n
		c.mistakes.check("WithShards", n, wantShards(n))
	}
}

// WithPartitions sets the number of parts that the processes of a group of handlers share the rooms
// by, 1 to 256; the default is 16. More processes than partitions have nothing to do. How many
// messages each handles at the same time is set by [WithParallel].
func WithPartitions(n int) Option {
	return func(c *config) {
		c.partitions = n
		c.mistakes.check("WithPartitions", n, wantPartitions(n))
	}
}

// WithKeepIn sets for how long messages from rooms are kept for handlers, within [WithMaxIn]; the
// default is 24 h. It must be a minute to 10 years (87600 h).
func WithKeepIn(d time.Duration) Option {
	return func(c *config) {
		c.keepIn = d
		c.mistakes.check("WithKeepIn", d, wantKeep(d))
	}
}

// WithKeepOut sets for how long messages to rooms may wait to be delivered, within [WithMaxOut]; the
// default is 7 days (168 h). It must be a minute to 10 years (87600 h). NATS removes an older message,
// such as one to a room that no worker can enter, and no function of [Worker.OnError] is called. A longer
// [ExpireAfter] has no effect. Below two minutes, a [MessageID] is compared within that time only.
func WithKeepOut(d time.Duration) Option {
	return func(c *config) {
		c.keepOut = d
		c.mistakes.check("WithKeepOut", d, wantKeep(d))
	}
}

// WithMaxIn sets how many bytes of messages from rooms are kept for handlers; the default is
// 1 GiB, or less on the small disk of an embedded server. It must be at least 16 MiB. Beyond it
// the oldest messages are discarded, handled or not. NATS reserves that much storage, on each of
// its replicas; see docs/fleet-operating.md for changing it.
func WithMaxIn(bytes int64) Option {
	return func(c *config) {
		c.maxIn = bytes
		c.mistakes.check("WithMaxIn", bytes, wantMax(bytes))
	}
}

// WithMaxOut sets how many bytes of messages to rooms may wait to be delivered; the default is
// 256 MiB, or less on the small disk of an embedded server. It must be at least 16 MiB. Beyond it
// [Fleet.Send] returns an error. NATS reserves that much storage, as for [WithMaxIn].
func WithMaxOut(bytes int64) Option {
	return func(c *config) {
		c.maxOut = bytes
		c.mistakes.check("WithMaxOut", bytes, wantMax(bytes))
	}
}

// Options for this process.

// WithCodec sets the codec with which [Fleet.Send] encodes and [On] decodes; the default is
// encoding/json, as for a [wechatws.Client].
func WithCodec(codec wechatws.Codec) Option {
	return func(c *config) {
		c.codec = codec
		c.mistakes.check("WithCodec", "nil", unless(codec != nil, "must not be nil"))
	}
}

// WithLogger logs to logger; by default nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		c.logger = logger
		c.mistakes.check("WithLogger", "nil", unless(logger != nil, "must not be nil"))
	}
}

// newConfig applies options to the defaults. The error joins all mistakes.
func newConfig(options []Option) (config, error) {
	c := config{name: defaultName, embedded: true, prefix: defaultPrefix, codec: jsonCodec{}, logger: slog.New(slog.DiscardHandler)}
	apply(&c, &c.mistakes, "Open", options)
	switch {
	case c.embedded && c.replicas > 1:
		c.mistakes.check("WithReplicas", c.replicas, "must be 1 without WithNATS: the embedded server is alone")
	case !c.embedded && c.dir != "":
		c.mistakes.check("WithDir", strconv.Quote(c.dir), forEmbedded)
	case !c.embedded && c.listen != "":
		c.mistakes.check("WithListen", quoted(c.listen), forEmbedded)
	case !c.embedded && c.tls != nil:
		c.mistakes.check("WithListenTLS", hidden, forEmbedded)
	case c.tls != nil && c.listen == "":
		c.mistakes.check("WithListenTLS", hidden, "is for WithListen, which is not given")
	case c.embedded && c.prefix != defaultPrefix:
		c.mistakes.check("WithAPIPrefix", quoted(c.prefix), "must be given with WithNATS or WithConn: the embedded server has one account and no domain")
	case c.listen != "" && (c.token == "" || c.tls == nil) && !loopback(c.listen):
		c.mistakes.check("WithListen", quoted(c.listen), "must be a loopback address, or be given with a token and WithListenTLS: any connection to it can do everything")
	}
	return c, c.mistakes.err()
}

// omit makes c as without an option that all processes of a fleet must agree on, and reports whether it is one.
func (c *config) omit(option string) bool {
	switch option {
	case "fleet.WithReplicas":
		c.replicas = 0
	case "fleet.WithLease":
		c.lease = 0
	case "fleet.WithShards":
		c.shards = 0
	case "fleet.WithPartitions":
		c.partitions = 0
	case "fleet.WithKeepIn":
		c.keepIn = 0
	case "fleet.WithKeepOut":
		c.keepOut = 0
	case "fleet.WithMaxIn":
		c.maxIn = 0
	case "fleet.WithMaxOut":
		c.maxOut = 0
	default:
		return false
	}
	return true
}

// settings returns the settings with which c creates a fleet.
func (c *config) settings() settled {
	return settled{
		Lease:      cmp.Or(c.lease, defaultLease),
		LeasedBy:   cmp.Or(c.replicas, 1),
		Shards:     cmp.Or(c.shards, defaultShards),
		Partitions: cmp.Or(c.partitions, defaultPartitions),
		KeepIn:     cmp.Or(c.keepIn, defaultKeepIn),
		MaxIn:      c.maxIn,
		MaxOut:     c.maxOut,
		KeepOut:    c.keepOut,
	}
}

// wrong returns the name of the first setting that is out of range, its value, and what would be right.
// The name is empty if all are in range.
func (s settled) wrong() (name string, value any, want string) {
	for _, one := range []struct {
		name  string
		value any
		want  string
	}{
		{"Lease", s.Lease, wantLease(s.Lease)},
		{"Replicas", s.LeasedBy, wantReplicas(s.LeasedBy)},
		{"Shards", s.Shards, wantShards(s.Shards)},
		{"Partitions", s.Partitions, wantPartitions(s.Partitions)},
		{"KeepIn", s.KeepIn, wantKeep(s.KeepIn)},
		{"MaxIn", s.MaxIn, unless(s.MaxIn >= 0, "must not be negative")},
		{"MaxOut", s.MaxOut, unless(s.MaxOut >= 0, "must not be negative")},
		{"KeepOut", s.KeepOut, wantKeep(cmp.Or(s.KeepOut, defaultKeepOut))},
	} {
		if one.want != "" {
			return one.name, one.value, one.want
		}
	}
	return "", nil, ""
}

func wantLease(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "must be 2 s or longer"
	case d > longestLease:
		return "must be 5 minutes or shorter"
	case d%time.Second != 0: // NATS cuts off the rest, and the lease would end before the worker closes its rooms
		return "must be whole seconds"
	}
	return ""
}

func wantReplicas(n int) string { return unless(n == 1 || n == 3 || n == 5, "must be 1, 3 or 5") }

func wantShards(n int) string { return unless(n >= 1 && n <= mostShards, "must be 1 to 65536") }

func wantPartitions(n int) string { return unless(n >= 1 && n <= 256, "must be 1 to 256") }

func wantKeep(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "must be a minute or longer"
	case d > longestKeep:
		return "must be 10 years (87600 h) or shorter"
	}
	return ""
}

func wantMax(bytes int64) string {
	return unless(bytes >= leastMax, "must be 16 MiB (16777216) or more")
}

const forEmbedded = "is for the embedded server: it must not be given with WithNATS or WithConn"

// unless returns want, or an empty string if ok.
func unless(ok bool, want string) string {
	if ok {
		return ""
	}
	return want
}

// quoted returns the value of an option for an error: in quotes, cut.
func quoted(value string) string { return fmt.Sprintf("%.80q", value) }

// hidden is the value of an option that may be a secret.
const hidden = "not shown"

// mistakes are the errors of options, at most one for each option.
type mistakes []*wechatws.OptionError

// check adds a mistake if want is not empty. It removes that of an earlier option of the same name, which
// this one replaces.
func (m *mistakes) check(option string, value any, want string) {
	e := wrong(option, value, want)
	*m = slices.DeleteFunc(*m, func(other *wechatws.OptionError) bool { return other.Option == e.Option })
	if want != "" {
		*m = append(*m, e)
	}
}

func (m mistakes) err() error {
	var errs []error
	for _, e := range m {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// apply applies options to c. A nil option is a mistake of the function that it was given to.
func apply[C any, O ~func(*C)](c *C, m *mistakes, function string, options []O) {
	for _, o := range options {
		if o == nil {
			m.check(function, "nil", "an option must not be nil")
			continue
		}
		o(c)
	}
}

const needsContext = "the context must not be nil"

func wrong(option string, value any, want string) *wechatws.OptionError {
	return &wechatws.OptionError{Option: "fleet." + option, Value: fmt.Sprint(value), Want: want}
}
