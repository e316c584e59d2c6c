package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Each envelope is acknowledged at once, however long its callback takes, and an order to end is
// obeyed.
func ExampleWithReply() {
	srv := wstest.NewServer()
	defer srv.Close()
	srv.OnMessage(func(_ *wstest.Conn, m wstest.Message) {
		if !m.Binary && m.Text() != `{"type":"ping"}` {
			fmt.Println("the server receives", m.Text())
		}
	})
	client, err := wechatws.New(srv.URL(), wechatws.WithTypeField("type"),
		wechatws.WithReply(func(m wechatws.Message) (any, error) {
			switch m.Type {
			case "event":
				var envelope struct {
					ID int `json:"envelope_id"`
				}
				return &envelope, m.Decode(&envelope)
			case "revoked":
				return nil, wechatws.Permanent(errors.New("the app is uninstalled"))
			}
			return nil, nil
		}))
	if err != nil {
		panic(err)
	}
	wechatws.On(client, "event", func(context.Context, struct{}) { time.Sleep(100 * time.Millisecond) })
	go func() {
		conn, _ := srv.NextConn(context.Background())
		_ = conn.Send(`{"type":"event","envelope_id":7}`)
		_, _ = conn.Receive(context.Background())
		_ = conn.Send(`{"type":"revoked"}`)
	}()
	err = client.Run(context.Background())
	fmt.Println(client.State(), err)
	// Output:
	// the server receives {"envelope_id":7}
	// failed wechatws: connection ended: close code 1006 (abnormal closure): the app is uninstalled
}
