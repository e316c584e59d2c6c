package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// ErrEndpoint is reported for a room whose endpoint has a host that [WithEndpoints] does not permit.
var ErrEndpoint = errors.New("fleet: the endpoint is not permitted by WithEndpoints")

// validHost matches the hosts that WithEndpoints permits: a name or an IPv4 address, *. and a domain, or an IPv6
// address, each with a port or without.
var validHost = regexp.MustCompile(`^((\*\.)?[^\s/@:*?#\[\]]{1,255}|\[[0-9a-fA-F:.]{2,45}\])(:[0-9]{1,5})?$`)

// WithEndpoints sets the hosts that rooms may have as [Spec.Endpoint]; by default a room may have any. A host
// is a name such as live.example.com, or *.example.com for all names below that domain, or an IP address,
// IPv6 in brackets. With a port (live.example.com:443) it permits that port, otherwise all. Names are compared as they
// are written, but for upper and lower case: an international name must be given as specs have it, and bücher.example
// does not permit xn--bcher-kva.example.
//
// For a room with another endpoint, the function given to [Fleet.NewWorker] is not called and no secret is
// looked up: the functions of [Worker.OnError] are called with an error that wraps [ErrEndpoint]. So a
// program that may add rooms cannot have secrets sent to an endpoint of its own. [Room.NewClient] returns that
// error for a URL with another host. A spec without an endpoint, and endpoints that the function gives to its
// client as an option, are not checked.
func WithEndpoints(hosts ...string) WorkerOption {
	permitted := make([]string, 0, len(hosts))
	value, want := "", unless(len(hosts) > 0, "must have a host at least")
	for _, host := range hosts {
		if !validHost.MatchString(host) {
			value, want = quoted(host), "must be hosts such as live.example.com, *.example.com or 192.0.2.1:8443"
		} else if _, port, err := net.SplitHostPort(host); err == nil && !validPort(port) {
			value, want = quoted(host), "must have a port from 1 to 65535, or none"
		}
		permitted = append(permitted, strings.ToLower(host))
	}
	return func(c *workerConfig) {
		c.endpoints = permitted
		c.mistakes.check("WithEndpoints", value, want)
	}
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// permits returns ErrEndpoint if an endpoint has a host that is not permitted.
func (c *workerConfig) permits(endpoint string) error {
	if c.endpoints == nil || endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("%w: it is not a URL", ErrEndpoint)
	}
	for _, host := range c.endpoints {
		if covers(host, u) {
			return nil
		}
	}
	return fmt.Errorf("%w: host %.300q", ErrEndpoint, u.Host)
}

// covers reports whether a host of WithEndpoints is that of a URL.
func covers(permitted string, u *url.URL) bool {
	if name, port, err := net.SplitHostPort(permitted); err == nil {
		if port != portOf(u) {
			return false
		}
		permitted = name
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if domain, below := strings.CutPrefix(permitted, "*"); below {
		return len(host) > len(domain) && strings.HasSuffix(host, domain)
	}
	return host != "" && host == strings.Trim(permitted, "[]")
}

// portOf returns the port of a URL, or the default one of its scheme.
func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "wss" || u.Scheme == "https":
		return "443"
	}
	return "80"
}
