package main

import (
	"context"
	"encoding/json"
	"log"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A demoServer stands in for a real backend: it answers a login with two messages, and
// echoes comments, as a live room does.
type demoServer struct{ *wstest.Server }

func startDemo() *demoServer {
	s := &demoServer{wstest.NewServer()}
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		var in struct {
			MsgType string `json:"msg_type"`
			Content string `json:"content"`
		}
		_ = json.Unmarshal(m.Data, &in)
		switch in.MsgType {
		case "login":
			_ = c.Send(`{"msg_type":"init","client_id":"7f0000010b5400000001"}`)
			_ = c.Send(`{"msg_type":"message","from_name":"server","content":"welcome"}`)
		case "message":
			_ = c.SendJSON(map[string]string{"msg_type": "message", "from_name": "you", "content": in.Content})
		}
	})
	return s
}

// perform is the script of the demo. It sends while there is no connection, too: messages
// that Send has accepted are delivered later.
func (s *demoServer) perform(client *wechatws.Client, end func()) {
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	say := func(text string) {
		if err := client.Send(ctx, map[string]string{"msg_type": "message", "content": text}); err != nil {
			log.Printf("not accepted: %v", err)
		}
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	conn, err := s.NextConn(ctx)
	if err != nil {
		return
	}
	say("hello")
	pause(1200 * time.Millisecond)

	log.Print("** the server cuts the connection")
	conn.Cut(wstest.FIN)
	pause(50 * time.Millisecond)
	say("said while there was no connection")
	pause(1200 * time.Millisecond)

	log.Print("** the server goes down")
	s.Stop(wstest.RST)
	pause(700 * time.Millisecond)
	say("said while the server was down")
	pause(500 * time.Millisecond)
	log.Print("** the server is back")
	s.Start()
	_ = client.Flush(ctx)
	pause(700 * time.Millisecond)
}
