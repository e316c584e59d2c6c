package wsotel_test

import (
	"context"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsotel"
)

// The code of docs/observing.md, which is compiled here and not run.
var _ = observed

func observed(ctx context.Context, url string) error {
	client, err := wechatws.New(url, wechatws.WithTrace(wsotel.Trace())) // a live span for each attempt
	if err != nil {
		return err
	}
	metrics, err := wsotel.NewMetrics() // the global providers by default
	if err != nil {
		return err
	}
	defer metrics.Close()
	defer metrics.Add("room-9527", client)()
	return client.Run(ctx)
}
