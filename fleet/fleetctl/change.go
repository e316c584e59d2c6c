package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

func (s *settings) add() *cobra.Command {
	var p specFlags
	var missing bool
	c := &cobra.Command{
		Use: "add ROOM | add -f FILE", Short: "add rooms",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	p.add(c)
	c.Flags().BoolVar(&missing, "missing", false, "leave rooms as they are that are there already, instead of ending with an error")
	c.RunE = s.put(&p, "added", func(ctx context.Context, control fleet.Control, spec fleet.Spec) (string, error) {
		err := control.Add(ctx, spec)
		if missing && errors.Is(err, fleet.ErrRoomExists) {
			return "there", nil
		}
		return "added", err
	})
	return c
}

func (s *settings) update() *cobra.Command {
	var p specFlags
	c := &cobra.Command{
		Use: "update ROOM | update -f FILE", Short: "replace rooms' specs; their connections are made anew",
		Long: "Update replaces rooms' specs, and their connections are made anew. What is not given is gone: IDs, options and\n" +
			"references to secrets, too.",
		ValidArgsFunction: s.completing(roomIDs),
	}
	p.add(c)
	c.Args = func(c *cobra.Command, _ []string) error {
		if !slices.ContainsFunc([]string{"file", "endpoint", "id", "option", "secret"}, c.Flags().Changed) {
			return usageError{errors.New("give the whole spec with --endpoint, --id, --option and --secret, or --file: what is not given is gone")}
		}
		return nil
	}
	c.RunE = s.put(&p, "updated", func(ctx context.Context, control fleet.Control, spec fleet.Spec) (string, error) {
		return "updated", control.Update(ctx, spec)
	})
	return c
}

// put returns the function of a command that calls put with each spec, one after the other. The error says
// for how many rooms it succeeded.
func (s *settings) put(p *specFlags, all string, put func(context.Context, fleet.Control, fleet.Spec) (done string, err error)) func(*cobra.Command, []string) error {
	return s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		specs, err := p.specs(c, args)
		if err != nil {
			return err
		}
		for i, spec := range specs {
			d := deed{Room: spec.ID}
			err := s.within(ctx, func(ctx context.Context) (err error) {
				d.Done, err = put(ctx, f.Control(), spec)
				return err
			})
			if err != nil && len(specs) > 1 {
				err = fmt.Errorf("%d of %d %s; then %q: %w", i, len(specs), all, spec.ID, err)
			}
			if err != nil {
				return err
			}
			words := "%s " + d.Done
			if d.Done == "there" {
				words = "%s is there already"
			}
			if err := s.say(c, d, words, spec.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *settings) remove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ROOM…", Short: "remove rooms, and what waits to be sent to them", Args: some("ROOM"),
		ValidArgsFunction: s.completingAll(roomIDs),
		RunE: s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
			for _, room := range args {
				d := deed{Room: room, Done: "removed"}
				err := s.within(ctx, func(ctx context.Context) (err error) {
					d.Undelivered, err = f.Control().Remove(ctx, room)
					return err
				})
				if err != nil {
					return err
				}
				words := "%s removed"
				if d.Undelivered > 0 {
					words += fmt.Sprintf(", and with it %d messages that had not been sent", d.Undelivered)
				}
				if err := s.say(c, d, words, room); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func (s *settings) move() *cobra.Command {
	var back bool
	c := &cobra.Command{
		Use: "move ROOM WORKER | move --back ROOM", Short: "have a worker hold a room, and wait until it does",
		ValidArgsFunction: s.completing(roomIDs, workerNames),
	}
	c.Flags().BoolVar(&back, "back", false, "end a move: the room goes to the worker that it belongs to")
	c.Args = func(c *cobra.Command, args []string) error {
		if back {
			return exactly("ROOM")(c, args)
		}
		return exactly("ROOM", "WORKER")(c, args)
	}
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		if back {
			if err := f.Control().Move(ctx, args[0], ""); err != nil {
				return err
			}
			return s.say(c, deed{Room: args[0], Done: "unpinned"}, "%s is not kept anywhere any more", args[0])
		}
		if err := f.Control().Move(ctx, args[0], args[1]); err != nil {
			return err
		}
		return s.say(c, deed{Room: args[0], Worker: args[1], Done: "moved"}, "%s is held by %s", args[0], args[1])
	})
	return c
}

func (s *settings) send() *cobra.Command {
	var expire time.Duration
	c := &cobra.Command{
		Use: "send ROOM JSON", Short: "send a message to a room", Args: exactly("ROOM", "JSON"),
		ValidArgsFunction: s.completing(roomIDs),
	}
	c.Flags().DurationVar(&expire, "expire", 0, "throw it away when it is not delivered by then (default never)")
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		if !json.Valid([]byte(args[1])) {
			return usageError{errors.New("the message is not JSON")}
		}
		var options []fleet.SendOption
		if expire != 0 {
			options = append(options, fleet.ExpireAfter(expire))
		}
		if err := f.Send(ctx, args[0], wechatws.Text(args[1]), options...); err != nil {
			return err
		}
		return s.say(c, deed{Room: args[0], Done: "sent"}, "%s gets it", args[0])
	})
	return c
}
