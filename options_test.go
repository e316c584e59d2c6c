package wechatws_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
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
		{"", pass, `wechatws: url(""): give a URL, WithEndpoint or WithEndpoints`},
		{"ws://", pass, `wechatws: url("ws:"): host is missing`},
		{"ws:///path?token=secret", pass, `wechatws: url("ws:"): host is missing`},
		{"ws://user:secret@/path", pass, `wechatws: url("ws:"): host is missing`},
		{"ws://host#part", pass, `wechatws: url("ws://host"): a WebSocket URL has no fragment (#…)`},
		{"ws://user:secret@host:port/?token=secret", pass, `wechatws: url(not shown): cannot be parsed: invalid port`},
		{"ws://host:0", pass, `wechatws: url("ws://host:0"): port must be from 1 to 65535`},
		{"ws://host:65536", pass, `wechatws: url("ws://host:65536"): port must be from 1 to 65535`},
		{"ws://host:99999/?token=secret", pass, `wechatws: url("ws://host:99999"): port must be from 1 to 65535`},
		{"ws://host:99999999999999999999", pass, `wechatws: url("ws://host:99999999999999999999"): port must be from 1 to 65535`},
		{"ws://:80", pass, `wechatws: url("ws://:80"): host is missing`},
		{"ws://a..b", pass, `wechatws: url("ws://a..b"): ` + wrongHost},
		{"ws://.", pass, `wechatws: url("ws://."): ` + wrongHost},
		{"ws://a,b", pass, `wechatws: url("ws://a,b"): ` + wrongHost},
		{"ws://<room>", pass, `wechatws: url("ws://<room>"): ` + wrongHost},
		{"ws://::1", pass, `wechatws: url("ws://::1"): ` + wrongHost},
		{"ws://%ff", pass, `wechatws: url("ws://%FF"): ` + wrongHost},
		{"ws://a b", pass, `wechatws: url(not shown): cannot be parsed: invalid character`},
		{"ws://a%20b", pass, `wechatws: url(not shown): cannot be parsed: invalid URL escape`},
		{"ws://a%zz", pass, `wechatws: url(not shown): cannot be parsed: invalid URL escape`},
		{"ws://[::1", pass, `wechatws: url(not shown): cannot be parsed: missing ']' in host`},
		{"ws://[host]", pass, `wechatws: url(not shown): cannot be parsed: invalid host: ParseAddr`},
		{"ws://host", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, nil
		}), `wechatws: WithEndpoint(func): give New an empty url when the endpoint comes from a function`},
		{"ws://host", wechatws.WithEndpoints("ws://a"), `wechatws: WithEndpoints(urls): give New an empty url with this option`},
		{"", wechatws.WithEndpoints(), `wechatws: WithEndpoints(none): give at least one URL`},
		{"", wechatws.WithEndpoints("ws://a", "ftp://u:secret@b/"), `wechatws: WithEndpoints(url 2 of 2: "ftp://b"): scheme must be ws or wss (http and https are taken as those)`},
		{"", wechatws.WithEndpoint(nil), `wechatws: WithEndpoint(nil): must be a function`},
		{"ws://h", wechatws.WithHeader(http.Header{"Sec-WebSocket-Protocol": {"x"}}), `wechatws: WithHeader(Sec-WebSocket-Protocol): use WithSubprotocols`},
		{"ws://h", wechatws.WithHeader(http.Header{"upgrade": {"x"}}), `wechatws: WithHeader(upgrade): this header belongs to the handshake`},
		{"ws://h", wechatws.WithHeader(http.Header{"HOST": {"x/secret"}}), `wechatws: WithHeader(HOST): ` + wrongHostHeader},
		{"ws://h", wechatws.WithHeader(http.Header{"Content-Length": {"1"}}), `wechatws: WithHeader(Content-Length): this header belongs to the handshake`},
		{"ws://h", wechatws.WithHeader(http.Header{"Authorization: secret": {"x"}}), `wechatws: WithHeader("Authorization…"): the name of a header must be an HTTP token such as "X-Room"`},
		{"ws://h", wechatws.WithHeader(http.Header{"": {"x"}}), `wechatws: WithHeader("…"): the name of a header must be an HTTP token such as "X-Room"`},
		{"ws://h", wechatws.WithHeader(http.Header{"X-Raum-Größe": {"x"}}), `wechatws: WithHeader("X-Raum-Gr…"): the name of a header must be an HTTP token such as "X-Room"`},
		{"ws://h", wechatws.WithHeader(http.Header{"X-Token": {"good", "secret\n"}}), `wechatws: WithHeader(X-Token): a value must be one line without control characters`},
		{"ws://h", wechatws.WithHeader(http.Header{"X-Token": {"secret\x00"}}), `wechatws: WithHeader(X-Token): a value must be one line without control characters`},
		{"ws://h", wechatws.WithHeader(http.Header{"X-Token": {"secret\x7f"}}), `wechatws: WithHeader(X-Token): a value must be one line without control characters`},
		{"ws://h", wechatws.WithHeader(http.Header{"x-token": {"secret1"}, "X-Token": {"secret2"}}), `wechatws: WithHeader(x-token): X-Token is the same name, give it once`},
		{"ws://h", wechatws.WithSubprotocols("secret.v1", "v2", "secret.v1"), `wechatws: WithSubprotocols(name 3 of 3): must be given once`},
		{"ws://h", wechatws.WithCookieJar((*cookiejar.Jar)(nil)), `wechatws: WithCookieJar(nil): must be a CookieJar`},
		{"ws://h", wechatws.WithRequestID(), `wechatws: WithRequestID(): give the names of the fields on the way to the id, such as "id"`},
		{"ws://h", wechatws.WithRequestID("a", ""), `wechatws: WithRequestID("a", ""): give the names of the fields on the way to the id, such as "id"`},
		{"ws://h", wechatws.WithSubprotocols("a b"), `wechatws: WithSubprotocols(name 1 of 1): must be an HTTP token such as "chat.v1"`},
		{"ws://h", wechatws.WithTLSConfig(nil), `wechatws: WithTLSConfig(nil): must be a configuration`},
		{"ws://h", wechatws.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS10}), `wechatws: WithTLSConfig(TLS 1.0): versions below TLS 1.2 are not allowed`},
		{"ws://h", wechatws.WithTLSConfig(&tls.Config{MaxVersion: tls.VersionTLS11}), `wechatws: WithTLSConfig(TLS 1.1): versions below TLS 1.2 are not allowed`},
		{"ws://h", wechatws.WithNetDial(nil), `wechatws: WithNetDial(nil): must be a function`},
		{"ws://h", wechatws.WithDialer(nil), `wechatws: WithDialer(nil): must be a Dialer`},
		{"ws://h", wechatws.WithDialer((*coder.Dialer)(nil)), `wechatws: WithDialer(nil): must be a Dialer`},
		{"ws://h", wechatws.WithDialer(dialerFunc(nil)), `wechatws: WithDialer(nil): must be a Dialer`},
		{"ws://h", wechatws.WithLogger(nil), `wechatws: WithLogger(nil): must be a logger with a handler; leave the option out to log nothing`},
		{"ws://h", wechatws.WithLogger(&slog.Logger{}), `wechatws: WithLogger(nil): must be a logger with a handler; leave the option out to log nothing`},
		{"ws://h", wechatws.WithDialTimeout(-time.Second), `wechatws: WithDialTimeout(-1s): must be longer than zero`},
		{"ws://h", wechatws.WithReadLimit(0), `wechatws: WithReadLimit(0): must be above zero`},
		{"ws://h", wechatws.WithLogin(nil), `wechatws: WithLogin(nil): must be a function`},
		{"ws://h", wechatws.WithLoginMessage(nil), `wechatws: WithLoginMessage(nil): must be a message; leave the option out to send none`},
		{"ws://h", wechatws.WithLoginMessage(make(chan int)), `wechatws: WithLoginMessage(chan int): must be a message that can be sent: cannot encode chan int: json: unsupported type: chan int`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: -time.Second}), `wechatws: WithHeartbeat(-1s): the interval must be longer than zero; WithoutHeartbeat switches it off`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Message: make(chan int)}), `wechatws: WithHeartbeat(chan int): cannot encode chan int: json: unsupported type: chan int`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Message: 1, NewMessage: func(int) (any, error) { return 1, nil }}), `wechatws: WithHeartbeat(Message and NewMessage): give one of the two`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{First: -time.Second}), `wechatws: WithHeartbeat(first -1s): must not be negative`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{First: 10}), `wechatws: WithHeartbeat(first 10ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Timeout: -1}), `wechatws: WithLiveness(interval 0s, timeout -1ns): must be longer than zero; WithoutLiveness switches it off`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Timeout: 2 * time.Second}), `wechatws: WithLiveness(interval 3s, timeout 2s): the timeout must be longer than the interval`},
		{"ws://h", wechatws.WithTiers(), `wechatws: WithTiers(none): give at least one tier, or WithoutReconnect`},
		{"ws://h", wechatws.WithTiers(wechatws.Tier{Delay: -1}), `wechatws: WithTiers(tier 1: -1ns × 0): the delay must not be negative`},
		{"ws://h", wechatws.WithBackOff(nil), `wechatws: WithBackOff(nil): must be a function that makes a backoff.BackOff`},
		{"ws://h", wechatws.WithJitter(1.5), `wechatws: WithJitter(1.5): must be from 0 to 1`},
		{"ws://h", wechatws.WithStableAfter(0), `wechatws: WithStableAfter(0s): must be longer than zero`},
		{"ws://h", wechatws.WithDialTimeout(10), `wechatws: WithDialTimeout(10ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithStableAfter(5), `wechatws: WithStableAfter(5ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 30}), `wechatws: WithHeartbeat(interval 30ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Interval: 3}), `wechatws: WithLiveness(interval 3ns, timeout 0s): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithLiveness(wechatws.Liveness{Timeout: 10}), `wechatws: WithLiveness(interval 0s, timeout 10ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithPermanentAfter(900), `wechatws: WithPermanentAfter(900ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithDrainTimeout(5), `wechatws: WithDrainTimeout(5ns): must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithTiers(wechatws.Tier{Delay: 3}), `wechatws: WithTiers(tier 1: 3ns × 0): the delay must be at least 1ms; a number without a unit is nanoseconds`},
		{"ws://h", wechatws.WithTiers(wechatws.Tier{}), `wechatws: WithTiers(tier 1: 0s × 0): a delay of 0 for ever would try without a pause`},
		{"ws://h", wechatws.WithRetryIf(nil), `wechatws: WithRetryIf(nil): must be a function`},
		{"ws://h", wechatws.WithPermanentAfter(-1), `wechatws: WithPermanentAfter(-1ns): must be zero or longer`},
		{"ws://h", wechatws.WithNetworkMonitor(nil), `wechatws: WithNetworkMonitor(nil): must be a NetworkMonitor such as SystemNetwork()`},
		{"ws://h", wechatws.WithNetworkMonitor((*fakeNetwork)(nil)), `wechatws: WithNetworkMonitor(nil): must be a NetworkMonitor such as SystemNetwork()`},
		{"ws://h", wechatws.WithTypeField(""), `wechatws: WithTypeField(""): must be the name of a field`},
		{"ws://h", wechatws.WithTypeField("\xff"), `wechatws: WithTypeField("\xff"): must be valid UTF-8 that JSON writes without escapes`},
		{"ws://h", wechatws.WithTypeField(`a"b`), `wechatws: WithTypeField("a\"b"): must be valid UTF-8 that JSON writes without escapes`},
		{"ws://h", wechatws.WithTypeField("body.type"), `wechatws: WithTypeField("body.type"): must be one top-level field; a nested one is WithTypePath("body", "type"), one of this name WithTypePath("body.type")`},
		{"ws://h", wechatws.WithTypeField("/body/type"), `wechatws: WithTypeField("/body/type"): must be one top-level field; a nested one is WithTypePath("body", "type"), one of this name WithTypePath("/body/type")`},
		{"ws://h", wechatws.WithTypeField("body[0]"), `wechatws: WithTypeField("body[0]"): must be one top-level field; a nested one is WithTypePath("body", "0"), one of this name WithTypePath("body[0]")`},
		{"ws://h", wechatws.WithTypePath(), `wechatws: WithTypePath(): must have the names of the fields that lead to the type`},
		{"ws://h", wechatws.WithTypePath("a", ""), `wechatws: WithTypePath("a", ""): must be the name of a field`},
		{"ws://h", wechatws.WithTypePath("a", "\xff"), `wechatws: WithTypePath("a", "\xff"): must be valid UTF-8 that JSON writes without escapes`},
		{"ws://h", wechatws.WithTypeFunc(nil), `wechatws: WithTypeFunc(nil): must be a function`},
		{"ws://h", wechatws.WithUnpack(nil), `wechatws: WithUnpack(nil): must be a function that returns a function`},
		{"ws://h", wechatws.WithTypeField("a\nb"), `wechatws: WithTypeField("a\nb"): must be valid UTF-8 that JSON writes without escapes`},
		{"ws://h", wechatws.WithCodec(nil), `wechatws: WithCodec(nil): must be a Codec`},
		{"ws://h", wechatws.WithCodec((*noCodec)(nil)), `wechatws: WithCodec(nil): must be a Codec`},
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
		if tt.url == "ws://h" {
			assert.Len(t, lines, 1, "one mistake, one error")
		}
		assert.NotContains(t, err.Error(), "secret")
	}

	for _, url := range []string{"", "ws://h", "nonsense"} {
		_, err := wechatws.New(url, wechatws.WithEndpoint(nil))
		assert.EqualError(t, err, "wechatws: WithEndpoint(nil): must be a function", "one mistake, one error")
	}

	_, err := wechatws.New("nonsense", wechatws.WithJitter(-1), wechatws.WithReadLimit(-1), wechatws.WithLogin(nil))
	assert.Len(t, strings.Split(err.Error(), "\n"), 4, "several are reported together")
	var oe *wechatws.OptionError
	require.ErrorAs(t, err, &oe)
	assert.Equal(t, wechatws.OptionError{Option: "WithJitter", Value: "-1", Want: "must be from 0 to 1"}, *oe)
}

const (
	wrongHost       = "host must be a name or an IP address, one of IPv6 in brackets"
	wrongHostHeader = "must be one host, with a port if it is not the standard one"
)

// noCodec is a Codec that is only used as a nil pointer.
type noCodec struct{ wechatws.Codec }

// A later option replaces an earlier one that sets the same thing, with its value and its error.
func TestALaterOptionReplacesAnEarlierOne(t *testing.T) {
	wrong, right := map[string][]wechatws.Option{}, map[string][]wechatws.Option{}
	add := func(thing string, ok, bad wechatws.Option) {
		right[thing] = append(right[thing], ok)
		if bad != nil {
			wrong[thing] = append(wrong[thing], bad)
		}
	}
	endpoint := func(context.Context, int, error) (wechatws.Endpoint, error) { return wechatws.Endpoint{}, nil }
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
	login := func(context.Context) (any, error) { return nil, nil }
	policy := func() backoff.BackOff { return &backoff.ZeroBackOff{} }
	add("WithEndpoint", wechatws.WithEndpoint(endpoint), wechatws.WithEndpoint(nil))
	add("WithEndpoint", wechatws.WithEndpoints("ws://a", "ws://b"), wechatws.WithEndpoints("ws://a", "b"))
	add("WithHeader", wechatws.WithHeader(nil), wechatws.WithHeader(http.Header{"": nil}))
	add("WithSubprotocols", wechatws.WithSubprotocols("a"), wechatws.WithSubprotocols(""))
	add("WithCookieJar", wechatws.WithCookieJar(&cookiejar.Jar{}), wechatws.WithCookieJar(nil))
	add("WithCrossHostRedirects", wechatws.WithCrossHostRedirects(), nil)
	add("WithTLSConfig", wechatws.WithTLSConfig(&tls.Config{}), wechatws.WithTLSConfig(nil))
	add("WithProxy", wechatws.WithProxy(nil), nil)
	add("WithNetDial", wechatws.WithNetDial(dial), wechatws.WithNetDial(nil))
	add("WithDialer", wechatws.WithDialer(coder.Dialer{}), wechatws.WithDialer(nil))
	add("WithDialTimeout", wechatws.WithDialTimeout(time.Second), wechatws.WithDialTimeout(-1))
	add("WithReadLimit", wechatws.WithReadLimit(math.MaxInt64), wechatws.WithReadLimit(0))
	add("WithStrict", wechatws.WithStrict(), nil)
	add("WithCompression", wechatws.WithCompression(), nil)
	add("WithLogin", wechatws.WithLogin(login), wechatws.WithLogin(nil))
	add("WithLogin", wechatws.WithLoginMessage("x"), wechatws.WithLoginMessage(nil))
	add("WithLogin", wechatws.WithLoginMessage("x"), wechatws.WithLoginMessage(make(chan int)))
	add("WithHeartbeat", wechatws.WithHeartbeat(wechatws.Heartbeat{}), wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: -1}))
	add("WithHeartbeat", wechatws.WithoutHeartbeat(), wechatws.WithHeartbeat(wechatws.Heartbeat{Message: make(chan int)}))
	add("WithLiveness", wechatws.WithLiveness(wechatws.Liveness{}), wechatws.WithLiveness(wechatws.Liveness{Interval: -1}))
	add("WithLiveness", wechatws.WithoutLiveness(), wechatws.WithLiveness(wechatws.Liveness{Interval: time.Hour}))
	add("WithTypeField", wechatws.WithTypeField("op"), wechatws.WithTypeField(""))
	add("WithTypeField", wechatws.WithTypePath("body.type"), wechatws.WithTypePath())
	add("WithTypeField", wechatws.WithTypeFunc(wholeText), wechatws.WithTypeFunc(nil))
	add("WithUnpack", wechatws.WithUnpack(unpackLines), wechatws.WithUnpack(nil))
	add("WithRequestID", wechatws.WithRequestID("echo"), wechatws.WithRequestID())
	add("WithCodec", wechatws.WithCodec(upperCodec{}), wechatws.WithCodec(nil))
	byType := func(m wechatws.Message) string { return m.Type }
	add("WithParallel", wechatws.WithParallel(byType, 2), wechatws.WithParallel(nil, 0))
	add("WithReply", wechatws.WithReply(ack), wechatws.WithReply(nil))
	add("WithTiers", wechatws.WithTiers(wechatws.Tier{Attempts: 1}), wechatws.WithTiers())
	add("WithTiers", wechatws.WithBackOff(policy), wechatws.WithBackOff(nil))
	add("WithTiers", wechatws.WithoutReconnect(), nil)
	add("WithJitter", wechatws.WithJitter(1), wechatws.WithJitter(math.NaN()))
	add("WithStableAfter", wechatws.WithStableAfter(time.Second), wechatws.WithStableAfter(0))
	add("WithRetryIf", wechatws.WithRetryIf(wechatws.DefaultRetryIf), wechatws.WithRetryIf(nil))
	add("WithPermanentAfter", wechatws.WithPermanentAfter(0), wechatws.WithPermanentAfter(-1))
	add("WithNetworkMonitor", wechatws.WithNetworkMonitor(newFakeNetwork(true)), wechatws.WithNetworkMonitor(nil))
	add("WithQueue", wechatws.WithQueue(1, 1, wechatws.QueueFail), wechatws.WithQueue(-1, 1, 9))
	add("WithDrainTimeout", wechatws.WithDrainTimeout(0), wechatws.WithDrainTimeout(-1))
	add("WithTrace", wechatws.WithTrace(), nil)
	add("WithLogger", wechatws.WithLogger(slog.New(slog.DiscardHandler)), wechatws.WithLogger(nil))
	add("WithServerText", wechatws.WithServerText(), nil)

	for thing, oks := range right {
		url := "ws://h"
		if thing == "WithEndpoint" {
			url = ""
		}
		for _, ok := range oks {
			_, err := wechatws.New(url, ok)
			require.NoError(t, err, thing)
			for _, bad := range wrong[thing] {
				_, err := wechatws.New(url, bad)
				require.Error(t, err, thing)
				_, err = wechatws.New(url, bad, wechatws.WithCompression(), ok)
				assert.NoError(t, err, thing)
				_, err = wechatws.New(url, ok, bad)
				assert.Error(t, err, thing)
				_, err = wechatws.New(url, bad, bad)
				assert.Len(t, strings.Split(err.Error(), "\n"), len(strings.Split(oneError(t, url, bad), "\n")), "%s: reported once", thing)
			}
		}
	}

	for _, name := range exportedOptions(t) {
		replaces := map[string]string{
			"WithEndpoints": "WithEndpoint", "WithLoginMessage": "WithLogin", "WithoutHeartbeat": "WithHeartbeat", "WithoutLiveness": "WithLiveness",
			"WithTypePath": "WithTypeField", "WithTypeFunc": "WithTypeField",
			"WithBackOff": "WithTiers", "WithoutReconnect": "WithTiers",
		}
		if thing, ok := replaces[name]; ok {
			name = thing
		}
		assert.Contains(t, right, name, "not in this test")
	}
}

// Of options that set the same thing, only the last one is in effect.
func TestTheLastOptionIsInEffect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(502, nil, ""))
		schedules := []wechatws.Option{
			wechatws.WithTiers(wechatws.Tier{Delay: time.Minute, Attempts: 1}),
			wechatws.WithBackOff(func() backoff.BackOff { return backoff.WithMaxRetries(&backoff.ZeroBackOff{}, 4) }),
			wechatws.WithoutReconnect(),
		}
		attempts := []int{2, 5, 1}
		for last := range schedules {
			c := w.client(schedules[(last+1)%3], schedules[(last+2)%3], schedules[last])
			require.Error(t, c.Connect(t.Context()))
			assert.Equal(t, attempts[last], c.Stats().Attempts)
		}
		w.srv.AnswerAlways(wstest.Accept())

		first := w.client(wechatws.WithLogin(func(context.Context) (any, error) { return 1, nil }), wechatws.WithLoginMessage(2),
			wechatws.WithHeartbeat(wechatws.Heartbeat{Message: 3}), wechatws.WithoutHeartbeat()).connect()
		one := w.conn()
		second := w.client(wechatws.WithLoginMessage(2), wechatws.WithLogin(func(context.Context) (any, error) { return 1, nil }),
			wechatws.WithoutHeartbeat(), wechatws.WithHeartbeat(wechatws.Heartbeat{Message: 3})).connect()
		other := w.conn()
		w.sleep(4 * time.Second)
		assert.Equal(t, []string{"2"}, received(one))
		assert.Equal(t, []string{"1", "3"}, received(other))
		first.close()
		second.close()
	})
}

// The logger is a consumer of its own, whatever traces there are.
func TestALaterTraceReplacesAnEarlierOneButNotTheLogger(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var called []string
		trace := func(name string) wechatws.Trace {
			return wechatws.Trace{Open: func(context.Context, wechatws.OpenEvent) { called = append(called, name) }}
		}
		var log bytes.Buffer
		logger := wechatws.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
		c := w.client(wechatws.WithTrace(trace("replaced")), logger, wechatws.WithTrace(trace("one"), trace("two"))).connect()
		c.close()
		assert.Equal(t, []string{"one", "two"}, called)
		assert.Contains(t, log.String(), "msg=connected")
	})
}

func oneError(t *testing.T, url string, option wechatws.Option) string {
	t.Helper()
	_, err := wechatws.New(url, option)
	require.Error(t, err)
	return err.Error()
}

// exportedOptions are the names of the functions of this package that return an Option.
func exportedOptions(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || fn.Type.Results == nil {
				continue
			}
			if result, ok := fn.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "Option" {
				names = append(names, fn.Name.Name)
			}
		}
	}
	require.NotEmpty(t, names)
	return names
}

// doc.go lists the options in sections.
func TestThePackageCommentListsEveryOption(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, name := range exportedOptions(t) {
		assert.True(t, strings.Contains(string(comment), "["+name+"]"), name)
	}
}

// pass is an option for tests that are about the URL only.
var pass = wechatws.WithCompression()

func TestNewAcceptsHTTPAsWebSocket(t *testing.T) {
	for _, url := range []string{
		"ws://h", "wss://h/p?q=1", "http://h:1", "https://user:pass@h", "ws://h:65535", "ws://h:", "ws://h.", "ws://my_service-1.local",
		"ws://127.0.0.1:8080", "ws://[::1]", "ws://[fe80::1%25eth0]:80", "ws://直播.example.com", "ws://%E7%9B%B4.example.com",
	} {
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

// The result of an endpoint function is checked like the arguments of New. A wrong one is
// retried: the next endpoint may be right.
func TestInvalidEndpoints(t *testing.T) {
	for want, endpoint := range map[string]wechatws.Endpoint{
		`url(""): scheme must be ws or wss (http and https are taken as those)`:              {},
		`url("ws://h:99999"): port must be from 1 to 65535`:                                  {URL: "ws://h:99999/?secret"},
		`Endpoint.Header(x-token): X-Token is the same name, give it once`:                   {URL: "ws://h", Header: http.Header{"X-Token": {"secret"}, "x-token": {"secret"}}},
		`Endpoint.Header(X-Token): a value must be one line without control characters`:      {URL: "ws://h", Header: http.Header{"X-Token": {"secret\r\nX: y"}}},
		`Endpoint.Header("X…"): the name of a header must be an HTTP token such as "X-Room"`: {URL: "ws://h", Header: http.Header{"X: secret": {"secret"}}},
		`Endpoint.TLS(TLS 1.1): versions below TLS 1.2 are not allowed`:                      {URL: "ws://h", TLS: &tls.Config{MinVersion: tls.VersionTLS11}},
		`Endpoint.Header(Upgrade): this header belongs to the handshake`:                     {URL: "ws://h", Header: http.Header{"Upgrade": {"h2c"}}},
		`Endpoint.Header(Host): ` + wrongHostHeader:                                          {URL: "ws://h", Header: http.Header{"Host": {"one", "two"}}},
		`Endpoint.Header(sec-websocket-protocol): use WithSubprotocols`:                      {URL: "ws://h", Header: http.Header{"sec-websocket-protocol": {"v1"}}},
	} {
		virtual(t, func(t *testing.T, w *world) {
			asked := 0
			c := w.clientOf("", append(quiet(), wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				if asked++; asked == 1 {
					return endpoint, nil
				}
				return wechatws.Endpoint{URL: w.srv.URL()}, nil
			}))...)
			var failed []error
			c.OnError(func(_ context.Context, err error) { failed = append(failed, err) })
			c.connect()
			w.sleep(0)
			require.Len(t, failed, 1)
			assert.EqualError(t, failed[0], "wechatws: endpoint: "+want)
			var de *wechatws.DialError
			require.ErrorAs(t, failed[0], &de)
			assert.Equal(t, "endpoint", de.Phase)
			var oe *wechatws.OptionError
			require.ErrorAs(t, failed[0], &oe)
			assert.Equal(t, 2, asked)
			c.close()
		})
	}
}

// The headers that New takes are those that net/http can send.
func TestNewAcceptsHeadersThatCanBeSent(t *testing.T) {
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}
	for c := range 256 {
		for _, h := range []http.Header{{"X-" + string([]byte{byte(c)}): {"x"}}, {"X-Token": {"a" + string([]byte{byte(c)}) + "b"}}} {
			_, err := transport.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: "h"}, Header: h})
			sendable := errors.Is(err, io.EOF)
			_, err = wechatws.New("ws://h", wechatws.WithHeader(h))
			assert.Equal(t, sendable, err == nil, "%q", h)
		}
	}
}

const (
	forever = time.Duration(math.MaxInt64)
	century = 100 * 365 * 24 * time.Hour
)

// The product of the longest delay and a factor above one is no duration.
func TestTheLongestDelayWithJitterIsLong(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for range 20 { // every other factor is above one
			c := w.clientOf("ws://unreachable.test", append(quiet(), wechatws.WithJitter(0.5),
				wechatws.WithTiers(wechatws.Tier{Delay: forever, Attempts: 1}))...)
			go func() { _ = c.Connect(context.Background()) }()
			w.sleep(24 * time.Hour)
			assert.Equal(t, wechatws.StateWaiting, c.State())
			assert.Greater(t, c.lastChange().RetryIn, century)
			_ = c.Close(wechatws.StatusNormalClosure, "")
		}
	})
}

// A client works with the largest value of each option.
func TestTheLargestValuesOfAllOptions(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(
			wechatws.WithReadLimit(math.MaxInt64),
			wechatws.WithQueue(math.MaxInt, math.MaxInt, wechatws.QueueFail),
			wechatws.WithDialTimeout(forever),
			wechatws.WithDrainTimeout(forever),
			wechatws.WithStableAfter(forever),
			wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: forever}),
			wechatws.WithLiveness(wechatws.Liveness{Interval: forever - 1, Timeout: forever}),
			wechatws.WithTiers(wechatws.Tier{Delay: forever, Attempts: 1}),
			wechatws.WithLoginMessage("login"),
		).record()
		c.AfterConnect(forever, func(ctx context.Context, o *wechatws.Setup) error {
			_, err := o.Receive(ctx)
			return err
		})
		w.srv.OnConn(func(conn *wstest.Conn) { _ = conn.Send(`{"msg_type":"init"}`) })
		c.connect()
		defer func() { _ = c.CloseNow() }()
		conn := w.conn()
		require.NoError(t, c.Send(t.Context(), "expires", wechatws.ExpireAfter(forever)))
		confirmed := make(chan error, 1)
		go func() {
			_, err := c.SendConfirmed(t.Context(), "confirmed", func(m wechatws.Message) bool { return m.Type == "ok" }, wechatws.ConfirmTimeout(forever))
			confirmed <- err
		}()
		w.sleep(24 * time.Hour)
		require.NoError(t, conn.Send(`{"msg_type":"ok"}`))
		w.sleep(0)
		require.NoError(t, <-confirmed)
		assert.Equal(t, []string{`"login"`, `"expires"`, `"confirmed"`}, received(conn), "and neither heartbeats nor tries")
		assert.Equal(t, []string{`{"msg_type":"init"}`, `{"msg_type":"ok"}`}, c.texts())
		assert.Equal(t, []string{"connecting", "open"}, c.states())
		assert.Empty(t, c.errors())
	})
}
