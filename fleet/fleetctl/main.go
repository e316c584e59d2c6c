// Fleetctl shows and changes a fleet: its rooms, its workers, and the messages of a room.
// docs/fleet-operating.md describes how to install it, and its output.
//
//	export NATS_URL=nats://nats-0,nats-1,nats-2
//	fleetctl rooms
//
// The exit code is 0, 1 if the command failed, 2 if the command line was wrong, and 130 if the command
// was interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
)

// Exit codes.
const (
	done        = 0
	failed      = 1
	wrong       = 2
	interrupted = 130 // as in a shell after SIGINT
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, command())
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, c *cobra.Command) (code int) {
	c.InitDefaultHelpCmd() // before wrongArguments; cobra would add these two in ExecuteContext
	c.InitDefaultCompletionCmd()
	wrongArguments(c)
	err := c.ExecuteContext(ctx)
	if err == nil {
		return done
	}
	fmt.Fprintln(c.ErrOrStderr(), "fleetctl:", wechatws.Printable(err.Error()))
	switch {
	case ctx.Err() != nil:
		return interrupted
	case isWrong(err):
		return wrong
	}
	return failed
}

// isWrong reports whether err is about the command line.
func isWrong(err error) bool {
	var usage usageError
	var option *wechatws.OptionError
	return errors.As(err, &usage) || errors.As(err, &option)
}

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
