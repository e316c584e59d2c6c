package wechatws_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

// ownDialer makes connections of its own, and leaves the client without a view of
// the wire below.
type ownDialer struct{ net *wstest.Network }

func (d ownDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	h.Client = &http.Client{Transport: &http.Transport{DialContext: d.net.DialContext, DisableKeepAlives: true}}
	return coder.Dialer{}.Dial(ctx, h)
}

func TestADialerWithConnectionsOfItsOwn(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithDialer(ownDialer{w.net}), wechatws.WithLoginMessage("login"), wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Minute})).record()
		c.send(numbers(1, 10)...)
		c.connect()
		c.flush()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(5 * time.Minute)
		assert.Equal(t, append([]string{`"login"`}, numbers(1, 10)...), received(conn)[:11])
		assert.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		assert.Equal(t, 1, c.Stats().Opens, "pongs are life")

		conn.IgnorePings(true)
		for range 10 {
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
			w.sleep(9 * time.Second)
		}
		assert.Equal(t, 1, c.Stats().Opens, "and so are messages")
		w.sleep(2 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		w.sleep(3 * time.Second)
		w.conn()

		require.NoError(t, c.Reconnect())
		w.sleep(0)
		conn = w.conn()
		conn.Cut(wstest.RST)
		w.sleep(3 * time.Second)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
		assert.Zero(t, w.net.Clients())
		assert.Equal(t, 1, w.net.MaxClients())
	})
}
