package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verbs returns the commands of wechatws. Each has a file of its name.
func verbs() []*cobra.Command {
	return []*cobra.Command{newConnect(), newDoctor(), newServe(), newReplay(), newVersion()}
}

// command returns the command wechatws.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:                        "wechatws",
		Short:                      "connect to a WebSocket backend, stand in for one, and find out what one needs",
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       known,
		// Commands are completed by cobra; there are no other arguments.
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().Bool("json", false, "write one JSON object a line")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{discreet(err)} })
	root.AddCommand(verbs()...)
	return root
}

// asJSON reports whether --json was given.
func asJSON(c *cobra.Command) bool {
	given, _ := c.Flags().GetBool("json")
	return given
}

// known returns an error for a command that does not exist. To print the help instead would look like
// success to a script.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if strings.Contains(args[0], "://") { // which is not repeated: it may hold a secret
		return errors.New("the command is missing before the URL: connect or doctor")
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

// discreet returns err without the value of a flag, which may be a secret.
func discreet(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	return fmt.Errorf("the value of --%s cannot be used: see --help", invalid.GetFlag().Name)
}

// exactly is cobra.ExactArgs with an error that says what is missing.
func exactly(what ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(what) {
			return fmt.Errorf("%s is missing", what[len(args)])
		}
		if len(args) > len(what) { // which is not repeated: it may be a secret
			return fmt.Errorf("%d arguments are too much: there is only %s", len(args), strings.Join(what, " "))
		}
		return nil
	}
}
