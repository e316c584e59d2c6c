package simulation_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
	"github.com/wechatws/wechatws/wstest"
)

func TestOneWorkerAndOneRoom(t *testing.T) {
	natssim.Bubble(t, func(t *testing.T) {
		c := natssim.New(1, 3)
		defer c.Close()
		network := wstest.NewNetwork()
		srv := wstest.NewServer(wstest.WithNetwork(network))
		defer srv.Close()
		f, err := fleet.Open(t.Context(), fleet.WithNATS(c.URLs(0), nats.SetCustomDialer(c.Dialer("a")), nats.DontRandomize()), fleet.WithReplicas(3), fleet.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, f.Control().Add(t.Context(), fleet.Spec{ID: "r", Endpoint: srv.URL()}))
		w, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
			return r.NewClient(r.Endpoint, wechatws.WithNetDial(network.DialContext))
		})
		require.NoError(t, err)
		h, err := f.NewHandlers("g")
		require.NoError(t, err)
		got := make(chan string, 1)
		fleet.On(h, "hi", func(_ context.Context, m fleet.Message, v struct{ N string }) error { got <- v.N; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- w.Run(ctx) }()
		go func() { ended <- h.Run(ctx) }()
		conn, err := srv.NextConn(ctx)
		require.NoError(t, err)
		require.NoError(t, conn.Send(`{"msg_type":"hi","n":"x"}`))
		require.Equal(t, "x", <-got)
		require.NoError(t, f.Send(ctx, "r", wechatws.Text("hello")))
		time.Sleep(time.Minute)
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
	})
}
