package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// People and programs without a NATS user look over HTTP, and can change nothing.
func TestServe(t *testing.T) {
	w := newWorld(t, "a")
	require.NoError(t, w.fleet.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: w.srv.URL() + "?token=s3cret"}))
	w.untilThere("a")
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	c := command()
	c.SetOut(write)
	c.SetArgs([]string{"--url", w.fleet.URL(), "serve", "--listen", "127.0.0.1:0"})
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, c) }()
	defer func() {
		stop()
		assert.Equal(t, done, <-ended)
	}()
	line := make([]byte, 100)
	n, err := read.Read(line)
	require.NoError(t, err)
	at := strings.TrimSpace(string(line[:n]))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(method, path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, at+path, nil)
		require.NoError(t, err)
		answer, err := client.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
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
