package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/standin"
)

type replayFlags struct {
	standin.Replay
	runFor time.Duration
	pings  bool
}

func newReplay() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "serve a recorded session again",
		Long: `Replay serves a session that connect --record has recorded: each handshake gets what the next attempt
of the recording got, and then the messages with their timing. It ends after the last
attempt.`,
		Example: `  wechatws connect wss://live.example.com/ws --token env:TOKEN --record session.jsonl
  wechatws replay session.jsonl --speed 10
  wechatws connect ws://127.0.0.1:9527`,
		Args:              exactly("FILE"),
		ValidArgsFunction: files,
		RunE:              f.run,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.Addr, "addr", "127.0.0.1:9527", "the address to listen on")
	flags.Float64Var(&f.Speed, "speed", 1, "2 is twice as fast; 0 does not wait")
	flags.BoolVar(&f.InStep, "in-step", false, "send a message only after the client has sent as many as it had sent before it; heartbeats do not count")
	flags.BoolVar(&f.AnyOrigin, "any-origin", false, "serve pages of other sites, too, which can then read the recording")
	flags.DurationVar(&f.runFor, "for", 0, "end after this time (default never)")
	flags.BoolVar(&f.pings, "pings", false, "show protocol pings, too")
	for _, flag := range []string{"addr", "speed", "for"} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	return c
}

// files completes one argument with files.
func files(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func (f *replayFlags) run(c *cobra.Command, args []string) error {
	switch {
	case f.Speed != 0 && !(f.Speed >= 1e-3 && f.Speed <= 1e6): // NaN too
		return usage("--speed %v: must be 0, or from 0.001 to 1e6", f.Speed)
	case f.runFor < 0:
		return wrongFlag("for", f.runFor.String(), "must be zero or longer")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return usage("%w", err)
	}
	defer file.Close()
	if f.Recording, err = recording.Read(file); err != nil {
		return usage("%s: %w", args[0], err)
	}
	if len(f.Attempts) == 0 {
		return usage("%s: there is no attempt to connect in it", args[0])
	}
	ctx := c.Context()
	if f.runFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.runFor)
		defer cancel()
	}
	f.Log = &standin.Log{Out: c.OutOrStdout(), JSON: asJSON(c), Pings: f.pings}
	f.Log.Note("recorded at %s: %s, %d attempts", f.Started.Format(time.RFC3339), f.URL, len(f.Attempts))
	if f.Incomplete > 0 {
		f.Log.Note("%d messages are incomplete: they were longer than a recording has", f.Incomplete)
	}
	if f.Cut {
		f.Log.Note("the last line of the recording is incomplete, and left out")
	}
	return f.Run(ctx)
}
