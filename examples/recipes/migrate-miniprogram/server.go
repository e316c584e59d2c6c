package main

import (
	"encoding/json"

	"github.com/wechatws/wechatws/wstest"
)

// A server stands in for yours: it cuts connections that send a comment without a login, and
// echoes comments.
type server struct{ *wstest.Server }

func newServer() *server {
	s := &server{wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))}
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var in struct {
			Type    string `json:"msg_type"`
			Content string `json:"content"`
		}
		_ = json.Unmarshal(m.Data, &in)
		first := c.Received()[0].Text()
		switch {
		case in.Type == "login":
			_ = c.Send(`{"msg_type":"notice","text":"welcome"}`)
			_ = c.Send(`<p>a gateway's page</p>`) // not JSON, as from a broken gateway
		case in.Type == "message" && first == `{"msg_type":"login","user_id":42,"token":"secret"}`:
			_ = c.SendJSON(comment{"message", "you", in.Content})
		case in.Type == "message":
			c.Cut(wstest.RST)
		}
	})
	return s
}

// drop ends the connection that is open, without a close frame.
func (s *server) drop() {
	for _, c := range s.Conns() {
		c.Cut(wstest.FIN)
	}
}
