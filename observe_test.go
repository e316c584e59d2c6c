package wechatws_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// A function of Observe sees each message of its connection once, in order, those of the setup too, and
// however long a callback takes; also behind another one that panics.
func TestObserve(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		var seen []string
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			require.EqualError(t, o.Observe(nil), "wechatws: Setup.Observe(nil): must be a function")
			require.NoError(t, o.Observe(func(m wechatws.Message) {
				if m.Type == "bad" {
					panic("out of order")
				}
			}))
			require.NoError(t, o.Observe(func(m wechatws.Message) { seen = append(seen, m.Type) }))
			_, err := o.Receive(ctx)
			return err
		})
		wechatws.On(c.Client, "slow", func(context.Context, struct{}) { time.Sleep(time.Hour) })
		go func() {
			conn := w.conn()
			for _, typ := range []string{"first", "slow", "bad", "last"} {
				assert.NoError(t, conn.Send(`{"msg_type":"`+typ+`"}`))
			}
		}()
		c.connect()
		w.sleep(time.Second)
		require.Equal(t, []string{"first", "slow", "bad", "last"}, seen)
		w.sleep(time.Hour)
		require.Len(t, c.errors(), 1, "the panic")
		c.close()
	})
}
