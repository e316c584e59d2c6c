package fleet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhichEndpointsAHostPermits(t *testing.T) {
	for host, endpoints := range map[string]struct{ yes, no []string }{
		"live.example.com": {
			[]string{"wss://live.example.com", "ws://LIVE.example.com:81/x?y", "wss://live.example.com./", "wss://live.example.com?@evil.example"},
			[]string{"wss://example.com", "wss://a.live.example.com", "wss://live.example.com.evil.example", "wss://evil.example/live.example.com",
				"wss://live.example.com@evil.example", "live.example.com", "wss:live.example.com", "/live.example.com", "wss://", "wss://evil.example#live.example.com",
				"wss://evil.example\\.live.example.com", "wss://live.example.com\x00", "://"},
		},
		"*.Example.com": {
			[]string{"wss://a.example.com", "wss://a.b.example.com:7"},
			[]string{"wss://example.com", "wss://.example.com", "wss://aexample.com", "wss://example.com.evil.example", "wss://evil.example?.example.com"},
		},
		"live.example.com:443": {
			[]string{"wss://live.example.com", "https://live.example.com/", "ws://live.example.com:443"},
			[]string{"ws://live.example.com", "wss://live.example.com:80"},
		},
		"*.example.com:8080": {[]string{"ws://a.example.com:8080"}, []string{"ws://a.example.com", "ws://example.com:8080"}},
		"[::1]":              {[]string{"ws://[::1]", "ws://[::1]:80"}, []string{"ws://[::2]", "ws://[::1%25eth0]"}},
		"[::1]:80":           {[]string{"ws://[::1]"}, []string{"ws://[::1]:81"}},
		"192.0.2.1":          {[]string{"ws://192.0.2.1:9"}, []string{"ws://192.0.2.10", "ws://3221225985"}},
	} {
		c := workerConfig{}
		WithEndpoints(host)(&c)
		require.NoError(t, c.mistakes.err(), host)
		for _, e := range endpoints.yes {
			assert.NoError(t, c.permits(e), "%s: %s", host, e)
		}
		for _, e := range endpoints.no {
			assert.ErrorIs(t, c.permits(e), ErrEndpoint, "%s: %s", host, e)
		}
		assert.NoError(t, c.permits(""), "the function given to NewWorker decides")
	}
	c := workerConfig{}
	assert.NoError(t, c.permits("wss://any.example"), "without WithEndpoints")
}

// What is read from NATS is bounded, and has no control characters.
func TestMembersAndPinsAreBounded(t *testing.T) {
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'x'
	}
	for _, name := range []string{``, string(long), `a\nb`, `\u001b[2J`} {
		assert.Nil(t, parseMember([]byte(`{"name":"`+name+`"}`)), name)
		r := parseRecord([]byte(`{"id":"r","pin":"`+name+`"}`), "r")
		require.NotNil(t, r)
		assert.Empty(t, r.Pin, name)
	}
	m := parseMember([]byte(`{"name":"worker 闲","host":"h\u001b[2J` + string(long) + string(long) + `"}`))
	require.NotNil(t, m)
	assert.Equal(t, "worker 闲", m.Name)
	assert.Less(t, len(m.Host), 260)
	assert.Contains(t, m.Host, "h[2Jxxx")
	assert.Equal(t, "a", parseRecord([]byte(`{"id":"r","pin":"a"}`), "r").Pin)
}
