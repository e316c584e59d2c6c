package fleet

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// String returns the name of the fleet and where its NATS is, such as
// `fleet "wechatws" at nats://nats-0:4222`. Printed and in a log a Config shows nothing else: it
// holds secrets.
func (c Config) String() string {
	name, at := c.shown()
	return fmt.Sprintf("fleet %q at %s", name, at)
}

// GoString implements fmt.GoStringer, with what String returns.
func (c Config) GoString() string { return "fleet.Config(" + c.String() + ")" }

// LogValue implements slog.LogValuer: a group of the attributes name and nats.
func (c Config) LogValue() slog.Value {
	name, at := c.shown()
	return slog.GroupValue(slog.String("name", name), slog.String("nats", at))
}

// shown returns as much of the URLs as can be shown: tokens are in user info, queries and paths.
func (c Config) shown() (name, at string) {
	name = cmp.Or(c.Name, defaultName)
	if c.URL == "" {
		return name, "an embedded NATS"
	}
	list, ok := urls(c.URL)
	if !ok {
		return name, "a URL that is not shown"
	}
	var all []string
	for _, u := range list {
		all = append(all, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	}
	return name, strings.Join(all, ",")
}

// String returns what Config.String does. Printed and in a log a Fleet shows nothing else.
func (f *Fleet) String() string { return f.cfg.String() }

// GoString implements fmt.GoStringer, with what String returns.
func (f *Fleet) GoString() string { return "fleet.Fleet(" + f.String() + ")" }

// LogValue implements slog.LogValuer, with what Config.LogValue returns.
func (f *Fleet) LogValue() slog.Value { return f.cfg.LogValue() }
