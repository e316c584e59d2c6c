package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
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
	f, err := fleet.Open(ctx, fleet.Config{
		URL:    os.Getenv(natsVariable),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := f.NewWorker(fleet.WorkerConfig{Name: name, MoveRate: 200, Connect: func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return connect(name, r)
	}})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// connect makes a room's client out of its spec.
func connect(worker string, r *fleet.Room) (*wechatws.Client, error) {
	// The backend of this example wants to know who comes from which worker.
	client, err := r.NewClient(r.Endpoint+"?"+url.Values{"room": {r.ID}, "worker": {worker}}.Encode(),
		wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 1 << 30}))
	if err != nil {
		return nil, err
	}
	_, err = liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str(r.IDs["room"]), Name: r.Options["name"]})
	return client, err
}
