package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A message that is as large as NATS accepts becomes a dead letter, with a part of its reason.
func TestALargeMessageBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	w.add(1)
	w.worker("a")
	require.NoError(t, w.conn("r0").Send(`{"msg_type":"message"}`))
	h := w.handlers()
	small := make(chan bool, 1)
	refused := strings.Repeat("茶", 1000)
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		if len(m.Data) > 1000 {
			return wechatws.Permanent(errors.New(refused))
		}
		small <- true
		return nil
	})
	w.runHandlers(h)
	receiving(w, small)

	js, in := w.jetStream(), w.stream("wechatws-in")
	info, err := in.Info(w.ctx())
	require.NoError(t, err)
	last, err := in.GetMsg(w.ctx(), info.State.LastSeq)
	require.NoError(t, err)
	large := &nats.Msg{Subject: last.Subject, Header: last.Header, Data: make([]byte, js.Conn().MaxPayload())}
	large.Header.Set(nats.MsgIdHdr, large.Header.Get(nats.MsgIdHdr)+"0")
	for err = nats.ErrMaxPayload; errors.Is(err, nats.ErrMaxPayload); large.Data = large.Data[1:] {
		_, err = js.PublishMsg(w.ctx(), large)
	}
	require.NoError(t, err)

	require.Eventually(t, func() bool { return h.Stats().GivenUp == 1 && len(w.deadLetters()) == 1 }, patience, tick)
	d := w.deadLetters()[0]
	assert.Len(t, d.Data, len(large.Data)+1)
	assert.True(t, strings.HasPrefix(refused, strings.TrimRight(d.Reason, "\xe8\x8c")) && d.Reason != "", "%q", d.Reason)
}
