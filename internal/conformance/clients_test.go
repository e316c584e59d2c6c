package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// TestClients is what a client does with its connections, on each transport.
func TestClients(t *testing.T) {
	for _, tr := range transports {
		for name, test := range map[string]func(*testing.T, []wechatws.Option){
			"life":          life,
			"close at once": closeAtOnce,
			"liveness":      liveness,
		} {
			t.Run(tr.name+"/"+name, func(t *testing.T) { test(t, tr.options) })
		}
	}
}

// life is a login, a request after each of a reset and a restart of the server, and a close.
func life(t *testing.T, options []wechatws.Option) {
	srv := wstest.NewServer()
	defer srv.Close()
	srv.OnMessage(func(peer *wstest.Conn, m wstest.Message) {
		if m.Text() == `"ask"` {
			_ = peer.Send(`{"msg_type":"answer"}`)
		}
	})
	client, err := wechatws.New(srv.URL(), append([]wechatws.Option{
		wechatws.WithProxy(nil), wechatws.WithLoginMessage("login"), wechatws.WithTiers(wechatws.Tier{Delay: 5 * time.Millisecond}),
	}, options...)...)
	require.NoError(t, err)
	require.NoError(t, client.Connect(t.Context()))
	var peer *wstest.Conn
	for _, fault := range []func(){
		func() { peer.Cut(wstest.RST) },
		func() { srv.Stop(wstest.FIN); srv.Start() },
		func() {},
	} {
		peer, err = srv.NextConn(t.Context())
		require.NoError(t, err)
		answer, err := client.Request(t.Context(), "ask", func(m wechatws.Message) bool { return m.Type == "answer" })
		require.NoError(t, err)
		assert.Equal(t, `{"msg_type":"answer"}`, string(answer.Data))
		fault()
	}
	require.NoError(t, client.Send(t.Context(), wechatws.Text("the end")))
	require.NoError(t, client.Close(wechatws.StatusNormalClosure, ""))
	<-client.Done()
	<-peer.Done()
	var texts []string
	for _, m := range peer.Received() {
		texts = append(texts, m.Text())
	}
	assert.Equal(t, []string{`"login"`, `"ask"`, "the end"}, texts)
	code, _ := peer.CloseCode()
	assert.Equal(t, 1000, code)
}

// closeAtOnce is a close right after the handshake, in which a library's Close may read before
// the client does.
func closeAtOnce(t *testing.T, options []wechatws.Option) {
	srv := wstest.NewServer()
	defer srv.Close()
	for range 50 {
		client, err := wechatws.New(srv.URL(), append([]wechatws.Option{wechatws.WithProxy(nil)}, options...)...)
		require.NoError(t, err)
		require.NoError(t, client.Connect(t.Context()))
		require.NoError(t, client.Close(wechatws.StatusNormalClosure, ""))
		<-client.Done()
	}
}

// liveness is pings that are measured, then ignored, and a close frame on the next connection.
func liveness(t *testing.T, options []wechatws.Option) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		n.SetLatency(20 * time.Millisecond)
		srv := wstest.NewServer(wstest.WithNetwork(n))
		defer srv.Close()
		client, err := wechatws.New(srv.URL(), append([]wechatws.Option{
			wechatws.WithProxy(nil), wechatws.WithNetDial(n.DialContext), wechatws.WithoutHeartbeat(),
		}, options...)...)
		require.NoError(t, err)
		ends := make(chan wechatws.CloseEvent, 3)
		client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { ends <- e })
		require.NoError(t, client.Connect(t.Context()))
		peer, err := srv.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, client.Send(t.Context(), wechatws.Text(strings.Repeat("x", 100_000))))
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.Positive(t, peer.Pings())
		assert.Equal(t, 40*time.Millisecond, client.Stats().RTT)

		peer.IgnorePings(true)
		assert.ErrorIs(t, (<-ends).Err, wechatws.ErrHalfOpen)
		peer, err = srv.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, peer.Close(4001, "kicked"))
		e := <-ends
		assert.Equal(t, wechatws.StatusCode(4001), e.Code)
		assert.True(t, e.Remote)
		require.NoError(t, client.Close(wechatws.StatusNormalClosure, ""))
		<-client.Done()
	})
}
