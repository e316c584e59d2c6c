// Onebotreverse is an implementation of OneBot 11 that connects to a bot and answers its calls.
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
	url := flag.String("url", "ws://127.0.0.1:5140/onebot", "of the bot, which hears the lines of standard input; the access token is in $TOKEN")
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

// answers has the data of the calls that this implementation knows.
var answers = map[string]object{"get_login_info": {"user_id": 10001, "nickname": "bot"}, "send_private_msg": {"message_id": 1}}

func answer(m wechatws.Message) (any, error) {
	var call struct{ Params, Echo json.RawMessage }
	if m.Type == "" || m.Decode(&call) != nil {
		return nil, nil
	}
	log.Printf("%s %s", wechatws.Printable(m.Type), wechatws.Printable(call.Params))
	if data := answers[m.Type]; data != nil {
		return object{"status": "ok", "retcode": 0, "data": data, "echo": call.Echo}, nil
	}
	return object{"status": "failed", "retcode": 1404, "data": nil, "echo": call.Echo}, nil
}
