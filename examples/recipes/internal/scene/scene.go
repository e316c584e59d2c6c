// Package scene is what the two programs of a migration recipe go through, the old one
// and the new one: a login, a message, an outage with something to say in it, and a
// server that falls silent.
package scene

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A Client is the program, old or new.
type Client interface {
	// Run stays connected until ctx ends.
	Run(ctx context.Context) error
	// Say says something in the room.
	Say(ctx context.Context, text string) error
}

// The tempo, for programs that must be over within seconds. Yours is ten times as slow.
const (
	Retry = 200 * time.Millisecond  // between attempts
	Ping  = 300 * time.Millisecond  // between pings
	Dead  = 1000 * time.Millisecond // of silence
)

// Patience is how long the scene waits for what may not happen.
const Patience = 2500 * time.Millisecond

// Play plays it, and prints what the server sees of the client.
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
	fmt.Fprintln(out, "says something meanwhile:", c.Say(ctx, "is anybody there?"))
	fmt.Fprintln(out, "** the server is back")
	server.Start()
	if conn, err = enter(ctx, out, server); err != nil {
		return err
	}
	if said, err := hear(ctx, conn); err != nil {
		fmt.Fprintln(out, "what it has said is lost")
	} else {
		fmt.Fprintln(out, "heard now:", said)
	}

	fmt.Fprintln(out, "** the server falls silent, and the connection stays")
	conn.Blackhole(true)
	waiting, done := context.WithTimeout(ctx, Patience)
	defer done()
	if next, err := server.NextConn(waiting); err != nil {
		fmt.Fprintln(out, "nobody has noticed")
	} else if err := next.Ping(waiting); err != nil {
		return err
	} else {
		fmt.Fprintln(out, "noticed, and connected anew")
	}
	conn.Blackhole(false)
	return nil
}

// enter waits for the client to connect and log in.
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

// hear is what the client says next, heartbeats aside.
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
