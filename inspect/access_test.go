package inspect

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Over loopback the Host is checked: a web site can resolve its name to 127.0.0.1.
func TestANameThatIsReboundIsRefused(t *testing.T) {
	page := New(WithReconnect(), WithHosts("a.example"), WithHosts("ops.example"))
	for _, tt := range []struct {
		local, host string
		refused     bool
	}{
		{"127.0.0.1", "localhost", false},
		{"127.0.0.1", "LOCALHOST:6060", false},
		{"127.0.0.1", "127.0.0.1:6060", false},
		{"127.0.0.2", "127.0.0.2", false},
		{"::1", "[::1]:6060", false},
		{"::1", "[::1]", false},
		{"127.0.0.1", "192.168.1.2:6060", false}, // no name, so it was not resolved
		{"127.0.0.1", "ops.example", false},
		{"127.0.0.1", "Ops.example:443", false},
		{"127.0.0.1", "a.example", true}, // replaced
		{"127.0.0.1", "evil.example", true},
		{"::1", "evil.example:6060", true},
		{"127.0.0.1", "localhost.evil.example", true},
		{"127.0.0.1", "127.0.0.1.evil.example", true},
		{"127.0.0.1", "", true},
		{"10.0.0.5", "evil.example", false}, // there the page cannot know its names
	} {
		for query, method := range map[string]string{"": "GET", "?rows": "GET", "?events": "HEAD", "?reconnect=none": "POST"} {
			ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.ParseIP(tt.local)}))
			r := httptest.NewRequestWithContext(ctx, method, "http://localhost/"+query, nil)
			r.Host = tt.host
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			require.Equal(t, tt.refused, w.Code == http.StatusForbidden, "%s to %q at %s: %d", query, tt.host, tt.local, w.Code)
		}
	}
}

// One viewer too many is refused, of rows as of events, and has a place when another leaves.
func TestViewersAreLimited(t *testing.T) {
	for _, query := range []string{"?events", "?rows"} {
		synctest.Test(t, func(t *testing.T) {
			page := New()
			view := func(w http.ResponseWriter) {
				page.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/"+query, nil))
			}
			for range maxViewers {
				go view(&stuckWriter{header: http.Header{}})
			}
			synctest.Wait()
			w := httptest.NewRecorder()
			view(w)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Equal(t, "5", w.Header().Get("Retry-After"))

			time.Sleep(writeWithin) // none of them has read anything
			synctest.Wait()
			require.Zero(t, page.viewing.Load())
			ctx, leave := context.WithCancel(t.Context())
			w = httptest.NewRecorder()
			go page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost/"+query, nil))
			synctest.Wait()
			require.Equal(t, http.StatusOK, w.Code)
			leave()
		})
	}
}
