package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wechatws/wechatws/fleet"
)

// settings are the flags that all commands have.
type settings struct {
	url, name                string
	creds, ca, cert, certKey string
	inbox                    string
	timeout                  time.Duration
	json                     bool
}

// command returns the command fleetctl.
func command() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:           "fleetctl",
		Short:         "look at a fleet and change it",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          known,
		// Commands are completed by cobra; there are no other arguments.
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", os.Getenv("NATS_URL"), "where NATS is, several separated by commas (default $NATS_URL)")
	flags.Lookup("url").DefValue = "" // which may hold a password
	flags.StringVar(&s.name, "name", "wechatws", "the fleet's name")
	flags.StringVar(&s.creds, "creds", "", "a NATS credentials file")
	flags.StringVar(&s.ca, "tls-ca", "", "a file with the certificates to trust")
	flags.StringVar(&s.cert, "tls-cert", "", "a file with a client certificate")
	flags.StringVar(&s.certKey, "tls-key", "", "a file with its key")
	flags.StringVar(&s.inbox, "inbox", "", "the prefix of subjects for answers that the NATS user may subscribe to (default _INBOX)")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long each thing may take that is not meant to go on")
	flags.BoolVar(&s.json, "json", false, "write one JSON object a line")
	for _, flag := range []string{"url", "name", "timeout", "inbox"} {
		_ = root.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{discreet(err)} })
	root.AddCommand(s.rooms(), s.workers(), s.add(), s.update(), s.remove(), s.move(), s.drain(), s.tail(), s.watch(), s.send(),
		s.groups(), s.dead(), s.replay(), s.drop(), s.storage(), s.serve())
	return root
}

// known returns an error for a command that does not exist. To print the help instead would look like
// success to a script.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(like, ", "))
	}
	return err
}

// wrongArguments makes the errors of commands about their arguments usage errors.
func wrongArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrongArguments(sub)
	}
}

// discreet returns err without a value that may be a secret: a user may give a secret itself with
// --secret by mistake, and URLs may have passwords.
func discreet(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	switch name := invalid.GetFlag().Name; name {
	case "secret", "url", "endpoint", "option":
		return fmt.Errorf("the value of --%s cannot be used: see --help", name)
	}
	return err
}

// open connects to the fleet, which must exist: fleetctl never creates one.
func (s *settings) open(ctx context.Context) (*fleet.Fleet, error) {
	if s.url == "" {
		return nil, usageError{errors.New("where is NATS? Give --url, or set NATS_URL")}
	}
	if s.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout %v: must be longer than zero", s.timeout)}
	}
	var options []nats.Option
	if s.creds != "" {
		options = append(options, nats.UserCredentials(s.creds))
	}
	if s.ca != "" {
		options = append(options, nats.RootCAs(s.ca))
	}
	if (s.cert == "") != (s.certKey == "") {
		return nil, usageError{errors.New("--tls-cert and --tls-key belong together")}
	}
	if s.cert != "" {
		options = append(options, nats.ClientCert(s.cert, s.certKey))
	}
	if s.inbox != "" {
		options = append(options, nats.CustomInboxPrefix(s.inbox))
	}
	return fleet.Open(ctx, fleet.WithNATS(s.url, options...), fleet.WithName(s.name), fleet.WithExisting())
}

// work is the function of a command, which is called with the fleet.
type work func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error

// run returns the function of a command whose work may take no longer than the timeout.
func (s *settings) run(do work) func(*cobra.Command, []string) error {
	return s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		return s.within(ctx, func(ctx context.Context) error { return do(ctx, c, f, args) })
	})
}

// runOn returns the function of a command whose work may take any time. Parts of the work that have a
// timeout call within.
func (s *settings) runOn(do work) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		var f *fleet.Fleet
		err := s.within(c.Context(), func(ctx context.Context) (err error) {
			f, err = s.open(ctx)
			return err
		})
		if err != nil {
			return err
		}
		defer f.Close()
		return do(c.Context(), c, f, args)
	}
}

// within calls do with a context that ends after the timeout.
func (s *settings) within(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := do(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return fmt.Errorf("%w; --timeout is %v", err, s.timeout)
	}
	return err
}

// exactly is cobra.ExactArgs with an error that says what is missing.
func exactly(what ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(what) {
			return usageError{fmt.Errorf("%s is missing", what[len(args)])}
		}
		if len(args) > len(what) {
			return usageError{fmt.Errorf("%q is too much", args[len(what)])}
		}
		return nil
	}
}

// some accepts one argument or more.
func some(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s is missing", what)}
		}
		return nil
	}
}
