package inspect

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// maxViewers is how many viewers there may be at a time: each holds all rows while it reads
// them, 250 KB of a thousand clients.
const maxViewers = 64

// limited returns a handler that refuses viewers beyond maxViewers.
func (p *Page) limited(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer p.viewing.Add(-1)
		if p.viewing.Add(1) > maxViewers {
			w.Header().Set("Retry-After", "5")
			answer(w, http.StatusServiceUnavailable, "too many viewers")
			return
		}
		serve(w, r)
	}
}

// isRebound reports whether a request over loopback has a Host that is not this machine's. A
// web site can resolve a name of its own to 127.0.0.1, and is then of the same origin as the
// page for the browser.
func (p *Page) isRebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	isHost := func(name string) bool { return strings.EqualFold(name, host) }
	return net.ParseIP(strings.Trim(host, "[]")) == nil && !isHost("localhost") && !slices.ContainsFunc(p.hosts, isHost)
}
