// Package scene is the script that a migration recipe runs twice, with the old program and
// with the new one: a login, a message, an outage during which the program sends, and a
// half-open connection.
package scene

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A Client is the old or the new program.
type Client interface {
	// Run stays connected, and blocks until ctx ends.
	Run(ctx context.Context) error
	// Say sends a comment.
	Say(ctx context.Context, text string) error
}

// The times are for a demo of a few seconds. Use ten times as much.
const (
	Retry = 200 * time.Millisecond  // between attempts
	Ping  = 300 * time.Millisecond  // between pings
	Dead  = 1000 * time.Millisecond // silence after which the connection is half-open
)

// Patience is how long the script waits for an event that may not happen.
const Patience = 2500 * time.Millisecond

// Play runs the script, and prints what the server sees of the client. It blocks until the
// script is over and c.Run has returned.
func Play(ctx context.Context, out io.Writer, server *wstest.Server, c Client) error {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { over <- c.Run(ctx) }()
	defer func() { cancel(); <-over }()

	conn, err := enter(ctx, out, server)
	if err != nil {
		return err
	}
	for _, text := range []string{`no JSON`, `{"msg_type":"message","content":"welcome"}`} {
		if err := conn.Send(text); err != nil {
			return err
		}
	}
	pause(ctx, Ping)

	fmt.Fprintln(out, "** the server is away")
	server.Stop(wstest.RST)
	pause(ctx, 3*Retry)
	fmt.Fprintln(out, "sends during the outage:", c.Say(ctx, "is anybody there?"))
	fmt.Fprintln(out, "** the server is back")
	server.Start()
	if conn, err = enter(ctx, out, server); err != nil {
		return err
	}
	if said, err := hear(ctx, conn); err != nil {
		fmt.Fprintln(out, "its message is lost")
	} else {
		fmt.Fprintln(out, "received now:", said)
	}

	fmt.Fprintln(out, "** the connection becomes half-open")
	conn.Blackhole(true)
	waiting, done := context.WithTimeout(ctx, Patience)
	defer done()
	if next, err := server.NextConn(waiting); err != nil {
		fmt.Fprintln(out, "not noticed")
	} else if err := next.Ping(waiting); err != nil {
		return err
	} else {
		fmt.Fprintln(out, "noticed, and connected again")
	}
	conn.Blackhole(false)
	return nil
}

// enter waits until the client has connected and logged in.
func enter(ctx context.Context, out io.Writer, server *wstest.Server) (*wstest.Conn, error) {
	conn, err := server.NextConn(ctx)
	if err != nil {
		return nil, err
	}
	first, err := hear(ctx, conn)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(first, `{"msg_type":"login"`) {
		return nil, fmt.Errorf("no login, but %s", first)
	}
	fmt.Fprintln(out, "connected, and logged in")
	return conn, nil
}

// hear returns the next message of the client that is no heartbeat.
func hear(ctx context.Context, conn *wstest.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience/2)
	defer cancel()
	for {
		m, err := conn.Receive(ctx)
		if err != nil || m.Text() != `{"msg_type":"ping"}` {
			return strings.TrimSpace(m.Text()), err
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
