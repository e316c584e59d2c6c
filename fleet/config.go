package fleet

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
)

// Config says where the fleet is. Its zero value is a fleet inside this process, which is
// gone when the process is.
type Config struct {
	// Name tells fleets apart that share a NATS. All its buckets, streams and subjects
	// begin with it. 1 to 32 letters, digits, - and _. Default "wechatws".
	Name string

	// URL is where NATS is, several separated by commas. It may hold user, password or
	// token, which are never told. Without one, a server is started inside this process.
	URL string
	// NATS has more options for the connection: credentials, TLS. With an embedded
	// server there is nothing to give.
	NATS []nats.Option
	// Existing has Open return ErrNoFleet when there is no fleet of this name, instead of
	// making one.
	Existing bool
	// Replicas is how many servers keep each stream and bucket: 1, 3 or 5. Default 1.
	// With 3 or 5, one of them may be lost, or cut off from the others, and no room is
	// disturbed. It counts when the fleet is made.
	Replicas int

	// Dir is where an embedded server keeps its files. By default they are temporary and
	// removed by Close.
	Dir string
	// Listen is host:port where an embedded server listens for other processes; port 0
	// takes any. By default it does not listen. See Fleet.URL. A connection needs no password
	// unless there is a Token, so that without one only a loopback address is permitted.
	Listen string
	// Token is what a connection to Listen must present, with nats.Token in Config.NATS or as
	// the user of the URL: nats://TOKEN@host:port. A connection that does may do everything, in
	// all fleets of that server; it is not encrypted. Default none; at most 512 bytes of UTF-8, and
	// it must not begin like a bcrypt hash ($2a$10$).
	Token string

	// Lease is for how long a worker that is not heard of keeps its rooms, and so how long
	// it takes until the rooms of a lost worker are taken by others. A worker that cannot
	// reach NATS closes its rooms a twelfth before that; since it renews every sixteenth,
	// it is sure to outlive an absence of all of NATS of three quarters of the lease. When all
	// servers of a NATS cluster are restarted at once, they take 4 to 9 s to choose leaders.
	// Default 8 s; 2 s to 5 minutes, and whole seconds: NATS cuts off the rest.
	Lease time.Duration
	// Partitions is how many messages from rooms may be handled at the same time, all
	// handlers of a group together; those of one room never are. Default 16, at most 256.
	Partitions int
	// KeepIn is for how long messages from rooms are kept for handlers, within MaxIn. Default
	// 24 h; a minute to 10 years (87600 h).
	KeepIn time.Duration
	// MaxIn is how many bytes of messages from rooms are kept for handlers. Default 1 GiB, or
	// less on the small disk of an embedded server; at least 16 MiB. When there are more, the
	// oldest are discarded, handled or not. NATS reserves that much storage, on each of
	// Replicas servers. Zero takes what the stream has; see docs/fleet-operating.md for
	// changing it.
	MaxIn int64
	// MaxOut is how many bytes of messages to rooms may wait to be delivered. Default 256 MiB;
	// all else as of MaxIn, but nothing is discarded: when there are more, Send returns an error.
	MaxOut int64

	// Codec encodes what Send is given, and decodes for On. Default encoding/json, as
	// for a wechatws.Client.
	Codec wechatws.Codec
	// Logger is told what matters. Default none.
	Logger *slog.Logger
}

// Lease, Partitions, KeepIn, MaxIn and MaxOut must be the same in all processes, and are: who opens a
// fleet first decides, and zero takes what there is.
const (
	defaultName = "wechatws"

	defaultLease      = 8 * time.Second
	defaultPartitions = 16
	defaultKeepIn     = 24 * time.Hour

	// A worker that is lost keeps its rooms for a lease: one of a year would never be missed.
	longestLease = 5 * time.Minute
	longestKeep  = 10 * 365 * 24 * time.Hour
)

// maxToken is small enough for the first command of a connection, at most 4 KiB, in which each
// byte of a token can take six.
const maxToken = 512

// bcrypted matches what a NATS server takes for the hash of a token.
var bcrypted = regexp.MustCompile(`^\$2[abxy]\$\d{2}\$`)

var validName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,32}$`)

func (c *Config) check() error {
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Codec == nil {
		c.Codec = jsonCodec{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	_, usable := urls(c.URL)
	switch {
	case !validName.MatchString(c.Name):
		return wrong("Config.Name", c.Name, "must be 1 to 32 letters, digits, - and _")
	case c.URL == "" && c.Replicas > 1:
		return wrong("Config.Replicas", c.Replicas, "must be 1 without a URL: the embedded server is alone")
	case c.URL == "" && len(c.NATS) > 0:
		return wrong("Config.NATS", fmt.Sprint(len(c.NATS), " options"), "is for a NATS given by URL")
	case c.URL != "" && (c.Dir != "" || c.Listen != ""):
		return wrong("Config.Dir, Config.Listen", "set", "are for the embedded server, and there is a URL")
	case c.Token != "" && c.Listen == "":
		return wrong("Config.Token", "(not told)", "is for an embedded server with Config.Listen")
	case len(c.Token) > maxToken || !utf8.ValidString(c.Token):
		return wrong("Config.Token", "(not told)", "must be valid UTF-8 of at most 512 bytes")
	case bcrypted.MatchString(c.Token):
		return wrong("Config.Token", "(not told)", "must not begin like a bcrypt hash: the server would take it for one")
	case !usable:
		return wrong("Config.URL", "(not told)", "must be nats, tls, ws or wss URLs, separated by commas")
	case c.MaxIn != 0 && c.MaxIn < leastMax:
		return wrong("Config.MaxIn", c.MaxIn, "must be 16 MiB (16777216) or more")
	case c.MaxOut != 0 && c.MaxOut < leastMax:
		return wrong("Config.MaxOut", c.MaxOut, "must be 16 MiB (16777216) or more")
	}
	if _, _, err := listenAddress(*c); err != nil {
		return err
	}
	if name, value, want := c.settings().wrong(); name != "" {
		return wrong("Config."+name, value, want)
	}
	return nil
}

// settings are what a fleet that is made by c is made with.
func (c *Config) settings() settled {
	return settled{
		Lease:      cmp.Or(c.Lease, defaultLease),
		LeasedBy:   c.Replicas,
		Partitions: cmp.Or(c.Partitions, defaultPartitions),
		KeepIn:     cmp.Or(c.KeepIn, defaultKeepIn),
	}
}

// wrong returns the name of the first setting that is out of range, its value and what would be
// right; an empty name if there is none.
func (s settled) wrong() (name string, value any, want string) {
	switch {
	case s.Lease < 2*time.Second:
		return "Lease", s.Lease, "must be 2 s or longer"
	case s.Lease > longestLease:
		return "Lease", s.Lease, "must be 5 minutes or shorter"
	case s.Lease%time.Second != 0: // the worker would think that it has the lease when NATS has let it go
		return "Lease", s.Lease, "must be whole seconds"
	case s.LeasedBy != 1 && s.LeasedBy != 3 && s.LeasedBy != 5:
		return "Replicas", s.LeasedBy, "must be 1, 3 or 5"
	case s.Partitions < 1 || s.Partitions > 256:
		return "Partitions", s.Partitions, "must be 1 to 256"
	case s.KeepIn < time.Minute:
		return "KeepIn", s.KeepIn, "must be a minute or longer"
	case s.KeepIn > longestKeep:
		return "KeepIn", s.KeepIn, "must be 10 years (87600 h) or shorter"
	}
	return "", nil, ""
}

// urls reads Config.URL, and reports whether all of it can be used. It looks before NATS does, whose
// errors tell passwords.
func urls(list string) (all []*url.URL, ok bool) {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, false
		}
		all = append(all, u)
	}
	return all, true
}

func wrong(option string, value any, want string) error {
	return &wechatws.OptionError{Option: "fleet." + option, Value: fmt.Sprint(value), Want: want}
}
