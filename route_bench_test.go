package wechatws

import (
	"context"
	"github.com/wechatws/wechatws/transport"
	"testing"
)

var comment = []byte(`{"msg_type":"message","from_name":"\u5c0f\u660e","content":"how much is the blue one?","client_id":"7f0000010b5400000001","time":1700000000}`)

func BenchmarkRoute(b *testing.B) {
	type message struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
		ClientID string `json:"client_id"`
		Time     int64  `json:"time"`
	}
	for name, register := range map[string]func(c *Client){
		"typed": func(c *Client) { On(c, "message", func(context.Context, message) {}) },
		"raw":   func(c *Client) { c.OnMessage(func(context.Context, Message) {}) },
		"none":  func(c *Client) {},
	} {
		b.Run(name, func(b *testing.B) {
			c, err := New("ws://server.test")
			if err != nil {
				b.Fatal(err)
			}
			register(c)
			l := &link{session: &session{client: c, ctx: context.Background()}, client: c}
			l.heartbeat.link, l.heartbeat.cfg = l, &c.cfg
			in := inbound{link: l, typ: transport.TextMessage, data: comment, borrowed: true}
			b.ReportAllocs()
			for b.Loop() {
				c.route(in.link.session.ctx, in)
			}
		})
	}
}
