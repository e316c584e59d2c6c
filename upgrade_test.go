package wechatws_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

// badUpgrade is a 101 that cannot be accepted, with the connection left open.
func badUpgrade() wstest.Answer {
	return wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: nonsense\r\n\r\n")
}

const badUpgradeReason = "wechatws: handshake server.test:80: server answered 101 Switching Protocols: WebSocket protocol violation: invalid Sec-WebSocket-Accept"

// plainDialer calls the WebSocket library directly. After a 101 that it does not accept,
// the library reads from the connection for 3 s, whatever the context says.
type plainDialer struct{}

func (plainDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	_, resp, err := websocket.Dial(ctx, h.URL, &websocket.DialOptions{HTTPClient: h.Client, HTTPHeader: h.Header})
	return nil, resp, err
}

// An attempt whose 101 is invalid ends when its context ends, also while the Dialer reads from
// the connection.
func TestABadUpgradeHoldsNothingUp(t *testing.T) {
	bad := func(w *world, options ...wechatws.Option) *client {
		w.srv.AnswerAlways(badUpgrade())
		return w.client(append(options, wechatws.WithDialer(plainDialer{}))...)
	}
	t.Run("Connect", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			c := bad(w)
			require.ErrorIs(t, c.Connect(ctx), context.DeadlineExceeded)
			<-c.Done()
			assert.Equal(t, 300*time.Millisecond, w.since())
			assert.Zero(t, w.net.Clients())
		})
	})
	t.Run("CloseNow", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			var reason error
			c := bad(w, wechatws.WithTrace(wechatws.Trace{DialDone: func(_ context.Context, i wechatws.DialInfo) { reason = i.Err }}))
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(100 * time.Millisecond)
			require.NoError(t, c.CloseNow())
			assert.Equal(t, 100*time.Millisecond, w.since())
			synctest.Wait()
			assert.ErrorContains(t, reason, badUpgradeReason)
			assert.Zero(t, w.net.Clients())
		})
	})
	t.Run("Reconnect", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := bad(w)
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(100 * time.Millisecond)
			require.NoError(t, c.Reconnect())
			synctest.Wait()
			assert.Len(t, w.srv.Handshakes(), 2)
			assert.Equal(t, 100*time.Millisecond, w.since())
			require.NoError(t, c.CloseNow())
		})
	})
	t.Run("the dial timeout", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			err := bad(w, wechatws.WithDialTimeout(500*time.Millisecond), wechatws.WithoutReconnect()).Connect(t.Context())
			require.ErrorContains(t, err, badUpgradeReason)
			assert.Equal(t, 500*time.Millisecond, w.since())
			assert.Zero(t, w.net.Clients())
		})
	})
}

// The library's own Dialers report such a 101 at once.
func TestABadUpgradeIsReportedAtOnce(t *testing.T) {
	for name, d := range map[string]transport.Dialer{"coder": coder.Dialer{}, "nhooyr": nhooyr.Dialer{}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(badUpgrade())
				c := w.client(wechatws.WithDialer(d))
				go func() { _ = c.Connect(t.Context()) }()
				w.sleep(0)
				require.Equal(t, wechatws.StateWaiting, c.State())
				require.Len(t, c.errors(), 1)
				assert.ErrorContains(t, c.errors()[0], badUpgradeReason)
				assert.Zero(t, w.net.Clients())
				c.close()
			})
		})
	}
}
