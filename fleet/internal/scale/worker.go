//go:build linux

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"strconv"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// work is a worker's process. Its clients have the options of the library's default: a
// heartbeat every 3 s, liveness by pings.
func work(name string, ended <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	f, err := fleet.Open(ctx, fleet.WithNATS(os.Getenv(natsVariable)), fleet.WithLogger(log))
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		client, err := r.NewClient(r.Endpoint + "?" + url.Values{"room": {r.ID}, "worker": {name}, "fence": {strconv.FormatUint(r.Fence, 10)}}.Encode())
		if err != nil {
			return nil, err
		}
		client.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) {
			_ = client.Send(ctx, wechatws.Text(`{"msg_type":"join"}`)) // an error means that the client is closing
		})
		return client, nil
	}, fleet.WithWorkerName(name), fleet.WithMoveRate(1000))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(name); err != nil {
		return err
	}
	go func() {
		<-ended
		os.Exit(0) // the trial is over: the rooms need not be handed over
	}()
	return w.Run(ctx)
}
