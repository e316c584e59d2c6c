package standin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/wstest"
)

// A stage is a recording that is served on a network in memory, in virtual time.
type stage struct {
	*testing.T
	network *wstest.Network
	client  *http.Client
	over    chan error
	began   time.Time
	out     *output
}

func onStage(t *testing.T, r Replay, lines string, test func(s *stage)) {
	t.Helper()
	var err error
	r.Recording, err = recording.Read(strings.NewReader(
		`{"recording":"wechatws","version":1,"started":"2026-11-30T00:00:00Z","url":"ws://h"}` + "\n" + lines))
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, network: wstest.NewNetwork(), over: make(chan error, 1), out: &output{}}
		s.client = &http.Client{Transport: &http.Transport{DialContext: s.network.DialContext, DisableKeepAlives: true}}
		r.network, r.Addr, r.Log = s.network, "server.test:80", &Log{Out: s.out}
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); <-s.over }()
		go func() { s.over <- r.Run(ctx); close(s.over) }()
		synctest.Wait()
		test(s)
	})
}

func (s *stage) dial() (*websocket.Conn, *http.Response, error) {
	s.began = time.Now()
	return websocket.Dial(s.Context(), "ws://server.test", &websocket.DialOptions{HTTPClient: s.client, Subprotocols: []string{"v1", "v2"}, Host: "localhost"})
}

func (s *stage) open() *websocket.Conn {
	s.Helper()
	c, _, err := s.dial()
	require.NoError(s, err)
	return c
}

// expect reads a message, which must come at a time since the handshake.
func (s *stage) expect(c *websocket.Conn, at time.Duration, text string) {
	s.Helper()
	_, data, err := c.Read(s.Context())
	require.NoError(s, err)
	assert.Equal(s, text, string(data))
	assert.Equal(s, at, time.Since(s.began), text)
}

// ends reads the end of a connection.
func (s *stage) ends(c *websocket.Conn, at time.Duration, code websocket.StatusCode) {
	s.Helper()
	_, _, err := c.Read(s.Context())
	require.Error(s, err)
	assert.Equal(s, code, websocket.CloseStatus(err), err)
	assert.Equal(s, at, time.Since(s.began))
}

const session = `{"t":1,"conn":1,"event":"refused","status":503,"retry_after":"3"}
{"t":2,"conn":2,"event":"failed","error":"connection refused"}
{"t":4,"conn":3,"event":"open","subprotocol":"v2"}
{"t":4,"conn":3,"event":"sent","secret":true,"size":9}
{"t":5,"conn":3,"event":"received","text":"welcome"}
{"t":6,"conn":3,"event":"sent","text":"ping","heartbeat":true}
{"t":7,"conn":3,"event":"received","binary":"AQI="}
{"t":9,"conn":3,"event":"closed","by":"server","code":4000,"reason":"moved"}
{"t":10,"conn":4,"event":"open"}
{"t":11,"conn":4,"event":"received","text":"again"}
{"t":12,"conn":4,"event":"closed","by":"client","code":1000}
`

func TestReplayHasTheTiming(t *testing.T) {
	for speed, second := range map[float64]time.Duration{1: time.Second, 4: time.Second / 4, 0: 0} {
		onStage(t, Replay{Speed: speed}, session, func(s *stage) {
			_, resp, err := s.dial()
			require.Error(s, err)
			assert.Equal(s, 503, resp.StatusCode)
			assert.Equal(s, "3", resp.Header.Get("Retry-After"))
			_, resp, err = s.dial()
			require.Error(s, err)
			assert.Nil(s, resp)
			c := s.open()
			assert.Equal(s, "v2", c.Subprotocol())
			s.expect(c, second, "welcome")
			s.expect(c, 3*second, "\x01\x02")
			s.ends(c, 5*second, 4000)
			c = s.open()
			s.expect(c, second, "again")
			s.ends(c, 2*second, 1000)
			require.NoError(s, <-s.over)
			assert.Contains(s, s.out.String(), "the recording is at its end")
		})
	}
}

func TestReplayInStep(t *testing.T) {
	onStage(t, Replay{Speed: 1, InStep: true}, `{"t":0,"conn":1,"event":"open"}
{"t":1,"conn":1,"event":"received","text":"who are you?"}
{"t":2,"conn":1,"event":"sent","text":"ping","heartbeat":true}
{"t":3,"conn":1,"event":"sent","secret":true}
{"t":4,"conn":1,"event":"received","text":"welcome"}
{"t":6,"conn":1,"event":"received","text":"news"}
`, func(s *stage) {
		c := s.open()
		s.expect(c, time.Second, "who are you?")
		time.Sleep(time.Minute)
		write(s.T, c, "ping")
		time.Sleep(time.Minute)
		write(s.T, c, "I am Ann")
		at := time.Since(s.began) // the answer took a second
		s.expect(c, at+time.Second, "welcome")
		s.expect(c, at+3*time.Second, "news")
		s.ends(c, at+3*time.Second, 1000)
		require.NoError(s, <-s.over)
	})
}

func TestReplayOfCuts(t *testing.T) {
	onStage(t, Replay{Speed: 1}, `{"t":0,"conn":1,"event":"open"}
{"t":1,"conn":1,"event":"closed","by":"server","cut":"FIN"}
{"t":2,"conn":2,"event":"open"}
{"t":3,"conn":2,"event":"closed","by":"server","cut":"RST"}
{"t":4,"conn":3,"event":"open"}
{"t":5,"conn":3,"event":"closed","by":"server","code":1005}
{"t":6,"conn":4,"event":"open"}
{"t":7,"conn":4,"event":"closed","by":"client","cut":"FIN"}
{"t":9,"conn":5,"event":"refused","status":401}
`, func(s *stage) {
		s.ends(s.open(), time.Second, -1)
		s.ends(s.open(), time.Second, -1)
		s.ends(s.open(), time.Second, websocket.StatusNoStatusRcvd)
		c := s.open() // the server remains silent until the client gives up
		ctx, cancel := context.WithTimeout(s.Context(), time.Hour)
		defer cancel()
		_, _, err := c.Read(ctx)
		require.ErrorIs(s, err, context.DeadlineExceeded)
		_, resp, err := s.dial()
		require.Error(s, err)
		assert.Equal(s, 401, resp.StatusCode)
		_, _, err = s.dial() // beyond the recording
		require.Error(s, err)
		require.NoError(s, <-s.over)
	})
}

// A client that stops for good makes no further attempt.
func TestReplayEndsAfterARefusal(t *testing.T) {
	for _, last := range []string{`"refused","status":401`, `"failed","error":"connection refused"`} {
		onStage(t, Replay{Speed: 1}, `{"t":0,"conn":1,"event":"open"}
{"t":1,"conn":1,"event":"closed","by":"server","cut":"FIN"}
{"t":2,"conn":2,"event":`+last+"}\n", func(s *stage) {
			s.ends(s.open(), time.Second, -1)
			_, _, err := s.dial()
			require.Error(s, err)
			require.NoError(s, <-s.over)
		})
	}
}

// A page of another site could read the recording.
func TestPagesOfOtherSitesGetNoRecording(t *testing.T) {
	for _, test := range []struct {
		host, origin string
		elsewhere    bool
	}{
		{"127.0.0.1:9527", "", false},
		{"localhost:9527", "http://localhost:8080", false},
		{"192.0.2.1:9527", "", false},
		{"evil.example:9527", "", true},
		{"127.0.0.1:9527", "https://evil.example", true},
		{"127.0.0.1:9527", "null", true},
		{"127.0.0.1:9527", "%", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		assert.Equal(t, test.elsewhere, fromElsewhere(r), test)
	}
}
