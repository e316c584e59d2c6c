// Worker is a program to start from: one worker of a fleet of live rooms, as it runs under
// systemd or Kubernetes (see ..).
//
//	NATS_URL=nats://127.0.0.1:4222 go run -C fleet/deploy/worker .
//
// Rooms are added with fleetctl:
//
//	fleetctl add 9527 --endpoint wss://live.example.com/ws \
//	    --id room=9527,live=1,user=42 --option name=bot --secret token=credential:live-token
//
// A credential is a file in the folder that $CREDENTIALS_DIRECTORY names. With -endpoints, rooms may have
// endpoints of certain hosts only: a program that adds rooms could have each credential, and each
// environment variable LIVE_…, sent to an endpoint of its own.
//
// Over HTTP it has /health/live and /health/ready, /metrics for Prometheus, and
// /rooms/, a page of all rooms of all workers. After SIGTERM it hands its rooms over and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/fleetprom"
	"github.com/wechatws/wechatws/inspect"
	"github.com/wechatws/wechatws/liveroom"
)

// settings are the flags, which have their defaults from the environment.
type settings struct {
	nats, creds, ca, fleet, name, listen, endpoints string
	replicas                                        int
	drain                                           time.Duration
	log                                             *slog.Logger
}

func main() {
	s := settings{log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	flag.StringVar(&s.nats, "nats", os.Getenv("NATS_URL"), "where NATS is (default $NATS_URL)")
	flag.Lookup("nats").DefValue = "" // which may hold a password
	flag.StringVar(&s.creds, "creds", os.Getenv("NATS_CREDS"), "a NATS credentials file")
	flag.StringVar(&s.ca, "tls-ca", os.Getenv("NATS_CA"), "a file with the certificates to trust")
	flag.StringVar(&s.fleet, "fleet", "wechatws", "the fleet's name")
	flag.IntVar(&s.replicas, "replicas", 0, "how many NATS servers keep everything (default those of the fleet, 1 of a new one)")
	flag.StringVar(&s.name, "name", os.Getenv("WORKER_NAME"), "this worker's name (default the host's and the process's)")
	flag.StringVar(&s.endpoints, "endpoints", os.Getenv("LIVE_ENDPOINTS"), "the hosts that rooms may have, separated by commas, such as *.example.com (default any)")
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8080", "where to serve health, metrics and the page of rooms")
	flag.DurationVar(&s.drain, "drain", 25*time.Second, "how long handing over may take")
	flag.Parse()
	if s.nats == "" {
		fmt.Fprintln(os.Stderr, "worker: where is NATS? Give -nats, or set NATS_URL")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// run works until ctx ends.
func run(ctx context.Context, s settings) error {
	clients := newClients()
	registry := prometheus.NewRegistry()
	registry.MustRegister(clients)
	var h health
	page := inspect.New()
	mux := http.NewServeMux()
	mux.Handle("/health/", &h)
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/rooms/", page)
	stop, err := serve(s.listen, mux) // before NATS can be reached
	if err != nil {
		return err
	}
	defer stop()

	f, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	options := []fleet.WorkerOption{fleet.WithDrainTimeout(s.drain), fleet.WithSecrets(fleet.LookUpSecret("credential:*", "env:LIVE_*"))}
	if s.name != "" {
		options = append(options, fleet.WithWorkerName(s.name))
	}
	if s.endpoints != "" {
		options = append(options, fleet.WithEndpoints(strings.Split(s.endpoints, ",")...))
	}
	w, err := f.NewWorker(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) { return connect(ctx, r, clients) }, options...)
	if err != nil {
		return err
	}
	registry.MustRegister(fleetprom.New(w), fleetprom.NewStorage(f)) // with hundreds of workers, NewStorage in one of them is enough
	page.AddRows(f.Rows())
	h.worker.Store(w)
	s.log.Info("worker", "name", w.Name(), "listen", s.listen)
	err = w.Run(ctx)
	stop()
	return err
}

// open connects to the fleet. It waits for NATS until ctx ends.
func (s settings) open(ctx context.Context) (*fleet.Fleet, error) {
	var options []nats.Option
	if s.creds != "" {
		options = append(options, nats.UserCredentials(s.creds))
	}
	if s.ca != "" {
		options = append(options, nats.RootCAs(s.ca))
	}
	of := []fleet.Option{fleet.WithName(s.fleet), fleet.WithNATS(s.nats, options...), fleet.WithLogger(s.log)}
	if s.replicas != 0 {
		of = append(of, fleet.WithReplicas(s.replicas))
	}
	return fleet.Open(ctx, of...)
}

// connect makes a room's client from its spec.
func connect(ctx context.Context, r *fleet.Room, clients *clients) (*wechatws.Client, error) {
	endpoint := func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
		ep := wechatws.Endpoint{URL: r.Endpoint}
		if _, ok := r.Secrets["token"]; ok { // looked up for each attempt: it may have been renewed
			token, err := r.Secret(ctx, "token")
			if err != nil {
				return ep, err
			}
			ep.Header = http.Header{"Authorization": {"Bearer " + token}}
		}
		return ep, nil
	}
	client, err := r.NewClient("", wechatws.WithEndpoint(endpoint), wechatws.WithJitter(0.3))
	if err != nil {
		return nil, err
	}
	_, err = liveroom.New(client, liveroom.Identity{
		RoomID: liveroom.Str(r.IDs["room"]), LiveID: liveroom.Str(r.IDs["live"]), UserID: liveroom.Str(r.IDs["user"]),
		Name: r.Options["name"],
	})
	if err != nil {
		return nil, err
	}
	clients.add(ctx, r.ID, client)
	return client, nil
}

// serve serves until stop is called.
func serve(listen string, h http.Handler) (stop func(), err error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("http", "err", err)
		}
	}()
	return sync.OnceFunc(func() {
		server.Close()
		<-done
	}), nil
}
