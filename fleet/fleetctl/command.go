package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// settings are the flags of all commands.
type settings struct {
	url, name                string
	creds, ca, cert, certKey string
	timeout                  time.Duration
	json                     bool
}

// command is fleetctl.
func command() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:           "fleetctl",
		Short:         "look at a fleet and change it",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", os.Getenv("NATS_URL"), "where NATS is, several separated by commas (default $NATS_URL)")
	flags.Lookup("url").DefValue = "" // which may hold a password
	flags.StringVar(&s.name, "name", "wechatws", "the fleet's name")
	flags.StringVar(&s.creds, "creds", "", "a NATS credentials file")
	flags.StringVar(&s.ca, "tls-ca", "", "a file with the certificates to trust")
	flags.StringVar(&s.cert, "tls-cert", "", "a file with a client certificate")
	flags.StringVar(&s.certKey, "tls-key", "", "a file with its key")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long anything may take that is not meant to go on")
	flags.BoolVar(&s.json, "json", false, "write one JSON object a line")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(s.rooms(), s.workers(), s.add(), s.update(), s.remove(), s.move(), s.drain(), s.tail(), s.send())
	return root
}

// open connects to the fleet, which must be there: who only looks must not make one.
func (s *settings) open(ctx context.Context) (*fleet.Fleet, error) {
	if s.url == "" {
		return nil, usageError{errors.New("where is NATS? Give --url, or set NATS_URL")}
	}
	var options []nats.Option
	if s.creds != "" {
		options = append(options, nats.UserCredentials(s.creds))
	}
	if s.ca != "" {
		options = append(options, nats.RootCAs(s.ca))
	}
	if s.cert != "" || s.certKey != "" {
		options = append(options, nats.ClientCert(s.cert, s.certKey))
	}
	return fleet.Open(ctx, fleet.Config{URL: s.url, Name: s.name, NATS: options, Existing: true})
}

// run makes a command's work out of a function that has the fleet, for no longer than the
// timeout.
func (s *settings) run(work func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeoutCause(c.Context(), s.timeout, fmt.Errorf("no answer within %v (see --timeout)", s.timeout))
		defer cancel()
		f, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer f.Close()
		return work(ctx, c, f, args)
	}
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

// completing completes arguments out of what the fleet has.
func (s *settings) completing(lists ...func(ctx context.Context, f *fleet.Fleet) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(lists) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
		defer cancel()
		f, err := s.open(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer f.Close()
		names, err := lists[len(args)](ctx, f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func roomIDs(ctx context.Context, f *fleet.Fleet) ([]string, error) {
	rooms, err := f.Control().List(ctx)
	ids := make([]string, 0, len(rooms))
	for _, r := range rooms {
		ids = append(ids, r.ID)
	}
	return ids, err
}

func workerNames(ctx context.Context, f *fleet.Fleet) ([]string, error) {
	workers, err := f.Control().Workers(ctx)
	names := make([]string, 0, len(workers))
	for _, w := range workers {
		names = append(names, w.Name)
	}
	return names, err
}
