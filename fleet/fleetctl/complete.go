package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// completable is the maximum number of names that a shell receives.
const completable = 1000

// A lister returns the names of rooms or workers.
type lister func(ctx context.Context, f *fleet.Fleet) ([]string, error)

// completing completes arguments from the fleet, each from a list of its own.
func (s *settings) completing(lists ...lister) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(lists) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.complete(c, lists[len(args)], nil, begun)
	}
}

// completingAll completes any number of arguments from one list, each name once.
func (s *settings) completingAll(list lister) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		return s.complete(c, list, args, begun)
	}
}

// complete waits for two seconds at most, since it is called when a key is pressed.
func (s *settings) complete(c *cobra.Command, list lister, but []string, begun string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), min(s.timeout, 2*time.Second))
	defer cancel()
	f, err := s.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	defer f.Close()
	all, err := list(ctx, f)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, name := range all {
		// The shell would take a tab or a newline in a name for a separator.
		if strings.HasPrefix(name, begun) && wechatws.Printable(name) == name && !slices.Contains(but, name) {
			names = append(names, name)
		}
	}
	return names[:min(len(names), completable)], cobra.ShellCompDirectiveNoFileComp
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
	return slices.Compact(names), err
}
