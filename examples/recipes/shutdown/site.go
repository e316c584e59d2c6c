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
	return &site{wstest.NewServer(wstest.OnNetwork(wstest.NewNetwork()))}
}

// demo is what only the demo needs: a network in memory, and on the wire nothing but
// results.
func (s *site) demo() []wechatws.Option {
	return []wechatws.Option{wechatws.WithNetDial(s.DialContext), wechatws.WithProxy(nil), wechatws.WithoutHeartbeat()}
}

// watch returns a function that waits until the client is connected; or has lost the
// server, which it then takes away.
func (s *site) watch(client *wechatws.Client) func(ctx context.Context, away bool) error {
	states := make(chan wechatws.State, 16)
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) { states <- c.To })
	await := func(ctx context.Context, want wechatws.State) error {
		for {
			select {
			case got := <-states:
				if got == want {
					return nil
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return func(ctx context.Context, away bool) error {
		if err := await(ctx, wechatws.StateOpen); err != nil || !away {
			return err
		}
		s.Stop(wstest.RST)
		return await(ctx, wechatws.StateWaiting)
	}
}

// report is what the last connection brought, once it has ended.
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
