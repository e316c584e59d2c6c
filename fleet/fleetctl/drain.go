package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

func (s *settings) drain() *cobra.Command {
	var atOnce bool
	c := &cobra.Command{
		Use: "drain WORKER", Short: "have a worker hand over its rooms and end, and wait until it has", Args: exactly("WORKER"),
		ValidArgsFunction: s.completing(workerNames),
	}
	c.Flags().BoolVar(&atOnce, "no-wait", false, "do not wait")
	c.RunE = s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		name := args[0]
		// A service manager may start the worker again at once, with the same name. So the
		// worker has ended when its sessions have ended.
		var before map[string]bool
		err := s.within(ctx, func(ctx context.Context) (err error) {
			if before, err = sessions(ctx, f, name); err != nil {
				return err
			}
			return f.Control().Drain(ctx, name)
		})
		if err != nil {
			return err
		}
		if atOnce {
			return s.say(c, deed{Worker: name, Done: "draining"}, "%s drains", name)
		}
		if err := s.untilGone(ctx, f, name, before); err != nil {
			return err
		}
		return s.say(c, deed{Worker: name, Done: "drained"}, "%s has handed over its rooms and ended", name)
	})
	return c
}

// untilGone waits until none of these sessions exists any more. It has no timeout for the worker; it
// returns an error when NATS cannot be reached for longer than the timeout.
func (s *settings) untilGone(ctx context.Context, f *fleet.Fleet, name string, before map[string]bool) error {
	heard := time.Now()
	for {
		var now map[string]bool
		err := s.within(ctx, func(ctx context.Context) (err error) {
			now, err = sessions(ctx, f, name)
			return err
		})
		switch {
		case err == nil:
			heard = time.Now()
			if !overlap(before, now) {
				return nil
			}
		case ctx.Err() != nil || time.Since(heard) > s.timeout:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// sessions returns the sessions of workers with this name.
func sessions(ctx context.Context, f *fleet.Fleet, name string) (map[string]bool, error) {
	workers, err := f.Control().Workers(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, w := range workers {
		if w.Name == name {
			found[w.Session] = true
		}
	}
	return found, nil
}

func overlap(a, b map[string]bool) bool {
	for key := range a {
		if b[key] {
			return true
		}
	}
	return false
}
