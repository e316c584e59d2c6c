package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// The bot opens the page on each connection, prints its console and, once a second, its title. It
// finds the browser that was started again, which has another URL.
func TestThePageIsWatchedInTheNextBrowserToo(t *testing.T) {
	browser := chromium(t)
	page := page(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "http://"+browser.Addr, page) })
	bot.Expect("title: The clock")
	bot.Expect("console: tick ")

	browser.Kill()
	browser.Start()
	bot.Expect("title: The clock")
	bot.Expect("console: tick ")
	require.NoError(t, bot.Stop())
	require.Zero(t, bot.Count("error: "), "answers and events are no errors")
}

// page serves a page that writes to its console ten times a second, and returns its URL.
func page(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<title>The clock</title><script>let n = 0; setInterval(() => console.log("tick " + ++n), 100)</script>`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
