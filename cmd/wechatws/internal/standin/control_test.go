package standin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// control serves commands, and returns the URL for them.
func control(t *testing.T, b *Backend) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- b.Control(ctx, l) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-served) })
	return "http://" + l.Addr().String()
}

func post(t *testing.T, url, body string, change func(*http.Request)) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(limited(t), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	if change != nil {
		change(r)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestCommandsOverHTTP(t *testing.T) {
	b, out := start(t, Config{Kind: Silent})
	url := control(t, b)
	status, answer := post(t, url, "cut\n", nil)
	assert.Equal(t, []any{200, "done\n"}, []any{status, answer})
	status, answer = post(t, url, "help", nil)
	assert.Equal(t, 200, status)
	assert.Contains(t, answer, "blackhole")
	assert.NotContains(t, answer, "kick")
	status, answer = post(t, url, "nonsense", nil)
	assert.Equal(t, 400, status)
	assert.Contains(t, answer, "unknown command")
	answered := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(strings.Repeat("x", maxCommand+1)))
	b.control(answered, r)
	assert.Equal(t, 413, answered.Code)
	assert.Equal(t, 1, strings.Count(out.String(), `"event":"command"`))
}

// A comment in a room without a member reaches no client, and the answer says so.
func TestACommentThatReachesNoMemberOverHTTP(t *testing.T) {
	b, out := start(t, Config{Kind: LiveRoom})
	url := control(t, b)
	c := dial(t, b)
	assert.Contains(t, read(t, c), "init")
	const hint = "room 7 has no member, so no client receives the comment now; send TEXT reaches all connections"
	status, answer := post(t, url, "say 7 Bob good morning", nil)
	assert.Equal(t, []any{200, "done, but " + hint + "\n"}, []any{status, answer})
	assert.Contains(t, out.events(t), Line{Event: "note", Text: hint})
	write(t, c, `{"msg_type":"join","room_id":"7","from_name":"Ann"}`)
	assert.Contains(t, read(t, c), `"join"`)
	status, answer = post(t, url, "say 7 Bob good morning", nil)
	assert.Equal(t, []any{200, "done\n"}, []any{status, answer})
	assert.Equal(t, 1, strings.Count(out.String(), `"event":"note"`))
}

// What a page in a browser can send does nothing.
func TestPagesCannotSendCommands(t *testing.T) {
	b, out := start(t, Config{Kind: Silent})
	url := control(t, b)
	for name, change := range map[string]func(*http.Request){
		"a name that is resolved to 127.0.0.1": func(r *http.Request) { r.Host = "evil.example:9528" },
		"another machine's address":            func(r *http.Request) { r.Host = "192.0.2.1:9528" },
		"a page":                               func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a page of no origin":                  func(r *http.Request) { r.Header.Set("Origin", "null") },
		"another site":                         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port":                         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
	} {
		status, _ := post(t, url, "cut", change)
		assert.Equal(t, 403, status, name)
	}
	for _, method := range []string{"GET", "PUT", "OPTIONS", "HEAD"} {
		status, _ := post(t, url, "cut", func(r *http.Request) { r.Method = method })
		assert.Equal(t, 405, status, method)
	}
	assert.NotContains(t, out.String(), "command")
	status, _ := post(t, url, "cut", func(r *http.Request) { r.Host = "localhost:1" })
	assert.Equal(t, 200, status)
}

func TestCommandsAreTakenOnThisMachineOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:80", "127.0.0.1"} {
		assert.ErrorContains(t, CheckControl(addr), "must be a loopback address", addr)
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:80", "[::1]:80"} {
		assert.NoError(t, CheckControl(addr), addr)
	}
}
