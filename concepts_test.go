package wechatws_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// The order of callbacks, from the first attempt to the end. docs/concepts.md shows it.
func TestTheOrderOfCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var log bytes.Buffer
		note := func(format string, arguments ...any) {
			fmt.Fprintf(&log, "%2.0f s  %s\n", w.since().Seconds(), fmt.Sprintf(format, arguments...))
		}
		c := w.client(quiet()...)
		c.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
			note("OnStateChange: %v to %v", change.From, change.To)
		})
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { note("OnOpen") })
		c.OnMessage(func(context.Context, wechatws.Message) { note("OnMessage") })
		wechatws.On(c.Client, "message", func(context.Context, wechatws.Message) { note("On") })
		c.OnClose(func(context.Context, wechatws.CloseEvent) { note("OnClose") })
		c.OnError(func(_ context.Context, err error) { note("OnError: %v", err) })

		w.srv.Answer(wstest.Status(503, nil, ""))
		require.NoError(t, c.Connect(t.Context()))
		w.sleep(time.Second)
		require.NoError(t, w.conn().Send(`{"msg_type":"message"}`))
		w.sleep(time.Second)
		w.srv.Conns()[0].Cut(wstest.FIN)
		w.sleep(5 * time.Second)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		<-c.Done()
		requireDocumented(t, "docs/concepts.md", "the order of callbacks", log.String())
	})
}
