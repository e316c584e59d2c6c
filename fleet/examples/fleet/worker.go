package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
)

// A worker process is this program with these variables set.
const (
	workerVariable = "FLEET_EXAMPLE_WORKER"
	natsVariable   = "FLEET_EXAMPLE_NATS"
)

// work is a worker process: it holds rooms until SIGTERM, and then hands them over. It ends
// with the process that has started it, too, as a program in production would not.
func work(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(os.Interrupt) // of a whole terminal: the parent ends us
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
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
	_, err = liveroom.New(client, liveroom.Config{RoomID: liveroom.Str(r.IDs["room"]), Name: r.Options["name"]})
	return client, err
}

// A process is a worker process as this one sees it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has, with err
	err   error
	fate  string // what the table says of it
}

func startWorker(name, nats string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), workerVariable+"="+name, natsVariable+"="+nats)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// end has it end now, if it has not.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdin.Close()
}
