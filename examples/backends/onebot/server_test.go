package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/wechatws/wechatws/wstest"
)

// An implementation is a stand-in for a OneBot 11 implementation that a bot connects to, such as
// NapCat: they all need an account of QQ. It sends events, and answers calls of the API by echo.
type implementation struct {
	*wstest.Server
	said  chan string
	conns chan *wstest.Conn
}

func newImplementation(t testing.TB) *implementation {
	s := &implementation{Server: wstest.NewServer(), said: make(chan string, 100), conns: make(chan *wstest.Conn, 100)}
	s.AnswerFunc(func(r *http.Request) wstest.Answer {
		if r.Header.Get("Authorization") != "Bearer secret" {
			return wstest.Status(http.StatusUnauthorized, nil, "")
		}
		return wstest.Accept()
	})
	s.OnConn(func(c *wstest.Conn) {
		c.Send(`{"post_type":"meta_event","meta_event_type":"lifecycle","sub_type":"connect","self_id":10001,"time":1}`)
		s.conns <- c
	})
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var call struct {
			Action string
			Params struct{ Message string }
			Echo   json.RawMessage
		}
		json.Unmarshal(m.Data, &call)
		if call.Echo == nil {
			call.Echo = json.RawMessage("null")
		}
		if call.Action != "send_msg" {
			c.Send(fmt.Sprintf(`{"status":"failed","retcode":1404,"data":null,"echo":%s}`, call.Echo))
			return
		}
		s.said <- call.Params.Message
		c.Send(fmt.Sprintf(`{"status":"ok","retcode":0,"data":{"message_id":%d},"echo":%s}`, len(s.said), call.Echo))
	})
	t.Cleanup(s.Close)
	return s
}

// say sends the event of a private message.
func say(c *wstest.Conn, text string) {
	c.SendJSON(map[string]any{
		"post_type": "message", "message_type": "private", "sub_type": "friend", "self_id": 10001, "time": 1,
		"message_id": 1, "user_id": 20002, "raw_message": text, "message": text,
	})
}
