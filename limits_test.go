package wechatws_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

const (
	forever = time.Duration(math.MaxInt64)
	century = 100 * 365 * 24 * time.Hour
)

func TestTheLargestReadLimitIsNone(t *testing.T) {
	for name, options := range map[string][]wechatws.Option{"short cut": nil, "library": {wechatws.WithoutShortCut()}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				options := append(append(quiet(), options...), wechatws.WithReadLimit(math.MaxInt64))
				c := w.client(options...).record().connect()
				defer func() { _ = c.CloseNow() }()
				conn := w.conn()
				small := `{"msg_type":"x"}`
				large := `{"msg_type":"x","pad":"` + strings.Repeat("x", 3<<20) + `"}`
				_ = conn.Send(small)
				_ = conn.Send(large)
				w.sleep(time.Second)
				got := c.texts()
				require.Len(t, got, 2)
				assert.Equal(t, small, got[0])
				assert.True(t, large == got[1], "%d bytes of %d", len(got[1]), len(large))
				assert.Equal(t, wechatws.StateOpen, c.State())
			})
		})
	}
}

// The product of the longest delay and a factor above one is no duration.
func TestTheLongestDelayWithJitterIsLong(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for range 20 { // every other factor is above one
			c := w.clientOf("ws://nobody.test", append(quiet(), wechatws.WithJitter(0.5),
				wechatws.WithTiers(wechatws.Tier{Delay: forever, Attempts: 1}))...)
			go func() { _ = c.Connect(context.Background()) }()
			w.sleep(24 * time.Hour)
			assert.Equal(t, wechatws.StateWaiting, c.State())
			assert.Greater(t, c.lastChange().RetryIn, century)
			_ = c.Close(wechatws.StatusNormalClosure, "")
		}
	})
}

// A client to which everything is allowed for ever works as any other.
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
