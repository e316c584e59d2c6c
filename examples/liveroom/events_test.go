package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// apply changes a view as the page does.
func (v view) apply(c changes) view {
	if c.All {
		v = view{}
	}
	if c.Room != nil {
		v.Room = *c.Room
	}
	if c.Conn != nil {
		v.Conn = *c.Conn
	}
	if c.Backend != nil {
		v.Backend = *c.Backend
	}
	v.Comments = applied(v.Comments, c.Comments)
	v.Notices = applied(v.Notices, c.Notices)
	v.Goods = applied(v.Goods, c.Goods)
	v.Log = applied(v.Log, c.Log)
	return v
}

func applied[T any](list []T, c *listChange[T]) []T {
	if c == nil {
		return list
	}
	return append(append([]T(nil), list[c.Drop:]...), c.Add...)
}

// openStream requests the events.
func openStream(t *testing.T, ctx context.Context, client *http.Client, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/events", nil)
	require.NoError(t, err)
	res, err := client.Do(r)
	require.NoError(t, err)
	return res
}

// events reads the events of a stream. It ends with the stream.
func events(t *testing.T, ctx context.Context, client *http.Client, url string) <-chan changes {
	t.Helper()
	res := openStream(t, ctx, client, url)
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	assert.Equal(t, "no-store", res.Header.Get("Cache-Control"))

	received := make(chan changes, 100)
	go func() {
		defer close(received)
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var c changes
			if !assert.NoError(t, json.Unmarshal([]byte(data), &c)) {
				return
			}
			received <- c
		}
	}()
	return received
}

func next(t *testing.T, received <-chan changes) (c changes, ok bool) {
	t.Helper()
	select {
	case c, ok = <-received:
		return c, ok
	case <-time.After(10 * time.Second):
		require.Fail(t, "no event and no end")
		return
	}
}

func comments(names ...string) (list []commentView) {
	for _, name := range names {
		list = append(list, commentView{Name: name, Content: "<b>two\nlines</b>"})
	}
	return list
}

func TestEventsFollowTheView(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	first := view{
		Room:     roomView{Viewers: 3},
		Conn:     connView{State: "waiting", Attempt: 2, RetryAt: 1700000000000, Cause: causeView{"lost", "EOF"}},
		Backend:  backendView{Own: true},
		Comments: comments("a", "b"),
	}
	shown := &shownView{v: first}
	url, client := servedPage(t, ctx, shown.look, &pressed{})
	received := events(t, ctx, client, url)

	c, ok := next(t, received)
	require.True(t, ok)
	assert.True(t, c.All)
	assert.Equal(t, first, view{}.apply(c), "all at once")

	select {
	case c := <-received:
		t.Errorf("nothing has changed, but there is an event: %+v", c)
	case <-time.After(3 * lookEvery):
	}

	second := first
	second.Conn = connView{State: "open", Opens: 2, RTTMicro: 391}
	second.Comments = comments("b", "c")
	shown.set(second)
	c, ok = next(t, received)
	require.True(t, ok)
	assert.Equal(t, changes{
		Conn: &second.Conn, Comments: &listChange[commentView]{Drop: 1, Add: comments("c")},
	}, c, "only what has changed")

	late, ok := next(t, events(t, ctx, client, url))
	require.True(t, ok)
	assert.True(t, late.All)
	assert.Equal(t, second, view{}.apply(late), "a viewer that comes gets all")

	end()
	_, ok = next(t, received)
	assert.False(t, ok, "the stream ends with ctx")
}

func TestChangesOfLists(t *testing.T) {
	for _, tt := range []struct {
		had, now string
		want     *listChange[string]
	}{
		{"", "", nil},
		{"a b", "a b", nil},
		{"", "a", &listChange[string]{Add: []string{"a"}}},
		{"a", "a b", &listChange[string]{Add: []string{"b"}}},
		{"a b", "b c d", &listChange[string]{Drop: 1, Add: []string{"c", "d"}}},
		{"a b", "b", &listChange[string]{Drop: 1, Add: []string{}}},
		{"a b", "c d", &listChange[string]{Drop: 2, Add: []string{"c", "d"}}},
		{"a b", "", &listChange[string]{Drop: 2, Add: []string{}}},
		{"a b c", "a c", &listChange[string]{Drop: 3, Add: []string{"a", "c"}}},
		{"a a a", "a a", &listChange[string]{Drop: 1, Add: []string{}}},
		{"a a b", "a b a", &listChange[string]{Drop: 1, Add: []string{"a"}}},
		{"a b", "x a b", &listChange[string]{Drop: 2, Add: []string{"x", "a", "b"}}},
	} {
		had, now := strings.Fields(tt.had), strings.Fields(tt.now)
		got := changeOfList(had, now)
		assert.Equal(t, tt.want, got, "%s to %s", tt.had, tt.now)
		assert.Equal(t, tt.now, strings.Join(applied(had, got), " "))
	}
}

func TestEventsAreAtMostTenASecond(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var mu sync.Mutex
	looks := 0
	url, client := servedPage(t, ctx, func() view { // never twice the same
		mu.Lock()
		defer mu.Unlock()
		looks++
		return view{Conn: connView{Opens: looks}}
	}, &pressed{})

	began := time.Now()
	received := events(t, ctx, client, url)
	for range 5 {
		_, ok := next(t, received)
		require.True(t, ok)
	}
	// The ticks of a slow machine may follow on each other closely, but there are no more of them.
	assert.GreaterOrEqual(t, time.Since(began), 3*lookEvery)
	end()
}

func TestEventsEndWithTheBrowser(t *testing.T) {
	url, client := servedPage(t, t.Context(), noView, &pressed{})
	browser, leave := context.WithCancel(t.Context())
	received := events(t, browser, client, url)
	_, ok := next(t, received)
	require.True(t, ok)
	leave()
	_, ok = next(t, received)
	assert.False(t, ok)
	// servedPage finds the stream if it goes on at the server.
}

// One viewer more than there may be is refused, and has a place when another leaves.
func TestViewersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := newPage(t.Context(), noView, &pressed{})
		view := func() (w *httptest.ResponseRecorder, leave func()) {
			ctx, leave := context.WithCancel(t.Context())
			w = httptest.NewRecorder()
			go page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/events", nil))
			synctest.Wait()
			return w, leave
		}
		for range maxViewers - 1 {
			_, leave := view()
			defer leave()
		}
		last, leave := view()
		require.Contains(t, last.Body.String(), `"all":true`)
		refused, done := view()
		done()
		require.Equal(t, http.StatusServiceUnavailable, refused.Code)
		require.Equal(t, "2", refused.Header().Get("Retry-After"))
		leave()
		synctest.Wait()
		late, leave := view()
		defer leave()
		require.Contains(t, late.Body.String(), `"all":true`)
		refused, done = view()
		done()
		require.Equal(t, http.StatusServiceUnavailable, refused.Code, "the place was taken")
	})
}

// A floodedRoom is a view in which all is new at each look, as large as a room keeps it.
func floodedRoom() func() view {
	var mu sync.Mutex
	n := 0
	return func() view {
		mu.Lock()
		defer mu.Unlock()
		var v view
		for range shownBytes / 4096 {
			n++
			v.Comments = append(v.Comments, commentView{Content: fmt.Sprint(n) + strings.Repeat("\x01", 4000)})
		}
		return v
	}
}

// A viewer that reads nothing is disconnected, and until then nothing is queued for it: what
// it misses is not even encoded.
func TestAViewerThatDoesNotReadIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, browser := net.Pipe()
		defer func() { _ = browser.Close() }()
		looks := 0
		flooded := floodedRoom()
		listener := &oneConn{conn: server, closed: make(chan struct{})}
		s := &http.Server{Handler: newPage(t.Context(), func() view { looks++; return flooded() }, &pressed{})}
		go func() { _ = s.Serve(listener) }()
		defer func() { _ = s.Close() }()
		_, err := browser.Write([]byte("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		require.NoError(t, err)
		_, err = browser.Read(make([]byte, 100)) // and no more
		require.NoError(t, err)

		time.Sleep(writeWithin - time.Second)
		synctest.Wait()
		require.Equal(t, 1, looks)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, looks)
		_, err = browser.Write([]byte("x"))
		require.Error(t, err, "disconnected")
	})
}

// A request whose body does not arrive is ended, whatever it asks for; a stream of events is not.
func TestABodyThatTricklesIsCutOff(t *testing.T) {
	for request, cut := range map[string]bool{
		"POST /say": true, "POST /restart": true, "GET /": true, "POST /none": true, "GET /events": false,
	} {
		t.Run(request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				server, browser := net.Pipe()
				s := newServer(newPage(ctx, noView, &pressed{}))
				listener := &oneConn{conn: server, closed: make(chan struct{})}
				go func() { _ = s.Serve(listener) }()
				defer func() { _ = s.Close() }()
				defer end()
				go func() { _, _ = io.Copy(io.Discard, browser) }()
				body := "Content-Length: 1000\r\n\r\n"
				if !cut {
					body = "\r\n"
				}
				_, err := browser.Write([]byte(request + " HTTP/1.1\r\nHost: localhost\r\n" + body))
				require.NoError(t, err)
				for range readWithin / time.Second {
					time.Sleep(time.Second)
					if cut && err == nil {
						_, err = browser.Write([]byte("x"))
					}
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if !cut { // it is read to find the end of the connection
					_, err = browser.Write([]byte("x"))
					require.NoError(t, err)
					return
				}
				_, err = browser.Write([]byte("x"))
				require.Error(t, err)
			})
		})
	}
}

// A oneConn is a listener with one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
