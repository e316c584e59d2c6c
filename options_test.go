package wechatws_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func TestNewReportsEveryWrongOptionByName(t *testing.T) {
	tests := []struct {
		url    string
		option wechatws.Option
		want   string
	}{
		{"", nil, `wechatws: New(nil): an option must not be nil`},
		{"ftp://host/path", pass, `wechatws: url("ftp://host"): scheme must be ws or wss (http and https are taken as those)`},
		{"host:8080", pass, `wechatws: url("host:"): scheme must be ws or wss (http and https are taken as those)`},
		{"", pass, `wechatws: url(""): scheme must be ws or wss (http and https are taken as those)`},
		{"ws://", pass, `wechatws: url("ws:"): host is missing`},
		{"ws:///path?token=secret", pass, `wechatws: url("ws:"): host is missing`},
		{"ws://user:secret@/path", pass, `wechatws: url("ws:"): host is missing`},
		{"ws://host#part", pass, `wechatws: url("ws://host"): a WebSocket URL has no fragment (#…)`},
		{"ws://user:secret@host:port/?token=secret", pass, `wechatws: url(not shown): cannot be parsed: invalid port`},
		{"ws://host", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, nil
		}), `wechatws: WithEndpoint(func): give New an empty url when the endpoint comes from a function`},
		{"", wechatws.WithEndpoint(nil), `wechatws: WithEndpoint(nil): must be a function`},
		{"ws://h", wechatws.WithHeader(http.Header{"Sec-WebSocket-Protocol": {"x"}}), `wechatws: WithHeader(Sec-WebSocket-Protocol): use WithSubprotocols`},
		{"ws://h", wechatws.WithHeader(http.Header{"upgrade": {"x"}}), `wechatws: WithHeader(upgrade): this header belongs to the handshake`},
		{"ws://h", wechatws.WithSubprotocols("a b"), `wechatws: WithSubprotocols(name 1 of 1): must be an HTTP token such as "chat.v1"`},
		{"ws://h", wechatws.WithTLSConfig(nil), `wechatws: WithTLSConfig(nil): must be a configuration`},
		{"ws://h", wechatws.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS10}), `wechatws: WithTLSConfig(TLS 1.0): versions below TLS 1.2 are not allowed`},
		{"ws://h", wechatws.WithTLSConfig(&tls.Config{MaxVersion: tls.VersionTLS11}), `wechatws: WithTLSConfig(TLS 1.1): versions below TLS 1.2 are not allowed`},
		{"ws://h", wechatws.WithNetDial(nil), `wechatws: WithNetDial(nil): must be a function`},
		{"ws://h", wechatws.WithDialer(nil), `wechatws: WithDialer(nil): must be a Dialer`},
		{"ws://h", wechatws.WithDialTimeout(-time.Second), `wechatws: WithDialTimeout(-1s): must be longer than zero`},
		{"ws://h", wechatws.WithReadLimit(0), `wechatws: WithReadLimit(0): must be above zero`},
		{"ws://h", wechatws.WithLogin(nil), `wechatws: WithLogin(nil): must be a function`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: -time.Second}), `wechatws: WithHeartbeat(-1s): the interval must be longer than zero; WithoutHeartbeat switches it off`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Message: make(chan int)}), `wechatws: WithHeartbeat(chan int): cannot encode chan int: json: unsupported type: chan int`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Message: 1, NewMessage: func() (any, error) { return 1, nil }}), `wechatws: WithHeartbeat(Message and NewMessage): give one of the two`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Minute, Pong: func(wechatws.Message) bool { return true }}), `wechatws: WithHeartbeat(interval 1m0s): with Pong the interval must be shorter than the liveness timeout (10s)`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Timeout: -1}), `wechatws: WithLiveness(interval 0s, timeout -1ns): must be longer than zero; WithoutLiveness switches it off`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Timeout: 2 * time.Second}), `wechatws: WithLiveness(interval 3s, timeout 2s): the timeout must be longer than the interval`},
		{"ws://h", wechatws.WithTiers(), `wechatws: Tiers(none): give at least one tier, or WithoutReconnect`},
		{"ws://h", wechatws.WithTiers(wechatws.Tier{Delay: -1}), `wechatws: Tiers(tier 1: -1ns × 0): the delay must not be negative`},
		{"ws://h", wechatws.WithBackOff(nil), `wechatws: WithBackOff(nil): must be a function that makes a backoff.BackOff`},
		{"ws://h", wechatws.WithJitter(1.5), `wechatws: WithJitter(1.5): must be from 0 to 1`},
		{"ws://h", wechatws.WithStableAfter(0), `wechatws: WithStableAfter(0s): must be longer than zero`},
		{"ws://h", wechatws.WithFinalWhen(nil), `wechatws: WithFinalWhen(nil): must be a function`},
		{"ws://h", wechatws.WithPermanentAfter(-1), `wechatws: WithPermanentAfter(-1ns): must be zero or longer`},
		{"ws://h", wechatws.WithNetworkMonitor(nil), `wechatws: WithNetworkMonitor(nil): must be a NetworkMonitor such as SystemNetwork()`},
		{"ws://h", wechatws.WithTypeField(""), `wechatws: WithTypeField(""): must be the name of a field`},
		{"ws://h", wechatws.WithCodec(nil), `wechatws: WithCodec(nil): must be a Codec`},
		{"ws://h", wechatws.WithQueue(-1, 1, wechatws.QueueFail), `wechatws: WithQueue(-1 messages): must be 0 (no queue) or more`},
		{"ws://h", wechatws.WithQueue(1, 0, wechatws.QueueFail), `wechatws: WithQueue(0 bytes): must be above zero`},
		{"ws://h", wechatws.WithQueue(1, 1, 7), `wechatws: WithQueue(policy 7): must be QueueFail, QueueWait or QueueDropOldest`},
		{"ws://h", wechatws.WithDrainTimeout(-1), `wechatws: WithDrainTimeout(-1ns): must be zero or longer`},
	}
	for _, tt := range tests {
		_, err := wechatws.New(tt.url, tt.option)
		require.Error(t, err, tt.want)
		lines := strings.Split(err.Error(), "\n")
		assert.Contains(t, lines, tt.want)
		assert.NotContains(t, err.Error(), "secret")
	}

	_, err := wechatws.New("nonsense", wechatws.WithJitter(-1), wechatws.WithReadLimit(-1), wechatws.WithLogin(nil))
	assert.Len(t, strings.Split(err.Error(), "\n"), 4, "several are reported together")
	var oe *wechatws.OptionError
	require.ErrorAs(t, err, &oe)
	assert.Equal(t, wechatws.OptionError{Option: "WithJitter", Value: "-1", Want: "must be from 0 to 1"}, *oe)
}

// pass stands where a test is about the URL alone.
var pass = wechatws.WithCompression()

func TestNewTakesHTTPAsWebSocket(t *testing.T) {
	for _, url := range []string{"ws://h", "wss://h/p?q=1", "http://h:1", "https://user:pass@h"} {
		c, err := wechatws.New(url)
		require.NoError(t, err, url)
		assert.Equal(t, wechatws.StateIdle, c.State())
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"ws://host/path?token=hunter22", "wss://user:hunter22@host:1/", "://", "ws://[::1]%zz", "ws://h:x/?hunter22"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, url string) {
		c, err := wechatws.New(url)
		if (c == nil) == (err == nil) {
			panic("a client or an error")
		}
	})
}
