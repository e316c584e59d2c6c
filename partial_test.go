package wechatws_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// trickle writes what is left of a frame in pieces, one a second, and returns when the
// piece before the last has been written.
func trickle(w *world, conn *wstest.Conn, frame string, pieces int) (last string) {
	w.Helper()
	size := len(frame)/pieces + 1
	for len(frame) > size {
		require.NoError(w, conn.WriteRaw([]byte(frame[:size])))
		frame = frame[size:]
		w.sleep(time.Second)
	}
	return frame
}

// Stats show a message while it arrives slowly, with and without the WebSocket library; a
// pong is not such a message.
func TestStatsShowAMessageThatIsComingIn(t *testing.T) {
	for name, option := range map[string]func(*world) wechatws.Option{
		"by default":            func(w *world) wechatws.Option { return wechatws.WithNetDial(w.net.DialContext) },
		"without the short cut": func(*world) wechatws.Option { return wechatws.WithoutShortCut() },
	} {
		for _, size := range []int{100, 10_000, 200_000} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(option(w)).record().connect()
					conn := w.conn()
					w.sleep(4 * time.Second) // a ping and its pong
					require.Equal(t, 1, conn.Pings())
					require.Zero(t, c.Stats().PartialAt)
					conn.IgnorePings(true) // a pong would be written into the frame
					for range 2 {
						last := trickle(w, conn, frame(fin|1, strings.Repeat("x", size)), 5)
						require.Equal(t, time.Now().Add(-time.Second), c.Stats().PartialAt)
						require.NoError(t, conn.WriteRaw([]byte(last)))
						w.sleep(0)
						require.Zero(t, c.Stats().PartialAt)
					}
					require.Len(t, c.messages, 2)
					trickle(w, conn, frame(fin|1, strings.Repeat("x", size)), 5)
					c.close()
					require.Zero(t, c.Stats().PartialAt, "it will never be complete")
				})
			})
		}
	}
}

func TestStatsShowAMessageThatIsComingInWhileOpening(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			_, err := o.Receive(ctx)
			return err
		})
		go func() { _ = c.Connect(t.Context()) }()
		conn := w.conn()
		require.Zero(t, c.Stats().PartialAt)
		last := trickle(w, conn, frame(fin|1, `{"msg_type":"welcome"}`), 5)
		require.Equal(t, time.Now().Add(-time.Second), c.Stats().PartialAt)
		require.NoError(t, conn.WriteRaw([]byte(last)))
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Zero(t, c.Stats().PartialAt)
		c.close()
	})
}
