// Fleetctl looks at a fleet and changes it: its rooms, its workers, and what is said in a
// room. docs/fleet-operating.md tells how to install it, and what it writes.
//
//	export NATS_URL=nats://nats-0,nats-1,nats-2
//	fleetctl rooms
//
// It ends with 0 when it has done what it was asked, with 1 when that failed, with 2 when it
// was asked wrongly, and with 130 when it was interrupted before it was done.
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

// What it ends with.
const (
	done        = 0
	failed      = 1
	wrong       = 2
	interrupted = 130 // as a shell has it of a program that SIGINT ended
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, command())
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, c *cobra.Command) (code int) {
	c.InitDefaultHelpCmd() // cobra's own, which would come later
	c.InitDefaultCompletionCmd()
	wrongArguments(c)
	err := c.ExecuteContext(ctx)
	if err == nil {
		return done
	}
	fmt.Fprintln(c.ErrOrStderr(), "fleetctl:", harmless(err.Error()))
	switch {
	case ctx.Err() != nil:
		return interrupted
	case isWrong(err):
		return wrong
	}
	return failed
}

// isWrong tells what the user has to mend on the command line.
func isWrong(err error) bool {
	var usage usageError
	var option *wechatws.OptionError
	return errors.As(err, &usage) || errors.As(err, &option)
}

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
