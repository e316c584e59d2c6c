package wechatws_test

import (
	"context"
	"fmt"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// The messages of one room are handled in order, while another room's callback blocks.
func ExampleWithParallel() {
	srv := wstest.NewServer()
	defer srv.Close()
	type line struct{ Room, Text string }
	client, err := wechatws.New(srv.URL(), wechatws.WithParallel(func(m wechatws.Message) string {
		var l line
		_ = m.Decode(&l)
		return l.Room
	}, 8))
	if err != nil {
		panic(err)
	}
	cats := make(chan struct{})
	wechatws.On(client, "line", func(_ context.Context, l line) {
		if l.Room == "dogs" {
			<-cats
		}
		fmt.Println(l.Room+":", l.Text)
		if l.Text == "bye" {
			close(cats)
		}
	})
	if err := client.Connect(context.Background()); err != nil {
		panic(err)
	}
	conn, err := srv.NextConn(context.Background())
	if err != nil {
		panic(err)
	}
	_ = conn.Send(`{"msg_type":"line","room":"dogs","text":"woof"}`)
	_ = conn.Send(`{"msg_type":"line","room":"cats","text":"meow"}`)
	_ = conn.Send(`{"msg_type":"line","room":"cats","text":"bye"}`)
	<-cats
	_ = client.Shutdown(context.Background())
	// Output:
	// cats: meow
	// cats: bye
	// dogs: woof
}
