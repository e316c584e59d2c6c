package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// serve runs fleetctl serve until the test ends, and returns the URL that it prints.
func (w *world) serve(flags ...string) (at string) {
	w.Helper()
	ctx, stop := context.WithCancel(context.Background())
	read, write := io.Pipe()
	c := command()
	c.SetOut(write)
	c.SetArgs(append([]string{"--url", w.fleet.URL(), "serve", "--listen", "127.0.0.1:0"}, flags...))
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, c) }()
	w.Cleanup(func() {
		stop()
		assert.Equal(w, done, <-ended)
	})
	line := make([]byte, 100)
	n, err := read.Read(line)
	require.NoError(w, err)
	return strings.TrimSpace(string(line[:n]))
}

// People and programs without a NATS user look over HTTP, and can change nothing.
func TestServe(t *testing.T) {
	w := newWorld(t, "a")
	require.NoError(t, w.fleet.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: w.srv.URL() + "?token=s3cret"}))
	w.untilThere("a")
	at := w.serve()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(method, path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, at+path, nil)
		require.NoError(t, err)
		answer, err := client.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			assert.Equal(t, "same-origin", answer.Header.Get("Cross-Origin-Resource-Policy"), path)
		}
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	require.Eventually(t, func() bool {
		_, text := get("GET", "rooms")
		return strings.Contains(text, `"worker":"a"`)
	}, 20*time.Second, 50*time.Millisecond)
	for path, want := range map[string]string{"rooms": `"id":"r"`, "workers": `"stats":{`, "": "<html", "?rows": "["} {
		code, text := get("GET", path)
		assert.Equal(t, http.StatusOK, code, path)
		assert.Contains(t, text, want, path)
		assert.NotContains(t, text, "s3cret", path)
	}
	for _, path := range []string{"", "rooms", "workers", "?reconnect=1"} {
		code, _ := get("POST", path)
		assert.Equal(t, http.StatusMethodNotAllowed, code, path)
	}
	code, _ := get("GET", "other")
	assert.Equal(t, http.StatusNotFound, code)
}

// raw sends a request as it is, and returns the status of the answer.
func raw(t *testing.T, at, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(at, "http://"), "/"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, request)
	defer answer.Body.Close()
	return answer.StatusCode
}

// A web site that resolves a name of its own to 127.0.0.1 would have its script read the fleet in the browser of
// someone on this machine. That the Host is this machine's is checked on every path.
func TestServeToAReboundName(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.fleet.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: w.srv.URL()}))
	at := w.serve()
	for _, path := range []string{"/", "/?rows", "/?events", "/rooms", "/workers", "/other"} {
		for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "evil.example:", ""} {
			assert.Equal(t, http.StatusForbidden, raw(t, at, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"), "%s of %q", path, host)
		}
	}
	for _, path := range []string{"/", "/?rows", "/rooms", "/workers"} {
		for _, host := range []string{"127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:8080", "[::1]", "[::1]:8080"} {
			assert.Equal(t, http.StatusOK, raw(t, at, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"), "%s of %q", path, host)
		}
	}
}

// Whatever a viewer asks for, it changes nothing, and gets nothing but the page, the rooms and the workers.
func TestServeToAHostileViewer(t *testing.T) {
	w := newWorld(t, "a")
	require.NoError(t, w.fleet.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: w.srv.URL()}))
	conn, err := w.srv.NextConn(t.Context())
	require.NoError(t, err)
	at := w.serve()
	long := strings.Repeat("x", 1<<15)
	for _, line := range []string{
		"GET /rooms/ ", "GET /rooms/r ", "GET //rooms ", "GET /../rooms ", "GET /rooms/../etc/passwd ", "GET /%2e%2e/rooms ", "GET /rooms%2f.. ", "GET /rooms%00 ",
		"GET /debug/pprof/ ", "GET /metrics ", "GET /health/live ", "GET /ask/a/drain ", "GET rooms ", "GET * ", "CONNECT /rooms ", "GET /?reconnect=r ",
		"POST /?reconnect=r ", "PUT /rooms ", "DELETE /rooms?r ", "PATCH /workers ", "OPTIONS /rooms ", "TRACE / ", "GET /" + long + " ",
	} {
		code := raw(t, at, line+"HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		assert.True(t, code == http.StatusMovedPermanently || code == http.StatusTemporaryRedirect || code >= 400 && code < 500, "%.50s: %d", line, code)
	}
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, raw(t, at, "GET /rooms HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "+long+"\r\n\r\n"))
	select {
	case <-conn.Done():
		assert.Fail(t, "the room was disturbed")
	default:
	}
	assert.Contains(t, w.ctl("rooms", "--json"), `"worker":"a"`)
}

// Many requests at the same time are answered with the same text, and viewers that do not read are
// disconnected. Others are answered meanwhile.
func TestServeToManyAndSlowViewers(t *testing.T) {
	w := newWorld(t)
	for i := range 8 { // more than the buffers of a connection
		require.NoError(t, w.fleet.Control().Add(t.Context(), fleet.Spec{ID: strconv.Itoa(i), Options: map[string]string{"x": strings.Repeat("x", 2<<20)}}))
	}
	closed := make(chan struct{}, 1000)
	server := httptest.NewUnstartedServer((&settings{timeout: 10 * time.Second}).handler(w.fleet))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	for range 20 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
		_, err = io.WriteString(conn, "GET /rooms HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		require.NoError(t, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			answer, err := client.Get(server.URL + "/workers")
			if assert.NoError(t, err) {
				answer.Body.Close()
				assert.Equal(t, http.StatusOK, answer.StatusCode)
			}
		})
	}
	asking.Wait()
	for range 50 + 20 {
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			require.Fail(t, "a viewer that does not read is still connected")
		}
	}
}
