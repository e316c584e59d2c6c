// Command example serves metrics for a try of Prometheus and Grafana: three clients of a
// server on loopback that sends messages and now and then disconnects one of them. The
// metrics are at http://127.0.0.1:9464/metrics until Ctrl-C.
//
//	go run ./example
//	prometheus --config.file=example/prometheus.yml --storage.tsdb.path="$(mktemp -d)"
//
// Then import dashboard.json into a Grafana that has this Prometheus as a data source.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsprom"
	"github.com/wechatws/wechatws/wstest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9464", "where to serve /metrics")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves the metrics of three clients until ctx ends.
func run(ctx context.Context, addr string, out io.Writer) error {
	backend := wstest.NewServer(wstest.WithoutRecords())
	defer backend.Close()
	backend.OnConn(trouble)

	collector := wsprom.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	for i := range 3 {
		client, err := wechatws.New(backend.URL(), wechatws.WithJitter(0.2))
		if err != nil {
			return err
		}
		client.OnMessage(func(context.Context, wechatws.Message) {})
		defer collector.Add(fmt.Sprint("room-", i+1), client)()
		if err := client.Connect(ctx); err != nil {
			return err
		}
		defer func() { _ = client.Close(wechatws.StatusNormalClosure, "") }()
	}

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s/metrics\n", listener.Addr())
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// trouble sends messages on a connection, and ends it within two minutes, in one of several ways.
func trouble(c *wstest.Conn) {
	talk := time.NewTicker(time.Second)
	defer talk.Stop()
	end := time.After(rand.N(2 * time.Minute))
	for {
		select {
		case <-c.Done():
			return
		case <-talk.C:
			_ = c.Send(`{"msg_type":"message","content":"hello"}`)
		case <-end:
			switch rand.N(3) {
			case 0:
				_ = c.Close(4000, "enough")
			case 1:
				c.Cut(wstest.RST)
			default:
				c.Blackhole(true)
			}
			end = nil
		}
	}
}
