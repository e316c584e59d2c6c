package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/stretchr/testify/require"
)

// A server is a Centrifuge node with one user, history and recovery in the channel news, and
// the RPC method upper. It ends connections that do not answer its pings.
type server struct {
	t           testing.TB
	node        *centrifuge.Node
	connected   chan *centrifuge.Client
	disconnects chan centrifuge.Disconnect
}

func newServer(t testing.TB) *server {
	node, err := centrifuge.New(centrifuge.Config{})
	require.NoError(t, err)
	s := &server{t, node, make(chan *centrifuge.Client, 100), make(chan centrifuge.Disconnect, 100)}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		if e.Token != "secret" {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bot"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{
				Options: centrifuge.SubscribeOptions{EnableRecovery: true},
			}, nil)
			s.connected <- client
		})
		client.OnRPC(func(e centrifuge.RPCEvent, done centrifuge.RPCCallback) {
			if e.Method != "upper" {
				done(centrifuge.RPCReply{}, centrifuge.ErrorMethodNotFound)
				return
			}
			done(centrifuge.RPCReply{Data: bytes.ToUpper(e.Data)}, nil)
		})
		client.OnDisconnect(func(e centrifuge.DisconnectEvent) { s.disconnects <- e.Disconnect })
	})
	require.NoError(t, node.Run())
	t.Cleanup(func() { node.Shutdown(context.Background()) })
	return s
}

func (s *server) handler() http.Handler {
	return centrifuge.NewWebsocketHandler(s.node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: time.Second, PongTimeout: 900 * time.Millisecond},
	})
}

// publish publishes a text of this number in the channel news.
func (s *server) publish(n int) {
	_, err := s.node.Publish("news", fmt.Appendf(nil, `"text %d"`, n), centrifuge.WithHistory(100, time.Hour))
	require.NoError(s.t, err)
}
