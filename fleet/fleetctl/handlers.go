package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// groups lists groups of handlers.
func (s *settings) groups() *cobra.Command {
	return &cobra.Command{
		Use: "groups", Short: "list groups of handlers and how far behind they are", Args: exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
			list, err := f.Control().Groups(ctx)
			if err != nil {
				return err
			}
			t := table{}
			if !s.json {
				t = newTable(c.OutOrStdout(), "GROUP", "PROCESSES", "PARTITIONS", "FREE", "LAG", "ROOMS BEHIND")
				defer t.Flush()
			}
			for _, g := range list {
				if s.json {
					if err := writeJSON(c.OutOrStdout(), g); err != nil {
						return err
					}
					continue
				}
				t.row(g.Name, strconv.Itoa(g.Processes), strconv.Itoa(g.Partitions), strconv.Itoa(g.Free), strconv.FormatUint(g.Lag, 10), strconv.Itoa(g.Behind))
			}
			return nil
		}),
	}
}

// A deadLine is a dead letter as JSON.
type deadLine struct {
	ID       uint64          `json:"id"`
	Group    string          `json:"group"`
	Time     time.Time       `json:"time"`
	Reason   string          `json:"reason"`
	Attempts int             `json:"attempts"`
	Room     string          `json:"room"`
	Type     string          `json:"type"`
	Seq      uint64          `json:"seq"`
	Received time.Time       `json:"received"`
	Data     json.RawMessage `json:"data,omitempty"`
	Raw      []byte          `json:"raw,omitempty"` // instead of data, when that is not JSON
}

// dead lists dead letters.
func (s *settings) dead() *cobra.Command {
	var group string
	var full bool
	c := &cobra.Command{
		Use: "dead", Short: "list messages that were given up, the oldest first; those to rooms have no group", Args: exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().StringVar(&group, "group", "", "only those of this group")
	c.Flags().BoolVar(&full, "data", false, "show the messages themselves, too; --json always does")
	_ = c.RegisterFlagCompletionFunc("group", cobra.NoFileCompletions)
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
		t := table{}
		if !s.json {
			t = newTable(c.OutOrStdout(), "ID", "GROUP", "TIME", "ROOM", "TYPE", "SEQ", "ATTEMPTS", "REASON")
			defer t.Flush()
		}
		for d, err := range f.Control().DeadLetters(ctx) {
			switch {
			case err != nil:
				return err
			case group != "" && d.Group != group:
				continue
			}
			if s.json {
				line := deadLine{
					ID: d.ID, Group: d.Group, Time: d.Time.UTC(), Reason: d.Reason, Attempts: d.Attempt,
					Room: d.Room, Type: d.Type, Seq: d.Seq, Received: d.Received.UTC(), Data: d.Data,
				}
				if d.Binary || !json.Valid(d.Data) {
					line.Data, line.Raw = nil, d.Data
				}
				if err := writeJSON(c.OutOrStdout(), line); err != nil {
					return err
				}
				continue
			}
			row := []string{
				strconv.FormatUint(d.ID, 10), d.Group, d.Time.Local().Format(time.DateTime), d.Room, d.Type,
				strconv.FormatUint(d.Seq, 10), strconv.Itoa(d.Attempt), d.Reason,
			}
			if full {
				row = append(row, string(d.Data))
			}
			t.row(row...)
		}
		return nil
	})
	return c
}

// replay gives dead letters to their groups or rooms again.
func (s *settings) replay() *cobra.Command {
	return s.onDead("replay", "give dead letters to the handlers of their groups, or to their rooms, again", "replayed", fleet.Control.Replay)
}

// drop removes dead letters.
func (s *settings) drop() *cobra.Command {
	return s.onDead("drop", "remove dead letters", "dropped", fleet.Control.Drop)
}

// onDead returns a command that does something with dead letters.
func (s *settings) onDead(name, what, past string, do func(c fleet.Control, ctx context.Context, id uint64) error) *cobra.Command {
	var all bool
	var group string
	c := &cobra.Command{
		Use: name + " ID… | " + name + " --all", Short: what,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&all, "all", false, "all that there are now")
	c.Flags().StringVar(&group, "group", "", "with --all: of this group")
	_ = c.RegisterFlagCompletionFunc("group", cobra.NoFileCompletions)
	c.Args = func(c *cobra.Command, args []string) error {
		switch {
		case all:
			return exactly()(c, args)
		case group != "":
			return usageError{errors.New("--group is for --all")}
		}
		return some("ID")(c, args)
	}
	c.RunE = s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		ids, err := deadIDs(args)
		if err != nil {
			return err
		}
		if all {
			if ids, err = s.allDead(ctx, f, group); err != nil {
				return err
			}
		}
		for _, id := range ids {
			err := s.within(ctx, func(ctx context.Context) error { return do(f.Control(), ctx, id) })
			if err != nil {
				return err
			}
			if err := s.say(c, deed{DeadLetter: id, Done: past}, "dead letter %d is %s", id, past); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

func deadIDs(args []string) (ids []uint64, err error) {
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, usageError{fmt.Errorf("%q is not the ID of a dead letter: a number", arg)}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// allDead returns the IDs of all dead letters of a group, or of all groups.
func (s *settings) allDead(ctx context.Context, f *fleet.Fleet, group string) (ids []uint64, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		for d, err := range f.Control().DeadLetters(ctx) {
			if err != nil {
				return err
			}
			if group == "" || d.Group == group {
				ids = append(ids, d.ID)
			}
		}
		return nil
	})
	return ids, err
}
