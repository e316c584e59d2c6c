package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A site stands in for your server.
type site struct{ *wstest.Server }

func newSite() *site {
	s := &site{wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))}
	s.OnConn(func(c *wstest.Conn) { _ = c.Send(`{"msg_type":"ready"}`) })
	return s
}

// demo returns the options that only the demo needs: a network in memory, and nothing but
// results on the wire.
func (s *site) demo() []wechatws.Option {
	return []wechatws.Option{wechatws.WithNetDial(s.DialContext), wechatws.WithProxy(nil), wechatws.WithoutHeartbeat()}
}

// watch returns a function that waits until the client has received a message; if away is
// true, it then stops the server and waits until the client has lost the connection.
func (s *site) watch(client *wechatws.Client) func(ctx context.Context, away bool) error {
	ready, lost := make(chan struct{}, 1), make(chan struct{}, 1)
	wechatws.On(client, "ready", func(context.Context, wechatws.Message) { ready <- struct{}{} })
	client.OnClose(func(context.Context, wechatws.CloseEvent) { lost <- struct{}{} })
	await := func(ctx context.Context, c <-chan struct{}) error {
		select {
		case <-c:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return func(ctx context.Context, away bool) error {
		if err := await(ctx, ready); err != nil || !away {
			return err
		}
		s.Stop(wstest.RST)
		return await(ctx, lost)
	}
}

// report describes the newest connection after it has ended.
func (s *site) report() string {
	conns := s.Conns()
	conn := conns[len(conns)-1]
	select {
	case <-conn.Done():
	case <-time.After(5 * time.Second):
		return "the server still has a connection"
	}
	var jobs []int
	for _, m := range conn.Received() {
		var r result
		if json.Unmarshal(m.Data, &r) == nil {
			jobs = append(jobs, r.Job)
		}
	}
	code, _ := conn.CloseCode()
	return fmt.Sprintf("the server has the results of jobs %v, and a close code %d", jobs, code)
}
