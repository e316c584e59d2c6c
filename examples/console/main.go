// Console is a terminal client for backends of the WeChat live-room kind: JSON text messages
// routed by msg_type. It shows what arrives, sends what you type, and stays connected.
//
// Without flags it starts a small server, which cuts the connection once while you watch.
// With -url it connects to a real one, until Ctrl-C:
//
//	go run .
//	go run . -url wss://live.example.com/ws -room 9527 -name Alice -token secret
//
// A line that you type is a comment, a line that starts with { is sent as it is,
// and a line that starts with / is a command; /help lists them. The arrows up and
// down bring back earlier lines, PgUp and PgDn scroll.
//
// With -plain, or when input or output is no terminal, it prints plain lines and reads the
// same lines from its input, so that it works in a pipe:
//
//	echo '{"msg_type":"join","room_id":7}' | go run . -url wss://live.example.com/ws -for 10s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/wechatws/wechatws"
)

// A config is the flags.
type config struct {
	url, name, token string
	room, live, user string
	runFor           time.Duration
	plain            bool
}

const usage = `Console shows what a live-room backend sends, sends what you type, and stays connected.

Usage: console [flags]

  -url url        the server, ws:// or wss:// (default: a small server of its own)
  -name name      the from_name of your comments
  -room id        join this room on every connection, before anything else is sent,
  -live id        and put the ids into your comments
  -user id
  -token token    log in with {"msg_type":"login","token":…} on every connection
  -for duration   end by itself after so long, such as 30s
  -plain          plain lines and no escape codes, as when it is not in a terminal

What you type, or pipe in:

`

func parseFlags(args []string, out io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		_, _ = io.WriteString(out, usage)
		for _, line := range help {
			_, _ = fmt.Fprintln(out, "  "+line)
		}
	}
	flags.StringVar(&c.url, "url", "", "")
	flags.StringVar(&c.name, "name", "", "")
	flags.StringVar(&c.token, "token", "", "")
	flags.StringVar(&c.room, "room", "", "")
	flags.StringVar(&c.live, "live", "", "")
	flags.StringVar(&c.user, "user", "", "")
	flags.DurationVar(&c.runFor, "for", 0, "")
	flags.BoolVar(&c.plain, "plain", false, "")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	var err error
	switch {
	case flags.NArg() > 0: // not repeated in the error: it may be a token
		err = errors.New("there is an argument after the flags; -h lists the flags")
	case c.room == "" && (c.live != "" || c.user != ""):
		err = errors.New("-live and -user are of no use without -room")
	case c.runFor < 0:
		err = fmt.Errorf("-for %v: must not be below zero", c.runFor)
	}
	if err != nil {
		_, _ = fmt.Fprintln(out, "console:", err)
	}
	return c, err
}

func main() {
	c, err := parseFlags(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	c.plain = c.plain || os.Getenv("TERM") == "dumb" ||
		!term.IsTerminal(os.Stdin.Fd()) || !term.IsTerminal(os.Stdout.Fd())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C closes in order, a second one ends the process at once
	if err := run(ctx, c, os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "console:", newFormatter(c.token).line(err.Error()))
		os.Exit(1)
	}
}

// run runs a session with the plain or the full-screen view, until that or ctx ends.
func run(ctx context.Context, c config, in io.Reader, out io.Writer) error {
	if c.runFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.runFor)
		defer cancel()
	}
	var demo *demoServer
	var options []wechatws.Option
	if c.url == "" {
		demo = startDemo()
		defer demo.Close()
		c.url, options = demo.URL(), demoOptions
	}
	s, err := newSession(c, options...)
	if err != nil {
		return err
	}
	if !c.plain {
		return runScreen(ctx, s, out)
	}
	ends := plainEnds{timed: c.runFor > 0}
	if demo != nil {
		ends.demo = demo.over
	}
	return runPlain(ctx, s, in, out, ends)
}
