// Token connects with a short-lived token in the URL, and fetches a new one when the old one
// has expired or the server refuses it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A tokenSource caches a token while it is valid. It belongs to one client, which calls its
// endpoint function before every attempt and never twice at a time; a tokenSource for
// several clients needs a mutex.
type tokenSource struct {
	fetch func(ctx context.Context) (token string, expires time.Time, err error)

	token   string
	expires time.Time
}

// errWrongPassword is the error of fetch that no retry can succeed after.
var errWrongPassword = errors.New("token service: wrong password")

// margin is for tokens that would expire on the way to the server.
const margin = 30 * time.Second

// endpoint makes the endpoint function of a client. It fetches a token only when it needs
// one: a server that is down for an hour must not overload the token service.
func (s *tokenSource) endpoint(address string) func(context.Context, int, error) (wechatws.Endpoint, error) {
	return func(ctx context.Context, _ int, last error) (wechatws.Endpoint, error) {
		var answer *wechatws.HandshakeError
		if errors.As(last, &answer) && answer.Status == http.StatusUnauthorized {
			s.token = "" // revoked, or the clocks differ
		}
		if s.token == "" || time.Until(s.expires) < margin {
			// An error is a failed attempt, and is retried by the schedule. A permanent
			// one ends the client. Do not put the token into it.
			var err error
			s.token, s.expires, err = s.fetch(ctx)
			if errors.Is(err, errWrongPassword) {
				return wechatws.Endpoint{}, wechatws.Permanent(err)
			}
			if err != nil {
				return wechatws.Endpoint{}, err
			}
		}
		return wechatws.Endpoint{
			URL: address + "?token=" + url.QueryEscape(s.token),
			// Or, where the server wants it there:
			// Header: http.Header{"Authorization": {"Bearer " + s.token}},
		}, nil
	}
}

// String leaves the token out when the struct is printed.
func (s *tokenSource) String() string { return fmt.Sprintf("token until %v", s.expires) }

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	backend := newBackend()
	defer backend.Close()

	tokens := &tokenSource{fetch: backend.issue}
	client, err := wechatws.New("", append(backend.demo(), wechatws.WithEndpoint(tokens.endpoint(backend.URL())))...)
	if err != nil {
		return err
	}
	say := log.New(out, "", 0).Printf
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		if c.RetryIn > 0 {
			say("-- %v: %v", c.To, c.Err) // without the query, and without the server's echo of it
			return
		}
		say("-- %v", c.To)
	})
	opened := make(chan struct{}, 1)
	client.OnOpen(func(context.Context, wechatws.OpenEvent) { opened <- struct{}{} })

	if err := client.Connect(ctx); err != nil {
		return err
	}
	for _, scene := range []struct {
		text string
		act  func()
	}{
		{"the connection is lost, the token is still good", func() {}},
		{"the server revokes the token, and the connection is lost", backend.revoke},
	} {
		conn, err := backend.NextConn(ctx)
		if err != nil {
			return err
		}
		<-opened
		say("** %s", scene.text)
		scene.act()
		conn.Cut(wstest.FIN)
	}
	conn, err := backend.NextConn(ctx)
	if err != nil {
		return err
	}
	<-opened
	if err := conn.Ping(ctx); err != nil { // the last connection works as the first did
		return err
	}
	stats := client.Stats()
	say("%d attempts, %d of them opened, with %d tokens", stats.Attempts, stats.Opens, backend.issued())
	return client.Shutdown(ctx) // returns after the callback for the last state
}
