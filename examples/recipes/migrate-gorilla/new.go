package main

import (
	"context"

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
