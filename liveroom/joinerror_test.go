package liveroom_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// Whatever a server sends instead of init, the error is short, and the client keeps little
// of it.
func TestAJoinErrorIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		server := wstest.NewServer(wstest.WithNetwork(network))
		defer server.Close()
		server.OnConn(func(c *wstest.Conn) {
			for i := range 900 {
				_ = c.Send(fmt.Sprintf(`{"msg_type":"%03d\u001b[2J\u009b%s"}`, i, strings.Repeat("x", 4000)))
			}
		})
		client, err := wechatws.New(server.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(network.DialContext), wechatws.WithoutReconnect())
		require.NoError(t, err)
		_, err = liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527")}, liveroom.WithJoinTimeout(time.Minute))
		require.NoError(t, err)
		err = client.Connect(t.Context())
		var je *liveroom.JoinError
		require.ErrorAs(t, err, &je)
		require.LessOrEqual(t, len(err.Error()), 300)
		require.Contains(t, err.Error(), `only "000\x1b[2J\u009bxxx`)
		require.NotContains(t, err.Error(), "\x1b")
		size := 0
		for _, m := range je.Got {
			size += len(m.Data)
		}
		require.NotZero(t, size)
		require.LessOrEqual(t, size, 64<<10)
	})
}

func TestErrorsAboutMessagesAreShort(t *testing.T) {
	long := strings.Repeat("\u009bx", 100_000)
	_, err := liveroom.Decode(wechatws.Message{Type: long, Data: []byte("{}")})
	require.ErrorContains(t, err, "unknown message type")
	require.LessOrEqual(t, len(err.Error()), 600)
	var decode *wechatws.DecodeError
	require.ErrorAs(t, err, &decode)
	require.LessOrEqual(t, len(decode.Err.Error()), 300)
	require.NotContains(t, err.Error(), "\u009b")

	var v liveroom.Value
	err = v.UnmarshalJSON([]byte(`{"a":"` + long + `"}`))
	require.LessOrEqual(t, len(err.Error()), 300)
	require.NotContains(t, err.Error(), "\u009b")
}
