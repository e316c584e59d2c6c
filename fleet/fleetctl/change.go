package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// specFlags are a room's spec on the command line.
type specFlags struct {
	endpoint              string
	ids, options, secrets map[string]string
	file                  string
}

func (p *specFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&p.endpoint, "endpoint", "", "where to connect")
	flags.StringToStringVar(&p.ids, "id", nil, "what the backend knows the room and ourselves by: name=value")
	flags.StringToStringVar(&p.options, "option", nil, "a setting: name=value")
	flags.StringToStringVar(&p.secrets, "secret", nil, "where the worker finds a secret: name=env:VARIABLE or name=file:/path")
	flags.StringVarP(&p.file, "file", "f", "", "a file of specs as JSON: {\"id\":…,\"endpoint\":…,\"ids\":{…},\"options\":{…},\"secrets\":{…}}; - is the standard input")
}

// specs are those of the file, or the one of the flags.
func (p *specFlags) specs(c *cobra.Command, args []string) ([]fleet.Spec, error) {
	if p.file == "" {
		if len(args) != 1 {
			return nil, usageError{errors.New("give one ROOM, or --file")}
		}
		return []fleet.Spec{{ID: args[0], Endpoint: p.endpoint, IDs: p.ids, Options: p.options, Secrets: p.secrets}}, nil
	}
	if len(args) > 0 || p.endpoint != "" || p.ids != nil || p.options != nil || p.secrets != nil {
		return nil, usageError{errors.New("with --file everything is in the file")}
	}
	in := c.InOrStdin()
	if p.file != "-" {
		f, err := os.Open(p.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var specs []fleet.Spec
	for d := json.NewDecoder(in); ; {
		var spec fleet.Spec
		switch err := d.Decode(&spec); {
		case errors.Is(err, io.EOF):
			return specs, nil
		case err != nil:
			return nil, fmt.Errorf("%s, spec %d: %w", p.file, len(specs)+1, err)
		}
		specs = append(specs, spec)
	}
}

func (s *settings) add() *cobra.Command {
	var p specFlags
	c := &cobra.Command{Use: "add ROOM | add -f FILE", Short: "add rooms"}
	p.add(c)
	c.RunE = s.put(&p, "added", fleet.Control.Add)
	return c
}

func (s *settings) update() *cobra.Command {
	var p specFlags
	c := &cobra.Command{
		Use: "update ROOM | update -f FILE", Short: "replace rooms' specs; their connections are made anew",
		ValidArgsFunction: s.completing(roomIDs),
	}
	p.add(c)
	c.RunE = s.put(&p, "updated", fleet.Control.Update)
	return c
}

func (s *settings) put(p *specFlags, done string, put func(fleet.Control, context.Context, fleet.Spec) error) func(*cobra.Command, []string) error {
	return s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		specs, err := p.specs(c, args)
		if err != nil {
			return err
		}
		for i, spec := range specs {
			if err := put(f.Control(), ctx, spec); err != nil {
				return fmt.Errorf("%d of %d %s: %w", i, len(specs), done, err)
			}
			if err := s.say(c, spec.ID, done); err != nil {
				return err
			}
		}
		return nil
	})
}

// say tells what was done with a room or a worker.
func (s *settings) say(c *cobra.Command, name, done string) error {
	if s.json {
		return writeJSON(c.OutOrStdout(), map[string]string{"name": name, "done": done})
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s\n", name, done)
	return err
}

func (s *settings) remove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ROOM…", Short: "remove rooms, and what waits to be sent to them",
		ValidArgsFunction: s.completing(roomIDs),
		RunE: s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("ROOM is missing")}
			}
			for _, room := range args {
				undelivered, err := f.Control().Remove(ctx, room)
				if err != nil {
					return err
				}
				done := "removed"
				if undelivered > 0 {
					done = fmt.Sprintf("removed, with %d messages that were not sent yet", undelivered)
				}
				if err := s.say(c, room, done); err != nil {
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
	c.Flags().BoolVar(&back, "back", false, "leave the room to whoever it belongs to")
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		if back {
			if err := exactly("ROOM")(c, args); err != nil {
				return err
			}
			args = append(args, "")
		}
		if err := exactly("ROOM", "WORKER")(c, args); err != nil {
			return err
		}
		if err := f.Control().Move(ctx, args[0], args[1]); err != nil {
			return err
		}
		done := "is held by " + args[1]
		if back {
			done = "is not kept anywhere any more"
		}
		return s.say(c, args[0], done)
	})
	return c
}

func (s *settings) drain() *cobra.Command {
	var atOnce bool
	c := &cobra.Command{
		Use: "drain WORKER", Short: "have a worker hand over its rooms and end, and wait until it has", Args: exactly("WORKER"),
		ValidArgsFunction: s.completing(workerNames),
	}
	c.Flags().BoolVar(&atOnce, "no-wait", false, "do not wait")
	c.RunE = func(c *cobra.Command, args []string) error {
		// How long it takes is the worker's affair.
		f, err := s.openSoon(c.Context())
		if err != nil {
			return err
		}
		defer f.Close()
		if err := s.soon(c.Context(), func(ctx context.Context) error { return f.Control().Drain(ctx, args[0]) }); err != nil {
			return err
		}
		done := "drains"
		for !atOnce {
			done = "has handed over its rooms and ended"
			var workers []fleet.WorkerStatus
			err := s.soon(c.Context(), func(ctx context.Context) (err error) {
				workers, err = f.Control().Workers(ctx)
				return err
			})
			if err != nil {
				return err
			}
			atOnce = true
			for _, w := range workers {
				atOnce = atOnce && w.Name != args[0]
			}
			if !atOnce {
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(300 * time.Millisecond):
				}
			}
		}
		return s.say(c, args[0], done)
	}
	return c
}

func (s *settings) openSoon(ctx context.Context) (f *fleet.Fleet, err error) {
	err = s.soon(ctx, func(ctx context.Context) error {
		f, err = s.open(ctx)
		return err
	})
	return f, err
}

func (s *settings) soon(ctx context.Context, work func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return work(ctx)
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
		if err := f.SendText(ctx, args[0], args[1], options...); err != nil {
			return err
		}
		return s.say(c, args[0], "gets it")
	})
	return c
}
