package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/inspect"
)

// serve shows the fleet over HTTP, for people and programs without a NATS user, until it is interrupted.
func (s *settings) serve() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use: "serve", Short: "show the fleet over HTTP, which changes nothing, until Ctrl-C", Args: exactly(),
		Long: "Serve shows the page of all rooms at /, and at /rooms and /workers what the commands of these names\n" +
			"write with --json. It changes nothing, and shows no messages. It has no login: put a proxy that has one\n" +
			"in front of it, and do not let it listen where others than the proxy can connect. Over loopback it\n" +
			"answers only to a Host that is localhost or an IP address.",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "where to listen, host:port")
	_ = c.RegisterFlagCompletionFunc("listen", cobra.NoFileCompletions)
	c.RunE = s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return usageError{fmt.Errorf("--listen: %w", err)}
		}
		fmt.Fprintf(c.OutOrStdout(), "http://%s/\n", l.Addr())
		server := &http.Server{
			Handler: s.handler(f), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
		}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(l); ctx.Err() == nil {
			return err
		}
		return nil
	})
	return c
}

// fresh is how old an answer may be that is given again.
const fresh = time.Second

// handler answers requests with the page, and with what the commands write.
func (s *settings) handler(f *fleet.Fleet) http.Handler {
	page := inspect.New()
	page.AddRows(f.Rows())
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	asJSON := *s
	asJSON.json = true
	turn := make(chan struct{}, 1)
	// Many viewers cost NATS no more than one that asks each second, and all that read slowly have one text.
	lines := func(write func(ctx context.Context, c *cobra.Command) error) http.HandlerFunc {
		var last []byte // belongs to the goroutine that has its turn
		var at time.Time
		return func(w http.ResponseWriter, r *http.Request) {
			var text []byte
			err := s.within(r.Context(), func(ctx context.Context) error {
				select {
				case turn <- struct{}{}:
					defer func() { <-turn }()
				case <-ctx.Done():
					return ctx.Err()
				}
				if time.Since(at) > fresh {
					var b bytes.Buffer
					c := &cobra.Command{}
					c.SetOut(&b)
					if err := write(ctx, c); err != nil {
						return err
					}
					last, at = b.Bytes(), time.Now()
				}
				text = last
				return nil
			})
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.timeout))
			if err != nil {
				http.Error(w, wechatws.Printable(err.Error()), http.StatusBadGateway)
				return
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = w.Write(text)
		}
	}
	mux.HandleFunc("GET /rooms", lines(func(ctx context.Context, c *cobra.Command) error {
		list, err := f.Control().List(ctx)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := writeRoom(c, r); err != nil {
				return err
			}
		}
		return nil
	}))
	mux.HandleFunc("GET /workers", lines(func(ctx context.Context, c *cobra.Command) error {
		return asJSON.writeWorkers(ctx, c, f)
	}))
	return forThisMachine(mux)
}

// forThisMachine refuses requests over loopback whose Host is not this machine's, on all paths as the page does
// on its own: a web site can resolve a name of its own to 127.0.0.1, and is then of the same origin for a browser.
func forThisMachine(serve http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if local != nil && local.IP.IsLoopback() && !strings.EqualFold(host, "localhost") && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "the Host is not this machine's", http.StatusForbidden)
			return
		}
		serve.ServeHTTP(w, r)
	})
}
