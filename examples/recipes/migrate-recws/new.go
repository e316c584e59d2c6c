package main

import (
	"context"
	"errors"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/scene"
)

// A newClient is the same program on wechatws.
type newClient struct{ *wechatws.Client }

func newNewClient(url string, heard func(comment), options ...wechatws.Option) (*newClient, error) {
	c, err := wechatws.New(url, append([]wechatws.Option{
		wechatws.WithLoginMessage(login{"login", "secret"}),
		wechatws.WithTiers(wechatws.Tier{Delay: scene.Retry}),
		wechatws.WithLiveness(wechatws.Liveness{Interval: scene.Ping, Timeout: scene.Dead}),
		wechatws.WithRetryIf(unlessNormalClosure),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	wechatws.On(c, "message", func(_ context.Context, m comment) { heard(m) })
	return &newClient{c}, nil
}

func (c *newClient) Say(ctx context.Context, text string) error {
	return c.Send(ctx, comment{"message", text})
}

// unlessNormalClosure ends the client, as recws does, when the server closes with code
// 1000. Leave it out for servers that close with 1000 and expect clients to reconnect.
func unlessNormalClosure(f wechatws.Failure) bool {
	var closed *wechatws.CloseError
	normal := errors.As(f.Err, &closed) && closed.Remote && closed.Code == wechatws.StatusNormalClosure
	return !normal && wechatws.DefaultRetryIf(f)
}
