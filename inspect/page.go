package inspect

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

//go:embed page.html
var pageHTML string

// A Page is an [http.Handler] that shows clients. Make it with [New]. Its methods may be
// called at any time and from any goroutine, including callbacks of the clients. They do
// not wait for clients or viewers, except that [Page.ServeHTTP] waits for the viewer that
// it serves.
//
// A page needs no closing. Its streams end when their viewers leave, and when
// [http.Server.Shutdown] is called on the server that serves them.
type Page struct {
	reconnect bool     // whether viewers may reconnect clients
	hosts     []string // see WithHosts
	clients   clients
	elsewhere elsewhere
	feed      feed

	viewing atomic.Int32 // requests for rows and events

	mu      sync.Mutex
	servers map[*http.Server]chan struct{} // closed when the server shuts down
}

// An Option sets one thing about a [Page].
type Option func(*Page)

// WithReconnect shows a button next to each client that calls its
// [wechatws.Client.Reconnect]. By default nothing can be changed from the page. The
// button sends a POST that other web sites cannot send; everyone who can open the page
// can press it.
func WithReconnect() Option { return func(p *Page) { p.reconnect = true } }

// WithHosts sets the names under which the page is reached over a loopback address, such as
// that of a reverse proxy on the same machine which preserves the Host. By default they are
// localhost and all IP addresses: a request with another Host may be of a web site that has
// resolved a name of its own to 127.0.0.1. A later WithHosts replaces an earlier one.
func WithHosts(hosts ...string) Option { return func(p *Page) { p.hosts = slices.Clone(hosts) } }

// New makes a page without clients; see [Page.Add] and [Page.AddRows]. It does no I/O
// and starts no goroutine.
func New(options ...Option) *Page {
	p := &Page{}
	p.feed.source = p.look
	for _, option := range options {
		if option == nil {
			panic("inspect: New: an option is nil")
		}
		option(p)
	}
	return p
}

// Add shows a client, under a name that need not be unique, until remove is called. The
// client need not be connected; the page neither connects nor closes it. A closed client
// stays on the page, as closed, because it may be connected again: a program that
// discards clients must remove them, or the page keeps them from being collected.
//
// Add registers OnStateChange and OnError callbacks on the client, and remove removes
// them; remove may be called more than once. Viewers see the change within two seconds.
// Add panics if c is nil.
func (p *Page) Add(name string, c *wechatws.Client) (remove func()) {
	if c == nil {
		panic("inspect: Add with a nil client")
	}
	return p.clients.add(name, c)
}

// look calls see with the rows of this process and, if all is true, of others.
func (p *Page) look(all bool, see func(*row)) {
	p.clients.look(all, see)
	if all {
		p.elsewhere.look(see)
	}
}

// ServeHTTP serves the page and its data. The path is ignored; the query selects what is
// served.
//
//	GET              the page
//	GET  ?rows       all rows, once, as JSON
//	GET  ?events     all rows, then their changes, as server-sent events
//	POST ?reconnect= calls Reconnect of a client, by the id in its row
//
// A stream of events lasts until the viewer leaves, reads nothing for ten seconds, or the
// server shuts down. Rows and events are served to 64 viewers at a time; further ones get
// status 503, and the page tries again.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

	// By the query and not by the path, so that the page need not know where it is
	// mounted.
	query := r.URL.Query()
	serve := p.servePage
	if p.isRebound(r) {
		answer(w, http.StatusForbidden, "the Host is not this machine's; see inspect.WithHosts")
		return
	}
	switch {
	case query.Has("reconnect"):
		p.serveReconnect(w, r, query.Get("reconnect"))
		return
	case query.Has("events"):
		serve = p.limited(p.serveEvents)
	case query.Has("rows"):
		serve = p.limited(p.serveRows)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, "this can only be read")
		return
	}
	serve(w, r)
}

// servePage sends page.html with a new nonce, so that only the page's own script and
// style are used.
func (p *Page) servePage(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s'; "+
		"style-src 'nonce-%[1]s'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'", nonce))
	_, _ = io.WriteString(w, strings.ReplaceAll(pageHTML, "{{nonce}}", nonce))
}

func (p *Page) serveRows(w http.ResponseWriter, r *http.Request) {
	if foreign(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)) // some ResponseWriters have none
	_, _ = w.Write(p.feed.now(p.head()))
}

// head returns the data that viewers receive in addition to the rows.
func (p *Page) head() head {
	return head{
		Process:   fmt.Sprintf("%s, process %d", filepath.Base(os.Args[0]), os.Getpid()), // distinguishes pages of several processes
		Reconnect: p.reconnect,
	}
}

// foreign refuses requests from pages of other web sites, and reports whether it did.
// Such a page could not read the answer, but it could make this program work.
func foreign(w http.ResponseWriter, r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	answer(w, http.StatusForbidden, "this is not for other web sites")
	return true
}
