package main

import (
	"context"
	"errors"
	"log"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// loggedInElsewhere is the server's close code for a connection whose account has logged in
// on another one.
const loggedInElsewhere = 4001

type login struct {
	Type  string `json:"msg_type"`
	Token string `json:"token"`
}

type comment struct {
	Type    string `json:"msg_type"`
	From    string `json:"from_name,omitempty"`
	Content string `json:"content"`
}

// A bot answers questions in a room.
type bot struct {
	client *wechatws.Client
	prices map[string]string
}

// newBot makes a bot. The options are applied after the bot's own, so that a test can give
// another network, for instance.
func newBot(url, token string, logger *log.Logger, options ...wechatws.Option) (*bot, error) {
	client, err := wechatws.New(url, append([]wechatws.Option{
		wechatws.WithLoginMessage(login{"login", token}),
		wechatws.WithRetryIf(func(f wechatws.Failure) bool {
			// Two bots with one account that reconnect after this close code would
			// disconnect each other for ever.
			var closed *wechatws.CloseError
			kicked := errors.As(f.Err, &closed) && closed.Remote && closed.Code == loggedInElsewhere
			return !kicked && wechatws.DefaultRetryIf(f)
		}),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	b := &bot{client: client, prices: map[string]string{"tea": "¥10", "cake": "¥25"}}
	wechatws.On(client, "message", b.answer)
	client.OnError(func(_ context.Context, err error) { logger.Print(err) })
	return b, nil
}

// run keeps the bot in its room, and blocks until ctx ends or an error is permanent.
func (b *bot) run(ctx context.Context) error { return b.client.Run(ctx) }

// answer answers a question such as "price of tea".
func (b *bot) answer(ctx context.Context, c comment) {
	item, isQuestion := strings.CutPrefix(c.Content, "price of ")
	if price, known := b.prices[item]; isQuestion && known {
		// An answer that comes a minute late is useless.
		_ = b.client.Send(ctx, comment{Type: "message", Content: "@" + c.From + " " + item + ": " + price},
			wechatws.ExpireAfter(time.Minute))
	}
}

// announce sends a comment that must arrive, however late.
func (b *bot) announce(ctx context.Context, text string) error {
	return b.client.Send(ctx, comment{Type: "message", Content: text})
}
