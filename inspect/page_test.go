package inspect

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// get asks a handler without a network.
func get(t *testing.T, h http.Handler, method, target string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

func TestThePageIsServedWithANonceOfItsOwn(t *testing.T) {
	page := New()
	res, body := get(t, page, "GET", "/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.NotContains(t, body, "{{nonce}}")
	csp := res.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'"} {
		require.Contains(t, csp, part)
	}
	require.NotContains(t, csp, "unsafe")
	nonce := regexp.MustCompile(`script-src 'nonce-([^']{26,})'; style-src 'nonce-([^']+)'`).FindStringSubmatch(csp)
	require.NotNil(t, nonce, csp)
	require.Equal(t, nonce[1], nonce[2])
	require.Contains(t, body, `<script nonce="`+nonce[1]+`">`)
	require.Contains(t, body, `<style nonce="`+nonce[1]+`">`)

	again, _ := get(t, page, "GET", "/")
	require.NotEqual(t, csp, again.Header.Get("Content-Security-Policy"))
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	for _, target := range []string{"/", "/?rows", "/?reconnect=1", "/x/y?nothing"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
			res, _ := get(t, New(), method, target)
			for name, value := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
				"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
				require.Equal(t, value, res.Header.Get(name), "%s %s: %s", method, target, name)
			}
			require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
		}
	}
}

func TestThePageCanOnlyBeRead(t *testing.T) {
	for _, target := range []string{"/", "/?rows", "/?events"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			res, body := get(t, New(), method, target)
			require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "%s %s", method, target)
			require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
			require.JSONEq(t, `{"ok":false,"error":"this can only be read"}`, body)
		}
	}
}

// One file, nothing from elsewhere, and no way for text to become HTML or script.
func TestThePageIsOneFile(t *testing.T) {
	for _, no := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment",
		"eval(", "new Function", "srcdoc", ` src="`, "https://", "@import", "url("} {
		require.NotContains(t, pageHTML, no)
	}
	markup := regexp.MustCompile(`(?s)<script nonce.*</script>|<style nonce.*?</style>|<!--.*?-->`).ReplaceAllString(pageHTML, "")
	require.NotRegexp(t, `\son[a-z]+=`, markup, "inline event handlers")
	require.NotRegexp(t, `\sstyle=`, markup, "the policy forbids style attributes")
	require.Equal(t, 1, strings.Count(pageHTML, "<script"))
	require.Equal(t, []string{"http://www.w3.org/2000/svg", "http://www.w3.org/2000/svg"}, regexp.MustCompile(`http://[^"'\s]+`).FindAllString(pageHTML, -1))
	ids := map[string]int{}
	for _, id := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(pageHTML, -1) {
		ids[id[1]]++
		require.Equal(t, 1, ids[id[1]], id[1])
	}
	for _, id := range regexp.MustCompile(`\$\("([^"]+)"\)`).FindAllStringSubmatch(pageHTML, -1) {
		require.Equal(t, 1, ids[id[1]], "the script uses %s", id[1])
	}
}

// All that the page asks for is relative to its own address.
func TestThePageWorksAtAnyPath(t *testing.T) {
	for _, call := range regexp.MustCompile(`(?:EventSource|fetch)\(([^,)]+)`).FindAllStringSubmatch(pageHTML, -1) {
		require.True(t, strings.HasPrefix(call[1], `"?`), call[0])
	}
	for name, mount := range map[string]func(mux *http.ServeMux, p *Page){
		"slash":    func(mux *http.ServeMux, p *Page) { mux.Handle("/debug/wechatws/", p) },
		"no slash": func(mux *http.ServeMux, p *Page) { mux.Handle("/debug/wechatws", p) },
		"root":     func(mux *http.ServeMux, p *Page) { mux.Handle("/", p) },
		"strip slash": func(mux *http.ServeMux, p *Page) {
			mux.Handle("/debug/wechatws/", http.StripPrefix("/debug/wechatws/", p))
		},
		"strip": func(mux *http.ServeMux, p *Page) {
			mux.Handle("/debug/wechatws/", http.StripPrefix("/debug/wechatws", p))
		},
		"strip everything": func(mux *http.ServeMux, p *Page) {
			mux.Handle("/debug/wechatws", http.StripPrefix("/debug/wechatws", p))
		},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mount(mux, New(WithReconnect()))
			at := "/debug/wechatws"
			if strings.Contains(name, "slash") && name != "no slash" || name == "strip" {
				at += "/"
			}
			res, body := get(t, mux, "GET", at)
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Contains(t, body, "<title>WebSocket clients</title>")
			res, body = get(t, mux, "GET", at+"?rows")
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.True(t, json.Valid([]byte(body)), body)
			res, body = get(t, mux, "POST", at+"?reconnect=1")
			require.Equal(t, http.StatusNotFound, res.StatusCode)
			require.JSONEq(t, `{"ok":false,"error":"there is no such client any more"}`, body)
		})
	}
}

func TestOtherSitesCannotMakeItWork(t *testing.T) {
	for _, target := range []string{"/?rows", "/?events"} {
		for site, status := range map[string]int{"cross-site": http.StatusForbidden, "same-site": http.StatusForbidden} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
			r.Header.Set("Sec-Fetch-Site", site)
			w := httptest.NewRecorder()
			New().ServeHTTP(w, r)
			require.Equal(t, status, w.Code, "%s from %s", target, site)
		}
	}
}

// A ResponseWriter that is wrapped by somebody who did not think of streams.
type dull struct{ http.ResponseWriter }

func TestAStreamThatCannotBeSaysWhy(t *testing.T) {
	w := httptest.NewRecorder()
	New().ServeHTTP(dull{w}, httptest.NewRequestWithContext(t.Context(), "GET", "/?events", nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "keeps it from streaming")
}

func TestANilClientIsNoticedAtOnce(t *testing.T) {
	require.PanicsWithValue(t, "inspect: Add with a nil client", func() { New().Add("shop", nil) })
	require.PanicsWithValue(t, "inspect: AddRows with nil", func() { New().AddRows(nil) })
}
