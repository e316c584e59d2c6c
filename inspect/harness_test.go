package inspect

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server, clients and a site with a page on a network in memory, in
// virtual time, all inside one synctest bubble.
type world struct {
	*testing.T
	net   *wstest.Network
	srv   *wstest.Server
	page  *Page
	site  *http.Server
	web   *http.Client
	start time.Time
}

// virtual runs a test in a world of its own, whose page has no options. What it leaves
// running fails it.
func virtual(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	virtualPage(t, New(), test)
}

// virtualPage is virtual with a page of the test.
func virtualPage(t *testing.T, page *Page, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		w := &world{T: t, net: n, page: page, start: time.Now()}
		w.srv = wstest.NewServer(wstest.WithNetwork(n))
		defer w.srv.Close()
		w.web = &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
		listener, err := n.Listen("site.test:80")
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle("/debug/wechatws/", w.page)
		// With the timeouts that a server should have, which a stream must outlive.
		w.site = &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
		var served sync.WaitGroup
		served.Go(func() { _ = w.site.Serve(listener) })
		defer served.Wait()
		defer func() { _ = w.site.Close() }()
		test(t, w)
	})
}

// sleep lets virtual time pass, and then everything settle.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// client makes a client of the world's server, which is closed when the test ends.
func (w *world) client(options ...wechatws.Option) *wechatws.Client {
	w.Helper()
	options = append([]wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext)}, options...)
	c, err := wechatws.New(w.srv.URL(), options...)
	require.NoError(w, err)
	w.Cleanup(func() {
		_ = c.Close(wechatws.StatusNormalClosure, "")
		<-c.Done()
	})
	return c
}

// open is client, connected.
func (w *world) open(options ...wechatws.Option) (*wechatws.Client, *wstest.Conn) {
	w.Helper()
	c := w.client(options...)
	require.NoError(w, c.Connect(w.Context()))
	conn, err := w.srv.NextConn(w.Context())
	require.NoError(w, err)
	return c, conn
}

// quiet switches off what a test is not about and would see in the numbers.
func quiet() []wechatws.Option {
	return []wechatws.Option{wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness()}
}

const pageURL = "http://site.test:80/debug/wechatws/"

// ask makes a request of the page, and returns the whole answer.
func (w *world) ask(method, query string, header ...string) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, pageURL+query, nil)
	require.NoError(w, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := w.web.Do(r)
	require.NoError(w, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(w, err)
	return res, string(body)
}

// rows is what ?rows says.
func (w *world) rows() map[string]fact {
	w.Helper()
	res, body := w.ask("GET", "?rows")
	require.Equal(w, http.StatusOK, res.StatusCode)
	require.Equal(w, "application/json", res.Header.Get("Content-Type"))
	var v update
	require.NoError(w, json.Unmarshal([]byte(body), &v), body)
	return v.byName(w.T)
}

// A fact is a row, or what has changed of one, as a viewer gets it.
type fact map[string]any

// An update is an event as a viewer gets it.
type update struct {
	Event     string
	Process   string
	Reconnect bool
	Now, Tick int64
	Rows      []fact
	Gone      []string
	At        time.Duration // since it was asked for
}

func (u update) byName(t *testing.T) map[string]fact {
	t.Helper()
	rows := map[string]fact{}
	for _, r := range u.Rows {
		name, _ := r["name"].(string)
		require.NotEmpty(t, name, "a row without a name: %v", r)
		rows[name] = r
	}
	return rows
}

// A stream is a viewer's side of one.
type stream struct {
	w     *world
	leave context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	updates []update
}

// watch opens a stream. What it was sent is in updates.
func (w *world) watch() *stream {
	w.Helper()
	ctx, leave := context.WithCancel(w.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", pageURL+"?events", nil)
	require.NoError(w, err)
	res, err := w.web.Do(r)
	require.NoError(w, err)
	require.Equal(w, http.StatusOK, res.StatusCode)
	require.Equal(w, "text/event-stream", res.Header.Get("Content-Type"))
	s := &stream{w: w, leave: leave, ended: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(s.ended)
		defer func() { _ = res.Body.Close() }()
		event := ""
		lines := bufio.NewReader(res.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				event = name
			}
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			u := update{Event: event, At: time.Since(began)}
			if err := json.Unmarshal([]byte(data), &u); err != nil {
				u.Event = "broken: " + err.Error() + ": " + data
			}
			event = ""
			s.mu.Lock()
			s.updates = append(s.updates, u)
			s.mu.Unlock()
		}
	}()
	w.Cleanup(func() { leave(); <-s.ended })
	synctest.Wait()
	return s
}

// take returns what has come since it was called before.
func (s *stream) take() []update {
	s.w.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.updates
	s.updates = nil
	for _, u := range taken {
		require.NotContains(s.w, u.Event, "broken")
	}
	return taken
}

// changes are the rows of what has come, the later ones merged into the earlier ones.
func (s *stream) changes() map[string]fact {
	s.w.Helper()
	merged := map[string]fact{}
	for _, u := range s.take() {
		for _, r := range u.Rows {
			id := r["id"].(string)
			if merged[id] == nil {
				merged[id] = fact{}
			}
			for k, v := range r {
				merged[id][k] = v
			}
		}
	}
	return merged
}
