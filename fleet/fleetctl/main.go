// Fleetctl looks at a fleet and changes it: its rooms, its workers, and what is said in a
// room.
//
//	go install github.com/wechatws/wechatws/fleet/fleetctl@latest
//	export NATS_URL=nats://nats-0,nats-1,nats-2
//	fleetctl rooms
//
// It ends with 0 when it has done what it was asked, with 1 when that failed, and with 2
// when it was asked wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/wechatws/wechatws"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	switch {
	case err == nil || errors.Is(err, context.Canceled):
	case isWrong(err):
		fmt.Fprintln(os.Stderr, "fleetctl:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "fleetctl:", err)
		os.Exit(1)
	}
}

// isWrong tells what the user has to mend on the command line.
func isWrong(err error) bool {
	var usage usageError
	var option *wechatws.OptionError
	return errors.As(err, &usage) || errors.As(err, &option)
}

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
