package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// The function of package fleet is called once with each message that has arrived and that no callback receives,
// in order, and before the callbacks of the last events.
func TestMessagesThatAreDiscarded(t *testing.T) {
	parallel := wechatws.WithParallel(func(wechatws.Message) string { return "one" }, 2)
	for name, end := range map[string]func(c *client){
		"Close":             func(c *client) { _ = c.Close(wechatws.StatusNormalClosure, "") },
		"CloseNow":          func(c *client) { _ = c.CloseNow() },
		"Fail and CloseNow": func(c *client) { c.Fail(errors.New("over")); _ = c.CloseNow() },
	} {
		for _, option := range []wechatws.Option{wechatws.WithStrict(), parallel} {
			t.Run(name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					var log []string
					c := w.client(append(quiet(), option, wechatws.WithDiscarded(func(m wechatws.Message) {
						log = append(log, "discarded "+m.Type)
					}))...)
					c.OnMessage(func(ctx context.Context, m wechatws.Message) {
						log = append(log, m.Type)
						if m.Type == "m1" {
							<-ctx.Done()
						}
					})
					c.OnClose(func(context.Context, wechatws.CloseEvent) { log = append(log, "end") })
					c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
						if e.To == wechatws.StateClosed {
							log = append(log, "closed")
						}
					})
					c.connect()
					conn := w.conn()
					for i := range 4 {
						require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"m%d"}`, i)))
					}
					w.sleep(time.Second)
					end(c)
					<-c.Done()
					assert.Equal(t, []string{"m0", "m1", "discarded m2", "discarded m3", "end", "closed"}, log)
				})
			})
		}
	}
}
