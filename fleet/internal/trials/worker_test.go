package trials_test

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/liveroom"
)

// moveRate is how many rooms a worker hands over in a second.
const moveRate = 20

// A worker is a worker process, with networks between it and everything else.
type worker struct {
	*process
	name    string // by which rooms are placed
	label   string // by which the backend knows it: two may have one name
	toNATS  []*proxy
	toRooms *proxy
}

func startWorker(t *testing.T, fleet, name, label string, c *cluster, backend string) *worker {
	t.Helper()
	w := &worker{name: name, label: label, toRooms: newProxy(t, backend)}
	var urls []string
	for i := range nodes {
		p := newProxy(t, c.addr(i))
		w.toNATS = append(w.toNATS, p)
		urls = append(urls, "nats://"+p.addr())
	}
	w.process = start(t, nil, "worker", "FLEET="+fleet, "NAME="+name, "LABEL="+label, "NATS="+strings.Join(urls, ","), "ROOMS="+w.toRooms.addr())
	return w
}

func (w *worker) cutNATS() {
	for _, p := range w.toNATS {
		p.cut()
	}
}

func (w *worker) mendNATS() {
	for _, p := range w.toNATS {
		p.mend()
	}
}

func runWorker() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: logLevel()})).With("process", os.Getenv("LABEL"))
	f, err := fleet.Open(ctx, fleet.WithName(os.Getenv("FLEET")), fleet.WithReplicas(nodes), fleet.WithLogger(log),
		fleet.WithNATS(os.Getenv("NATS"), nats.IgnoreDiscoveredServers()))
	if err != nil {
		return err
	}
	defer f.Close()
	var d net.Dialer
	w, err := f.NewWorker(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		q := url.Values{"room": {r.ID}, "worker": {os.Getenv("LABEL")}, "fence": {strconv.FormatUint(r.Fence, 10)}}
		client, err := r.NewClient(r.Endpoint+"?"+q.Encode(),
			wechatws.WithTiers(wechatws.Tier{Delay: 500 * time.Millisecond, Attempts: 1 << 30}),
			wechatws.WithNetDial(func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, os.Getenv("ROOMS"))
			}))
		if err != nil {
			return nil, err
		}
		_, err = liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str(r.ID), Name: "bot"})
		return client, err
	}, fleet.WithWorkerName(os.Getenv("NAME")), fleet.WithMoveRate(moveRate))
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// logLevel has a look at what the workers log, when they are to be seen at work.
func logLevel() slog.Level {
	if os.Getenv("FLEET_TRIALS_LOG") != "" {
		return slog.LevelInfo
	}
	return slog.LevelError + 1
}
