package wstest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Servers on one network have addresses of their own, and a client goes from one to the other.
func TestServersOnOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		first := wstest.NewServer(wstest.WithNetwork(network))
		defer first.Close()
		second := wstest.NewServer(wstest.WithNetwork(network))
		defer second.Close()
		secure := wstest.NewServer(wstest.WithNetwork(network), wstest.WithTLS())
		defer secure.Close()
		require.Equal(t, []string{"server.test:80", "server.test:81", "server.test:443"}, []string{first.Addr(), second.Addr(), secure.Addr()})

		client, err := wechatws.New("", wechatws.WithEndpoints(first.URL(), second.URL()),
			wechatws.WithProxy(nil), wechatws.WithNetDial(network.DialContext))
		require.NoError(t, err)
		require.NoError(t, client.Connect(t.Context()))
		first.Stop(wstest.RST)
		time.Sleep(10 * time.Second)
		require.Equal(t, wechatws.StateOpen, client.State())
		require.Equal(t, 1, second.OpenConns())
		require.NoError(t, client.Close(wechatws.StatusNormalClosure, ""))
		<-client.Done()
	})
}
