package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// clock is the format of times of day.
const clock = "15:04:05.000"

// A messageLine is a message as JSON.
type messageLine struct {
	Room       string          `json:"room"`
	Type       string          `json:"type"`
	Received   time.Time       `json:"received"`
	Worker     string          `json:"worker"`
	Fence      uint64          `json:"fence"`
	Connection int             `json:"connection"`
	Seq        uint64          `json:"seq"`
	Data       json.RawMessage `json:"data,omitempty"`
	Raw        []byte          `json:"raw,omitempty"` // instead of data, when that is not JSON
}

// tail shows the messages that come from a room, until it is interrupted.
func (s *settings) tail() *cobra.Command {
	var types []string
	var count uint
	c := &cobra.Command{
		Use: "tail ROOM", Short: "show the messages that come from a room, until Ctrl-C", Args: exactly("ROOM"),
		ValidArgsFunction: s.completing(roomIDs),
	}
	c.Flags().StringArrayVar(&types, "type", nil, "only messages of this type; may be given several times")
	c.Flags().UintVarP(&count, "count", "n", 0, "end after so many")
	_ = c.RegisterFlagCompletionFunc("type", cobra.NoFileCompletions)
	c.RunE = s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		if err := s.exist(ctx, f, args); err != nil {
			return err
		}
		shown := uint(0)
		for m, err := range f.Tail(ctx, args[0]) {
			switch {
			case ctx.Err() != nil:
				return nil // the normal end
			case err != nil:
				return err
			case len(types) > 0 && !slices.Contains(types, m.Type):
				continue
			}
			if err := s.showMessage(c, m); err != nil {
				return err
			}
			if shown++; shown == count {
				break
			}
		}
		return nil
	})
	return c
}

// exist returns an error for a room that does not exist: its messages and changes would never come.
func (s *settings) exist(ctx context.Context, f *fleet.Fleet, rooms []string) error {
	return s.within(ctx, func(ctx context.Context) error {
		for _, room := range rooms {
			if _, err := f.Control().Get(ctx, room); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *settings) showMessage(c *cobra.Command, m fleet.Message) error {
	asJSON := !m.Binary && json.Valid(m.Data)
	if s.json {
		line := messageLine{
			Room: m.Room, Type: m.Type, Received: m.Received.UTC(),
			Worker: m.Worker, Fence: m.Fence, Connection: m.Connection, Seq: m.Seq, Data: m.Data,
		}
		if !asJSON {
			line.Data, line.Raw = nil, m.Data
		}
		return writeJSON(c.OutOrStdout(), line)
	}
	text := string(m.Data)
	if m.Binary {
		text = fmt.Sprintf("%d bytes", len(m.Data))
	}
	return newTable(c.OutOrStdout(), m.Received.Local().Format(clock), m.Worker, m.Type, text).Flush()
}

// watch shows rooms and their changes, until it is interrupted.
func (s *settings) watch() *cobra.Command {
	var count uint
	c := &cobra.Command{
		Use: "watch [ROOM…]", Short: "show rooms and their workers, and each change, until Ctrl-C",
		ValidArgsFunction: s.completingAll(roomIDs),
	}
	c.Flags().UintVarP(&count, "count", "n", 0, "end after so many lines")
	c.RunE = s.runOn(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		if err := s.exist(ctx, f, args); err != nil {
			return err
		}
		shown := uint(0)
		for r, err := range f.Control().Watch(ctx) {
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			case len(args) > 0 && !slices.Contains(args, r.ID):
				continue
			}
			if err := s.showRoom(c, r); err != nil {
				return err
			}
			if shown++; shown == count {
				break
			}
		}
		return nil
	})
	return c
}

func (s *settings) showRoom(c *cobra.Command, r fleet.Status) error {
	if s.json {
		return writeRoom(c, r)
	}
	what := "has no worker"
	switch {
	case r.Removed:
		what = "is removed"
	case r.Worker != "":
		what = fmt.Sprintf("is held by %s, fence %d", r.Worker, r.Fence)
	}
	if r.Pinned != "" {
		what += ", was moved to " + r.Pinned
	}
	return newTable(c.OutOrStdout(), time.Now().Format(clock), r.ID, what).Flush()
}
