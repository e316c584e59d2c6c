package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
)

// work is a worker process: it holds rooms until SIGTERM, and then hands them over.
func work(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	f, err := fleet.Open(ctx, fleet.WithNATS(os.Getenv(natsVariable)), fleet.WithLogger(log))
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return connect(name, r)
	}, fleet.WithWorkerName(name), fleet.WithMoveRate(200))
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// connect makes a room's client from its spec.
func connect(worker string, r *fleet.Room) (*wechatws.Client, error) {
	// The backend of this example records the worker and the fence of each connection.
	q := url.Values{"room": {r.ID}, "worker": {worker}, "fence": {strconv.FormatUint(r.Fence, 10)}}
	client, err := r.NewClient(r.Endpoint+"?"+q.Encode(),
		wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 1 << 30}))
	if err != nil {
		return nil, err
	}
	_, err = liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str(r.IDs["room"]), Name: r.Options["name"]})
	return client, err
}
