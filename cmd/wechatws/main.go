// Wechatws is the command of the library wechatws: it connects to a backend, finds out what one needs,
// stands in for one, and serves a recorded session again. docs/command.md describes it.
//
//	wechatws connect wss://live.example.com/ws
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
	"slices"
	"strings"
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
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := execute(ctx, command(), os.Args[1:])
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, c *cobra.Command, args []string) (code int) {
	c.SetArgs(spelled(args))
	c.InitDefaultHelpCmd() // before wrongArguments; cobra would add these two in ExecuteContext
	c.InitDefaultCompletionCmd()
	wrongArguments(c)
	err := c.ExecuteContext(ctx)
	if err == nil {
		return done
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // that of New has several
		fmt.Fprintln(c.ErrOrStderr(), "wechatws:", wechatws.Printable(line))
	}
	switch {
	case ctx.Err() != nil:
		return interrupted
	case isWrong(err):
		return wrong
	}
	return failed
}

// spelled returns args with --json for -json, as people know it from the go command. pflag would read four
// flags of one letter.
func spelled(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if arg == "-json" {
			args[i] = "--json"
		}
	}
	return args
}

// isWrong reports whether err is about the command line.
func isWrong(err error) bool {
	var usage usageError
	var option *wechatws.OptionError
	return errors.As(err, &usage) || errors.As(err, &option)
}

// A usageError is an error of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
