package console

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A demoServer stands in for a real backend: it sends messages of a live room, echoes comments,
// and cuts the first connection.
type demoServer struct {
	*wstest.Server
	over   chan struct{} // closed at the end of the demo
	finish func()
}

// demoOptions make the client measure a round trip within the short demo.
var demoOptions = []wechatws.Option{
	wechatws.WithLiveness(wechatws.Liveness{Interval: 500 * time.Millisecond, Timeout: 5 * time.Second}),
}

func startDemo(options ...wstest.Option) *demoServer {
	d := &demoServer{Server: wstest.NewServer(options...), over: make(chan struct{})}
	d.finish = sync.OnceFunc(func() { close(d.over) })
	d.OnConn(d.perform)
	d.OnMessage(answer)
	return d
}

func answer(c *wstest.Conn, m wstest.Message) {
	var in comment
	if json.Unmarshal(m.Data, &in) != nil || in.MsgType != "message" {
		return
	}
	if in.FromName == "" {
		in.FromName = "you"
	}
	_ = c.SendJSON(in)
}

// perform is the script of the demo on a connection. It returns early when that ends.
func (d *demoServer) perform(c *wstest.Conn) {
	pause := func(t time.Duration) {
		select {
		case <-time.After(t):
		case <-c.Done():
		}
	}
	_ = c.Send(`{"msg_type":"init","client_id":"7f0000010b5400000001"}`)
	if c.ID() > 1 {
		_ = c.Send(`{"msg_type":"message","from_name":"demo","content":"connected again; what you typed meanwhile has arrived"}`)
		pause(time.Second)
		d.finish()
		return
	}
	for _, message := range []string{
		`{"msg_type":"join","from_name":"小明","msg_content":"小明 joined the room","online_num":2}`,
		`{"msg_type":"message","from_name":"小明","content":"大家好 👋"}`,
		`{"msg_type":"subscribe","from_name":"Ann","msg_content":"Ann follows now","subscribe_num":17}`,
		`{"msg_type":"on_off_shelf","goods_id":42,"goods_name":"tea","goods_price":"9.90","status":"on"}`,
		`{"msg_type":"buy","from_name":"Ann","msg_content":"Ann bought tea"}`,
		`{"msg_type":"leave","from_name":"Ann","msg_content":"Ann left the room"}`,
		`{"msg_type":"message","from_name":"demo","content":"the server cuts the connection: watch the countdown, and type something meanwhile"}`,
	} {
		_ = c.Send(message)
		pause(250 * time.Millisecond)
	}
	c.Cut(wstest.FIN)
}
