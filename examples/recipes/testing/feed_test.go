package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// twoServers calls test with two servers on one network.
func twoServers(t *testing.T, test func(t *testing.T, first, second *wstest.Server, options []wechatws.Option)) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		first := wstest.NewServer(wstest.WithNetwork(network))
		defer first.Close()
		second := wstest.NewServer(wstest.WithNetwork(network))
		defer second.Close()
		test(t, first, second, []wechatws.Option{
			wechatws.WithNetDial(network.DialContext), wechatws.WithProxy(nil), wechatws.WithoutHeartbeat(),
		})
	})
}

// next returns the next connection of a server with the first message on it.
func next(t *testing.T, server *wstest.Server) (*wstest.Conn, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := server.NextConn(ctx)
	require.NoError(t, err)
	m, err := conn.Receive(ctx)
	require.NoError(t, err)
	return conn, m.Text()
}

func TestTheOtherServerTakesOver(t *testing.T) {
	twoServers(t, func(t *testing.T, first, second *wstest.Server, options []wechatws.Option) {
		b, err := newBot("", "secret", log.New(io.Discard, "", 0),
			append(options, wechatws.WithEndpoints(first.URL(), second.URL()))...)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- b.run(ctx) }()
		defer func() { stop(); <-over }()

		_, login := next(t, first)
		require.Equal(t, hello, login)
		first.Stop(wstest.RST)
		lost := time.Now()
		_, login = next(t, second)
		require.Equal(t, hello, login)
		require.LessOrEqual(t, time.Since(lost), 4*time.Second)
	})
}

func TestResumesWhereTheSessionIs(t *testing.T) {
	twoServers(t, func(t *testing.T, gateway, home *wstest.Server, options []wechatws.Option) {
		var got []int64 // guarded by synctest.Wait
		f, err := newFeed(gateway.URL(), func(e event) { got = append(got, e.N) }, options...)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- f.client.Run(ctx) }()
		defer func() { stop(); <-over }()
		serve := func(conn *wstest.Conn, events ...int) {
			require.NoError(t, conn.SendJSON(session{"7", home.URL()}))
			for _, n := range events {
				require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"event","n":%d}`, n)))
			}
		}

		conn, first := next(t, gateway)
		require.Equal(t, `{"msg_type":"start"}`, first)
		serve(conn, 1, 2)
		require.NoError(t, conn.Close(int(wechatws.StatusServiceRestart), "deploying")) // right behind event 2

		conn, first = next(t, home)
		require.Equal(t, `{"after":2,"msg_type":"resume","session":"7"}`, first)
		serve(conn, 3)
		synctest.Wait()
		home.Stop(wstest.RST)

		conn, first = next(t, gateway) // behind one attempt that fails
		require.Equal(t, `{"after":3,"msg_type":"resume","session":"7"}`, first)
		serve(conn, 4)
		synctest.Wait()
		require.Equal(t, []int64{1, 2, 3, 4}, got)
	})
}
