// Onebotreverse is an implementation of OneBot 11 that connects to a bot: what the bot calls, it
// answers; lines of standard input are messages of a user.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/wechatws/wechatws"
)

type object map[string]any

func main() {
	url := flag.String("url", "ws://127.0.0.1:5140/onebot", "of the bot; the access token is in $TOKEN")
	flag.Parse()
	log.Fatal(run(context.Background(), *url, os.Getenv("TOKEN"), os.Stdin))
}

func run(ctx context.Context, url, token string, chat io.Reader) error {
	client, err := wechatws.New(url,
		wechatws.WithHeader(http.Header{"Authorization": {"Bearer " + token}, "X-Self-Id": {"10001"}, "X-Client-Role": {"Universal"}}),
		wechatws.WithTypeField("action"),
		wechatws.WithReply(answer),
		wechatws.WithoutHeartbeat(),
	)
	if err != nil {
		return err
	}
	go func() {
		for n, lines := 0, bufio.NewScanner(chat); lines.Scan(); n++ {
			client.Send(ctx, object{
				"post_type": "message", "message_type": "private", "sub_type": "friend", "time": time.Now().Unix(), "self_id": 10001,
				"user_id": 20002, "sender": object{"user_id": 20002}, "message_id": n, "message": lines.Text(), "raw_message": lines.Text(),
			})
		}
	}()
	return client.Run(ctx)
}

// answer answers a call of the bot's.
func answer(m wechatws.Message) (any, error) {
	var call struct{ Echo json.RawMessage }
	if m.Type == "" || m.Decode(&call) != nil {
		return nil, nil
	}
	switch m.Type {
	case "get_login_info":
		return object{"status": "ok", "retcode": 0, "data": object{"user_id": 10001, "nickname": "bot"}, "echo": call.Echo}, nil
	case "send_private_msg":
		log.Println("said:", m.Field("params", "message", "0", "data", "text"))
		return object{"status": "ok", "retcode": 0, "data": object{"message_id": 1}, "echo": call.Echo}, nil
	}
	return object{"status": "failed", "retcode": 1404, "data": nil, "echo": call.Echo}, nil
}
