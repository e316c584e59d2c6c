package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/cmd/wechatws/internal/console"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/redact"
)

// connectFlags are the flags of connect, besides the client's.
type connectFlags struct {
	clientFlags
	console.Config
	record        string
	recordLimit   int64
	recordSecrets bool
}

func newConnect() *cobra.Command {
	var f connectFlags
	c := &cobra.Command{
		Use:   "connect URL",
		Short: "show what a backend sends, send what you type, and stay connected",
		Long: `Connect shows what a backend sends, sends what you type, and stays connected until Ctrl-C.
In a pipe it prints lines, and reads the same lines from its input. Type:

  ` + strings.Join(console.Commands(), "\n  ") + `

` + secretHelp,
		Example: `  wechatws connect --demo
  wechatws connect wss://live.example.com/ws --room 9527 --name Alice --token env:TOKEN
  wechatws connect ws://127.0.0.1:9527 --record session.jsonl
  echo '{"msg_type":"join","room_id":7}' | wechatws connect ws://127.0.0.1:9527 --for 10s --json`,
		Args:              f.arguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              f.run,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.Endpoints, "endpoint", nil, "the URL of another server of the same service, which is tried when URL has failed; may be given several times")
	flags.StringVar(&f.Name, "name", "", "the from_name of your comments")
	flags.StringVar(&f.Room, "room", "", "join this live room on every connection, and put the ids into your comments")
	flags.StringVar(&f.Live, "live", "", "the live_id of --room")
	flags.StringVar(&f.User, "user", "", "the from_uid of --room")
	flags.DurationVar(&f.For, "for", 0, "end after this time (default never)")
	flags.BoolVar(&f.Plain, "plain", false, "print lines without escape codes, also on a terminal")
	flags.BoolVar(&f.Demo, "demo", false, "connect to a small server in this process, which cuts the connection once")
	flags.StringVar(&f.record, "record", "", "record the session in this new file, for replay; without secrets")
	flags.Int64Var(&f.recordLimit, "record-limit", 64<<20, "the largest size of the recording, in bytes")
	flags.BoolVar(&f.recordSecrets, "record-secrets", false, "record the login and the header too")
	for _, flag := range []string{"endpoint", "name", "room", "live", "user", "for", "record-limit"} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	f.clientFlags.add(c)
	return c
}

func (f *connectFlags) arguments(_ *cobra.Command, args []string) error {
	switch {
	case f.Demo && len(args) > 0:
		return errors.New("--demo has a server of its own: leave the URL out")
	case f.Demo:
		return nil
	case len(args) == 0:
		return errors.New("URL is missing; --demo shows what connect does, without one")
	}
	return exactly("URL")(nil, args)
}

func (f *connectFlags) run(c *cobra.Command, args []string) error {
	switch {
	case f.Demo && len(f.Endpoints) > 0:
		return usage("--demo and --endpoint exclude each other")
	case f.Room == "" && (f.Live != "" || f.User != ""):
		return usage("--live and --user are of no use without --room")
	case f.For < 0:
		return wrongFlag("for", f.For.String(), "must be zero or longer")
	case f.recordLimit < 4<<10:
		return wrongFlag("record-limit", fmt.Sprint(f.recordLimit), "must be 4096 bytes or more")
	case f.record == "" && changed(c.Flags(), "record-limit", "record-secrets"):
		return usage("--record-limit and --record-secrets are of no use without --record")
	}
	s, err := f.setup()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if f.URL, err = urlOf(args[0]); err != nil {
			return err
		}
		s.secrets = append(s.secrets, secretsInURL(f.URL)...)
	}
	for i, endpoint := range f.Endpoints {
		if f.Endpoints[i], err = secretOf("endpoint", endpoint); err != nil {
			return err
		}
		s.secrets = append(s.secrets, secretsInURL(f.Endpoints[i])...)
	}
	f.Options, f.Secrets, f.JSON = s.options, s.secrets, asJSON(c)
	if !f.Demo { // the command line is checked before a file is made
		if err := f.Check(); err != nil {
			return inFlags(err)
		}
	}
	f.Plain = f.Plain || os.Getenv("TERM") == "dumb" || !isTerminal(c.InOrStdin()) || !isTerminal(c.OutOrStdout())

	hide := redact.New(s.secrets...)
	if f.record != "" {
		file, err := os.OpenFile(f.record, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return wrongFlag("record", f.record, "must be a file that can be made: "+err.Error())
		}
		defer file.Close()
		f.Record = file
		f.Recording = recording.Config{Limit: f.recordLimit, Login: []byte(s.login), Heartbeat: []byte(s.heartbeat)}
		if !f.recordSecrets {
			f.Recording.Secrets = hide
		}
	}
	err = console.Run(c.Context(), f.Config, c.InOrStdin(), c.OutOrStdout())
	if err != nil {
		return hiddenError{err, hide.Replace(err.Error())}
	}
	return nil
}

// isTerminal reports whether a stream of a command is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(f.Fd())
}

// A hiddenError is an error whose text has no secrets.
type hiddenError struct {
	error
	text string
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.error }
