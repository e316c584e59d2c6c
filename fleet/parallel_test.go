package fleet_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// The callbacks of a room's client may run at the same time: each message is in the stream, and counted once.
func TestARoomWhoseCallbacksRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	worker := w.worker("a", wechatws.WithParallel(func(m wechatws.Message) string { return m.Type }, 8))
	conn := w.conn("r0")
	const messages = 200
	for i := range messages {
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"m%d"}`, i)))
	}
	types := map[string]bool{}
	h := w.handlers()
	ctx, cancel := context.WithTimeout(w.ctx(), patience)
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		if types[m.Type] = true; len(types) == messages {
			cancel()
		}
		return nil
	})
	require.NoError(t, h.Run(ctx))
	assert.Len(t, types, messages)
	require.Eventually(t, func() bool { return worker.Stats().In == messages }, patience, tick)
}
