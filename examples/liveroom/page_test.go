package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A pressed notes what the page's buttons do.
type pressed struct {
	mu    sync.Mutex
	calls []string
	err   error // what each answers
}

func (p *pressed) call(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, what)
	return p.err
}

func (p *pressed) Say(_ context.Context, name, text string) error {
	return p.call("say " + name + ": " + text)
}
func (p *pressed) Cut() error       { return p.call("cut") }
func (p *pressed) Restart() error   { return p.call("restart") }
func (p *pressed) Reconnect() error { return p.call("reconnect") }

func (p *pressed) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...)
}

// A shownView is a view that a test changes while the page looks.
type shownView struct {
	mu sync.Mutex
	v  view
}

func (s *shownView) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.v
}

func (s *shownView) set(v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v = v
}

func noView() view { return view{} }

// servedPage serves the page to a client that keeps no connection, and looks for
// goroutines left behind when all that is over.
func servedPage(t *testing.T, ctx context.Context, look func() view, do actions) (url string, client *http.Client) {
	t.Helper()
	ignore := goleak.IgnoreCurrent() // what other tests have left is not ours
	server := httptest.NewServer(newPage(ctx, look, do))
	client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		server.Close() // waits for streams, so they must end
		goleak.VerifyNone(t, ignore)
	})
	return server.URL, client
}

// ask makes a request of the page without a network. change may be nil.
func ask(t *testing.T, page http.Handler, method, path, body string, change func(*http.Request)) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:8080"+path, strings.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w.Result()
}

func TestPageIsServed(t *testing.T) {
	page := newPage(t.Context(), noView, &pressed{})
	res := ask(t, page, "GET", "/", "", nil)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)

	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	assert.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	assert.NotContains(t, string(body), "{{nonce}}")

	csp := res.Header.Get("Content-Security-Policy")
	assert.Contains(t, csp, "default-src 'none'")
	assert.Contains(t, csp, "connect-src 'self'")
	assert.Contains(t, csp, "img-src data:")
	assert.NotContains(t, csp, "unsafe")
	nonce := regexp.MustCompile(`script-src 'nonce-([^']+)'`).FindStringSubmatch(csp)
	require.NotNil(t, nonce, csp)
	assert.Contains(t, string(body), `<script nonce="`+nonce[1]+`">`)
	assert.Contains(t, string(body), `<style nonce="`+nonce[1]+`">`)

	again := ask(t, page, "GET", "/", "", nil)
	assert.NotEqual(t, csp, again.Header.Get("Content-Security-Policy"), "the nonce must differ each time")

	assert.Equal(t, http.StatusNoContent, ask(t, page, "GET", "/favicon.ico", "", nil).StatusCode)
	assert.Equal(t, http.StatusNotFound, ask(t, page, "GET", "/other", "", nil).StatusCode)
}

// What the browser tests and the page's author rely on.
func TestPageIsOneFile(t *testing.T) {
	for _, id := range []string{"comments", "comment-text", "comment-name", "send", "state", "countdown", "attempt",
		"rtt", "cut", "restart", "reconnect", "viewers", "followers", "notices", "shelf"} {
		assert.Equal(t, 1, strings.Count(pageHTML, `id="`+id+`"`), "the id %s", id)
	}
	for _, no := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", `src="`, "https://"} {
		assert.NotContains(t, pageHTML, no)
	}
}

func TestButtons(t *testing.T) {
	do := &pressed{}
	page := newPage(t.Context(), noView, do)
	for _, path := range []string{"/cut", "/restart", "/reconnect"} {
		assert.Equal(t, http.StatusNoContent, ask(t, page, "POST", path, "", nil).StatusCode, path)
	}
	said := ask(t, page, "POST", "/say", `{"name":" Lin ","text":" <b>多少钱</b>\n"}`, nil)
	assert.Equal(t, http.StatusNoContent, said.StatusCode)
	assert.Equal(t, []string{"cut", "restart", "reconnect", "say Lin: <b>多少钱</b>"}, do.all())
}

func TestButtonsTellErrors(t *testing.T) {
	page := newPage(t.Context(), noView, &pressed{err: errors.New("there is no connection")})
	for _, path := range []string{"/cut", "/restart", "/reconnect", "/say"} {
		res := ask(t, page, "POST", path, `{"name":"Lin","text":"hello"}`, nil)
		assert.Equal(t, http.StatusConflict, res.StatusCode, path)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, "there is no connection\n", string(body))
		assert.Equal(t, "text/plain; charset=utf-8", res.Header.Get("Content-Type"))
	}
}

func TestSayRefusesWhatIsNoComment(t *testing.T) {
	do := &pressed{}
	page := newPage(t.Context(), noView, do)
	for name, body := range map[string]string{
		"nothing":     ``,
		"no JSON":     `hello`,
		"a list":      `[]`,
		"more JSON":   `{"text":"hello"}{}`,
		"no text":     `{"name":"Lin"}`,
		"empty text":  `{"name":"Lin","text":""}`,
		"blank text":  `{"name":"Lin","text":" \n\t"}`,
		"long text":   `{"name":"Lin","text":"` + strings.Repeat("茶", maxText+1) + `"}`,
		"long name":   `{"name":"` + strings.Repeat("林", maxName+1) + `","text":"hello"}`,
		"a long body": `{"name":"Lin","text":"hello"` + strings.Repeat(" ", maxBody) + `}`,
	} {
		assert.Equal(t, http.StatusBadRequest, ask(t, page, "POST", "/say", body, nil).StatusCode, name)
	}
	assert.Empty(t, do.all())

	longest := `{"name":"` + strings.Repeat("林", maxName) + `","text":"` + strings.Repeat(`\ud83c\udf75`, maxText) + `"}`
	assert.Equal(t, http.StatusNoContent, ask(t, page, "POST", "/say", longest, nil).StatusCode)
	assert.Equal(t, []string{"say " + strings.Repeat("林", maxName) + ": " + strings.Repeat("🍵", maxText)}, do.all())
}

func TestOnlyPostChangesThings(t *testing.T) {
	do := &pressed{}
	page := newPage(t.Context(), noView, do)
	for _, path := range []string{"/say", "/cut", "/restart", "/reconnect"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
			res := ask(t, page, method, path, `{"name":"Lin","text":"hello"}`, nil)
			assert.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "%s %s", method, path)
		}
	}
	assert.Empty(t, do.all())
}

// A browser says where a request comes from. Each path is refused to other sites, reading too:
// they could not read the answer, but they would take the place of viewers.
func TestOtherSitesAreRefused(t *testing.T) {
	const own, other = "http://localhost:8080", "https://evil.example"
	ended, end := context.WithCancel(t.Context())
	end() // so that a stream that is not refused does not go on
	do := &pressed{}
	page := newPage(ended, noView, do)
	for _, tt := range []struct {
		origin, site, mode string
		refused            bool
		pageToo            bool // the page itself, that is
	}{
		{origin: "", site: ""}, // no browser, or an old one
		{origin: own, site: "same-origin", mode: "cors"},
		{origin: own, site: ""},
		{origin: "", site: "same-origin", mode: "cors"},
		{origin: "", site: "none", mode: "navigate"},
		{origin: "", site: "cross-site", mode: "navigate", refused: true}, // a link to the page
		{origin: "", site: "same-site", mode: "navigate", refused: true},
		{origin: "", site: "cross-site", mode: "no-cors", refused: true, pageToo: true},
		{origin: "", site: "same-site", mode: "cors", refused: true, pageToo: true}, // another port of this machine
		{origin: "", site: "anything", refused: true, pageToo: true},
		{origin: other, site: "", refused: true, pageToo: true},
		{origin: other, site: "same-origin", refused: true, pageToo: true},
		{origin: "http://localhost:8081", site: "", refused: true, pageToo: true},
		{origin: "https://localhost:8080", site: "", refused: true, pageToo: true},
		{origin: "http://localhost:8080.evil.example", site: "", refused: true, pageToo: true},
		{origin: "null", site: "", refused: true, pageToo: true},
	} {
		for path, method := range map[string]string{"/": "GET", "/events": "GET", "/say": "POST", "/cut": "POST", "/restart": "POST", "/reconnect": "POST"} {
			before := len(do.all())
			res := ask(t, page, method, path, `{"name":"Lin","text":"hello"}`, func(r *http.Request) {
				for name, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
			})
			refused := tt.refused && (path != "/" || tt.pageToo)
			assert.Equal(t, refused, res.StatusCode == http.StatusForbidden, "%s %+v", path, tt)
			if method == "POST" {
				assert.Equal(t, !refused, len(do.all()) > before, "%s %+v", path, tt)
			}
		}
	}
}

func TestForeignHostsAreRefused(t *testing.T) {
	do := &pressed{}
	ended, end := context.WithCancel(t.Context())
	end() // so that a stream that is not refused does not go on
	page := newPage(ended, noView, do)
	host := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	for _, name := range []string{"", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:80",
		"192.168.1.2:8080", "[::2]:8080", "localhost:80@evil.example"} {
		for _, path := range []string{"/say", "/cut", "/restart", "/reconnect"} {
			assert.Equal(t, http.StatusForbidden, ask(t, page, "POST", path, `{"text":"hello"}`, host(name)).StatusCode, name)
		}
		// Reading is refused too: the room is for this machine only.
		for _, path := range []string{"/", "/events"} {
			assert.Equal(t, http.StatusForbidden, ask(t, page, "GET", path, "", host(name)).StatusCode, name)
		}
	}
	assert.Empty(t, do.all())
	for _, name := range []string{"localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"} {
		assert.Equal(t, http.StatusNoContent, ask(t, page, "POST", "/cut", "", host(name)).StatusCode, name)
	}
}
