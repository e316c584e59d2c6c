package main

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A server stands in for yours.
type server struct {
	*wstest.Server
	network *wstest.Network
	hanging atomic.Bool
}

func newServer() *server {
	network := wstest.NewNetwork()
	s := &server{Server: wstest.NewServer(wstest.WithNetwork(network)), network: network}
	s.OnConn(func(c *wstest.Conn) {
		c.IgnorePings(true)
		_ = c.Send(`{"cmd":"hello"}`)
	})
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var b beat
		if json.Unmarshal(m.Data, &b) == nil && b.Type == "heartbeat" && !s.hanging.Load() {
			b.Type = "heartbeat_ack"
			_ = c.SendJSON(b)
		}
	})
	return s
}

func (s *server) hang(hang bool) { s.hanging.Store(hang) }

// demo returns the options that only the demo needs: a network in memory, and short waits.
func (s *server) demo() []wechatws.Option {
	return []wechatws.Option{
		wechatws.WithNetDial(s.DialContext),
		wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 300 * time.Millisecond}),
	}
}
