package liveroom_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// The callbacks receive the action that was refused also if those of a later refusal run first.
func TestARefusalNamesItsActionWithParallelCallbacks(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"), wechatws.WithParallel(func(m wechatws.Message) string { return string(m.Data) }, 4))
		v.OnMessage(func(_ context.Context, m wechatws.Message) {
			if strings.Contains(string(m.Data), "slow") {
				time.Sleep(time.Second)
			}
		})
		refused := v.refused()
		v.enter()
		v.say("one")
		v.say("two")
		w.sleep(time.Millisecond)
		for _, text := range []string{"slow", "fast"} {
			require.NoError(t, w.backend.Server().Conns()[0].Send(`{"msg_type":"error","msg_content":"`+text+`"}`))
		}
		w.sleep(2 * time.Second)
		require.ElementsMatch(t, []string{"message two: fast", "message one: slow"}, refused())
	})
}
