package fleet

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/wechatws/wechatws/internal/printable"
)

// String returns the name of the fleet and where its NATS is, such as
// `fleet "wechatws" at nats://nats-0:4222`. A Fleet prints and logs nothing else, since it holds
// secrets.
func (f *Fleet) String() string { return fmt.Sprintf("fleet %q at %s", f.name, f.cfg.where()) }

// Format implements [fmt.Formatter] with the text of [Fleet.String] for all verbs.
func (f *Fleet) Format(s fmt.State, verb rune) { printable.Format(s, verb, "fleet.Fleet", f.String()) }

// Format implements [fmt.Formatter]: a Control is printed as that of its fleet, by all verbs.
func (c Control) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "fleet.Control", "control of "+c.f.String())
}

// Format implements [fmt.Formatter]: a Worker is printed as its name and its fleet, by all verbs.
func (w *Worker) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "fleet.Worker", fmt.Sprintf("worker %q of %s", w.cfg.name, w.f))
}

// Format implements [fmt.Formatter]: Handlers are printed as their group and their fleet, by all verbs.
func (h *Handlers) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "fleet.Handlers", fmt.Sprintf("handlers %q of %s", h.group, h.f))
}

// Format implements [fmt.Formatter]: a Room is printed as its ID and its fence, by all verbs.
func (r Room) Format(s fmt.State, verb rune) {
	printable.Format(s, verb, "fleet.Room", fmt.Sprintf("room %q, fence %d", r.ID, r.Fence))
}

// LogValue implements [slog.LogValuer]: a group of the attributes name and nats.
func (f *Fleet) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", f.name), slog.String("nats", f.cfg.where()))
}

// where returns as much of the URLs as can be shown: tokens are in user info, queries and paths.
func (c *config) where() string {
	if c.embedded {
		return "an embedded NATS"
	}
	list, _ := parseURLs(c.urls)
	var all []string
	for _, u := range list {
		all = append(all, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	}
	return strings.Join(all, ",")
}

// parseURLs reads the URLs of WithNATS, and reports whether all of them can be used. It is called
// before NATS reads them, whose errors contain passwords.
func parseURLs(list string) (all []*url.URL, ok bool) {
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
