package inspect

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wechatws/wechatws"
)

//go:embed page.html
var pageHTML string

// A Page shows clients. It is an http.Handler; make it with Handler. All its methods
// may be called at any time and from any goroutine, also from callbacks of the
// clients. None of them waits for a client or for a viewer, but ServeHTTP for the one
// viewer that it serves.
//
// A page needs no closing. Its streams end when their viewers leave, and when
// http.Server.Shutdown is called on the server that serves them.
type Page struct {
	clients        clients
	elsewhere      elsewhere
	feed           feed
	allowReconnect atomic.Bool

	mu      sync.Mutex
	servers map[*http.Server]chan struct{} // closed when the server shuts down
}

// Handler makes a page of clients, which are called "client 1", "client 2" and so on.
// Add adds more, with better names. The clients need not be connected; they are
// neither connected nor closed by the page. It panics when a client is nil.
func Handler(clients ...*wechatws.Client) *Page {
	p := &Page{}
	p.feed.source = p.look
	for i, c := range clients {
		p.Add(fmt.Sprintf("client %d", i+1), c)
	}
	return p
}

// Add shows one more client, under a name that need not be unique, until remove is
// called. A client that is closed stays on the page, as closed, because it may be
// connected again: who makes clients and throws them away has to remove them, or the
// page keeps them from being collected.
//
// Add registers OnStateChange and OnError callbacks, and remove takes them back; it
// may be called more than once. Viewers see the change within two seconds. Add panics
// when c is nil.
func (p *Page) Add(name string, c *wechatws.Client) (remove func()) {
	if c == nil {
		panic("inspect: Add with a nil client")
	}
	return p.clients.add(name, c)
}

// AllowReconnect puts a button next to each client that calls its Reconnect, and
// returns p. Without it the page changes nothing. The button works by a POST that
// other web sites cannot make; whoever sees the page can press it.
func (p *Page) AllowReconnect() *Page {
	p.allowReconnect.Store(true)
	return p
}

// look shows the rows of this process and of others. Of those that come from elsewhere
// nothing is known between two looks at all.
func (p *Page) look(all bool, see func(*row)) {
	p.clients.look(all, see)
	if all {
		p.elsewhere.look(see)
	}
}

// ServeHTTP serves the page and what it asks for: at the address of the page itself,
// with a query that says what. It answers to any path.
//
//	GET              the page
//	GET  ?rows       all there is to know, once, as JSON
//	GET  ?events     the same, and then what changes, as server-sent events
//	POST ?reconnect= calls Reconnect of a client, by the id in its row
//
// A stream of events lasts until the viewer leaves, does not take what it is sent for
// ten seconds, or the server shuts down.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

	// By the query and not by the path: only so does the page find its way back
	// without knowing where it is mounted.
	query := r.URL.Query()
	serve := p.servePage
	switch {
	case query.Has("reconnect"):
		p.serveReconnect(w, r, query.Get("reconnect"))
		return
	case query.Has("events"):
		serve = p.serveEvents
	case query.Has("rows"):
		serve = p.serveRows
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, "this can only be read")
		return
	}
	serve(w, r)
}

// servePage sends page.html with a nonce of its own, so that no script and no style
// runs but the page's.
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
	_, _ = w.Write(p.feed.now(p.head()))
}

// head is what viewers are told beside the rows.
func (p *Page) head() head {
	return head{
		// Who has several pages open must be able to tell them apart.
		Process:   fmt.Sprintf("%s, process %d", filepath.Base(os.Args[0]), os.Getpid()),
		Reconnect: p.allowReconnect.Load(),
	}
}

// foreign refuses what another web site's page asks for. It could not read the
// answer, but it could have this program work for nothing.
func foreign(w http.ResponseWriter, r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	answer(w, http.StatusForbidden, "this is not for other web sites")
	return true
}
