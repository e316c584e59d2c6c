package wechatws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// With the short cut, without it, and with a compression that leaves little of it, a
// client does the same.
func TestTheShortCutMakesNoDifference(t *testing.T) {
	for name, options := range map[string][]wechatws.Option{
		"with it":              nil,
		"without it":           {wechatws.WithoutShortCut()},
		"compressed":           {wechatws.WithCompression()},
		"compressed, and with": {wechatws.WithCompression(), wechatws.WithoutShortCut()},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(20 * time.Millisecond)
				c := w.client(append(options, wechatws.WithoutHeartbeat())...).record().connect()
				conn := w.conn()
				var want []string
				for i, size := range []int{0, 1, 125, 126, 511, 512, 513, 4 << 10, 65_521, 65_522, 65_536, 300_000} {
					text := strings.Repeat(fmt.Sprint(i%10), size)
					want = append(want, text)
					require.NoError(t, conn.Send(text))
					c.send(text)
				}
				require.NoError(t, conn.WriteRaw([]byte(frame(1, "a")+frame(fin|9, "ping")+frame(0, "b")+frame(fin, "c"))))
				require.NoError(t, conn.Send("last"))
				w.sleep(time.Second)
				require.Equal(t, append(want, "abc", "last"), c.texts())
				require.Equal(t, want, received(conn))
				require.NoError(t, conn.Ping(t.Context()))
				w.sleep(4 * time.Second)
				require.Positive(t, conn.Pings())
				require.Equal(t, 40*time.Millisecond, c.Stats().RTT)
				require.Equal(t, 1, c.Stats().Opens)

				conn.IgnorePings(true)
				w.sleep(14 * time.Second)
				require.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				require.NoError(t, w.conn().Close(4001, "kicked"))
				w.sleep(time.Second)
				require.Equal(t, wechatws.StatusCode(4001), c.lastClose().Code)
				c.close()
			})
		})
	}
}

// On a real socket a library's Close reads too, perhaps before the client does.
func TestCloseRightAfterOpen(t *testing.T) {
	srv := wstest.NewServer()
	defer srv.Close()
	for range 50 {
		c, err := wechatws.New(srv.URL(), wechatws.WithProxy(nil))
		require.NoError(t, err)
		require.NoError(t, c.Connect(t.Context()))
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	}
}
