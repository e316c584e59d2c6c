package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// rooms lists rooms.
func (s *settings) rooms() *cobra.Command {
	var worker string
	var free bool
	c := &cobra.Command{
		Use: "rooms [ROOM…]", Short: "list rooms and who holds them",
		ValidArgsFunction: s.completing(roomIDs),
	}
	c.Flags().StringVar(&worker, "worker", "", "only rooms that this worker holds")
	c.Flags().BoolVar(&free, "free", false, "only rooms that nobody holds")
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		var list []fleet.Status
		var err error
		for _, room := range args {
			one, err := f.Control().Get(ctx, room)
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		if len(args) == 0 {
			if list, err = f.Control().List(ctx); err != nil {
				return err
			}
		}
		t := table{}
		if !s.json {
			t = newTable(c.OutOrStdout(), "ROOM", "WORKER", "FOR", "FENCE", "MOVED TO", "ENDPOINT")
			defer t.Flush()
		}
		for _, r := range list {
			if worker != "" && r.Worker != worker || free && r.Worker != "" {
				continue
			}
			if s.json {
				if r.Endpoint != "" {
					r.Endpoint = place(r.Endpoint)
				}
				if err := writeJSON(c.OutOrStdout(), r); err != nil {
					return err
				}
				continue
			}
			fence := ""
			if r.Fence > 0 {
				fence = strconv.FormatUint(r.Fence, 10)
			}
			t.row(r.ID, r.Worker, ago(r.Since), fence, r.Pinned, place(r.Endpoint))
		}
		return nil
	})
	_ = c.RegisterFlagCompletionFunc("worker", s.completing(workerNames))
	return c
}

// A workerLine is what is told of a worker as JSON.
type workerLine struct {
	fleet.WorkerStatus
	Stats *fleet.WorkerStats `json:"stats,omitempty"` // absent: it does not answer
}

// workers lists workers, with what they say of themselves.
func (s *settings) workers() *cobra.Command {
	return &cobra.Command{
		Use: "workers", Short: "list workers and what they do", Args: exactly(),
		RunE: s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
			list, err := f.Control().Workers(ctx)
			if err != nil {
				return err
			}
			t := table{}
			if !s.json {
				t = newTable(c.OutOrStdout(), "WORKER", "HOST", "PID", "UP", "STATE", "ROOMS", "OPEN", "IN", "OUT", "ERRORS")
				defer t.Flush()
			}
			for _, w := range list {
				line := workerLine{WorkerStatus: w}
				if stats, err := f.Control().Stats(ctx, w.Name); err == nil {
					line.Stats = &stats
				}
				if s.json {
					if err := writeJSON(c.OutOrStdout(), line); err != nil {
						return err
					}
					continue
				}
				cells := []string{w.Name, w.Host, strconv.Itoa(w.PID), ago(w.Since), "ready", strconv.Itoa(w.Rooms), "", "", "", ""}
				switch stats := line.Stats; {
				case stats == nil:
					cells[4] = "silent"
				default:
					if !stats.Ready {
						cells[4] = "not ready"
					}
					cells[6] = strconv.Itoa(stats.Open)
					cells[7], cells[8] = strconv.FormatInt(stats.In, 10), strconv.FormatInt(stats.Out, 10)
					cells[9] = strconv.FormatInt(stats.Errors, 10)
				}
				if w.Draining {
					cells[4] = "draining"
				}
				t.row(cells...)
			}
			return nil
		}),
	}
}

// A messageLine is what is told of a message as JSON.
type messageLine struct {
	Room       string          `json:"room"`
	Type       string          `json:"type"`
	Received   string          `json:"received"`
	Worker     string          `json:"worker"`
	Fence      uint64          `json:"fence"`
	Connection int             `json:"connection"`
	Seq        uint64          `json:"seq"`
	Data       json.RawMessage `json:"data,omitempty"`
	Binary     []byte          `json:"binary,omitempty"`
}

// tail shows what comes from a room, until it is interrupted.
func (s *settings) tail() *cobra.Command {
	var only string
	var count int
	c := &cobra.Command{
		Use: "tail ROOM", Short: "show the messages that come from a room, until Ctrl-C", Args: exactly("ROOM"),
		ValidArgsFunction: s.completing(roomIDs),
	}
	c.Flags().StringVar(&only, "type", "", "only messages of this type")
	c.Flags().IntVarP(&count, "count", "n", 0, "end after so many")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), s.timeout)
		defer cancel()
		f, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Control().Get(ctx, args[0]); err != nil {
			return err
		}
		shown := 0
		for m, err := range f.Tail(c.Context(), args[0]) {
			if err != nil {
				return err
			}
			if only != "" && m.Type != only {
				continue
			}
			if err := s.show(c, m); err != nil {
				return err
			}
			if shown++; shown == count {
				break
			}
		}
		return nil
	}
	return c
}

func (s *settings) show(c *cobra.Command, m fleet.Message) error {
	at := m.Received.Local().Format("15:04:05.000")
	if !s.json {
		text := string(m.Data)
		if m.Binary {
			text = fmt.Sprintf("%d bytes", len(m.Data))
		}
		t := newTable(c.OutOrStdout(), at, m.Worker, m.Type, text)
		return t.Flush()
	}
	line := messageLine{
		Room: m.Room, Type: m.Type, Received: m.Received.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		Worker: m.Worker, Fence: m.Fence, Connection: m.Connection, Seq: m.Seq, Data: m.Data,
	}
	if m.Binary || !json.Valid(m.Data) {
		line.Data, line.Binary = nil, m.Data
	}
	return writeJSON(c.OutOrStdout(), line)
}
