package wechatws_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// abc starts three servers, which end with the test, and returns the option for them.
func (w *world) abc() (map[string]*wstest.Server, wechatws.Option) {
	servers := map[string]*wstest.Server{}
	for _, name := range []string{"a", "b", "c"} {
		servers[name] = w.another(name + ".test:80")
	}
	return servers, wechatws.WithEndpoints("ws://a.test/path?n=1", "http://b.test/", "ws://c.test:80")
}

// dialLog returns a function for the names of the servers that were dialed since its last call, in
// order.
func (w *world) dialLog() func() string {
	seen := 0
	return func() (names string) {
		dials := w.net.Dials()
		for _, d := range dials[seen:] {
			name, _, _ := strings.Cut(d.Addr, ".")
			names += name
		}
		seen = len(dials)
		return names
	}
}

// A server that fails is tried after the others, and has its place again after 10 minutes.
func TestEndpointsAreWalked(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		c := w.clientOf("", append(quiet(), urls)...)
		assert.Equal(t, `client of a.test, idle`, c.Client.String())
		c.connect()
		assert.Equal(t, "a", dialed())
		servers["a"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "b", dialed(), "the first one has lost its connection")
		servers["b"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "c", dialed())
		servers["a"].Start()
		w.sleep(time.Hour)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, "", dialed(), "an open connection stays")
		servers["c"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "a", dialed(), "back to the first")
		servers["a"].Stop(wstest.RST)
		w.sleep(9 * time.Second)
		assert.Equal(t, "bca", dialed(), "the longest ago first")
		servers["c"].Start()
		w.sleep(6 * time.Second)
		assert.Equal(t, "bc", dialed())
		servers["a"].Start()
		servers["b"].Start()
		servers["c"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "a", dialed(), "the others have failed too, this one the longest ago")
		assert.Equal(t, "/path?n=1", servers["a"].Handshakes()[len(servers["a"].Handshakes())-1].URL.RequestURI())
		c.close()
		c.connect()
		assert.Equal(t, "a", dialed(), "the memory is the client's")
		c.close()
	})
}

// A server that failed some time ago has its place again also if another one failed before it.
func TestAnEndpointHasItsPlaceAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		servers["a"].Stop(wstest.RST)
		c := w.clientOf("", append(quiet(), urls)...).connect()
		servers["b"].Stop(wstest.RST)
		w.sleep(9 * time.Second)
		assert.Equal(t, "abc", dialed())
		servers["a"].Start()
		servers["b"].Start()
		w.sleep(time.Hour)
		servers["c"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		servers["a"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "ab", dialed())
		w.sleep(time.Hour)
		servers["a"].Start()
		servers["c"].Start()
		servers["b"].Stop(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, "a", dialed(), "not c, which failed before it")
		c.close()
	})
}

// Each server is tried also if the waits are longer than the time after which a server has its
// place again.
func TestEndpointsAreWalkedWithLongWaits(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		for _, s := range servers {
			s.Stop(wstest.RST)
		}
		c := w.clientOf("", urls, wechatws.WithTiers(wechatws.Tier{Delay: 11 * time.Minute}))
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(6 * 11 * time.Minute)
		assert.Equal(t, "abcabca", dialed())
		require.NoError(t, c.CloseNow())
	})
}

// What the program wants is no failure of the server, but what the application has found is one.
func TestReconnectStaysAtTheEndpoint(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		_, urls := w.abc()
		dialed := w.dialLog()
		c := w.clientOf("", append(quiet(), urls)...).connect()
		w.sleep(time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		assert.Equal(t, "aa", dialed())
		require.NoError(t, c.Disconnect(2, errors.New("it does not answer")))
		w.sleep(3 * time.Second)
		assert.Equal(t, "b", dialed())
		c.close()
	})
}

// An attempt that the client itself has ended is not held against a server.
func TestAnAttemptThatIsRestartedStaysAtTheEndpoint(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		servers["a"].Stop(wstest.RST)
		servers["b"].Answer(wstest.NoAnswer())
		c := w.clientOf("", append(quiet(), urls)...)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(5 * time.Second)
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		assert.Equal(t, "abb", dialed())
		c.close()
	})
}

// A configuration error of one server does not end the client while another one works, and that of
// all of them does.
func TestAConfigurationErrorOfEachEndpointIsPermanent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		servers["a"].AnswerAlways(wstest.Status(404, nil, ""))
		servers["b"].AnswerAlways(wstest.Status(404, nil, ""))
		c := w.clientOf("", append(quiet(), urls)...).connect()
		assert.Equal(t, "abc", dialed())
		c.close()
		servers["c"].AnswerAlways(wstest.Status(404, nil, ""))
		c = w.clientOf("", append(quiet(), urls)...)
		require.ErrorContains(t, c.Connect(t.Context()), "c.test:80: server answered 404 Not Found")
		assert.Equal(t, "abc", dialed())
		assert.Equal(t, wechatws.StateFailed, c.State())
	})
	virtual(t, func(t *testing.T, w *world) {
		w.abc()
		c := w.clientOf("", wechatws.WithEndpoints("wss://a.test:80", "wss://b.test:80"))
		require.ErrorContains(t, c.Connect(t.Context()), "b.test:80: server does not use TLS")
	})
}

// Clients that share an option do not share what they have learned.
func TestEndpointsOfTwoClients(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		servers, urls := w.abc()
		dialed := w.dialLog()
		servers["a"].Stop(wstest.RST)
		one := w.clientOf("", append(quiet(), urls)...).connect()
		assert.Equal(t, "ab", dialed())
		servers["a"].Start()
		two := w.clientOf("", append(quiet(), urls)...).connect()
		assert.Equal(t, "a", dialed())
		one.close()
		two.close()
	})
}
