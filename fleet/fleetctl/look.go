package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// rooms lists rooms.
func (s *settings) rooms() *cobra.Command {
	var worker string
	var free, moved bool
	c := &cobra.Command{
		Use: "rooms [ROOM…]", Short: "list rooms and their workers",
		ValidArgsFunction: s.completingAll(roomIDs),
	}
	c.Flags().StringVar(&worker, "worker", "", "only rooms that this worker holds")
	c.Flags().BoolVar(&free, "free", false, "only rooms without a worker")
	c.Flags().BoolVar(&moved, "moved", false, "only rooms that were moved to a worker")
	c.RunE = s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, args []string) error {
		list, err := roomsOf(ctx, f, args)
		if err != nil {
			return err
		}
		t := table{}
		if !s.json {
			t = newTable(c.OutOrStdout(), "ROOM", "WORKER", "FOR", "FENCE", "MOVED TO", "ENDPOINT")
			defer t.Flush()
		}
		for _, r := range list {
			if worker != "" && r.Worker != worker || free && r.Worker != "" || moved && r.Pinned == "" {
				continue
			}
			if s.json {
				if err := writeRoom(c, r); err != nil {
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

// roomsOf returns the rooms with these IDs, or all rooms.
func roomsOf(ctx context.Context, f *fleet.Fleet, ids []string) ([]fleet.Status, error) {
	if len(ids) == 0 {
		return f.Control().List(ctx)
	}
	var list []fleet.Status
	for _, id := range ids {
		r, err := f.Control().Get(ctx, id)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// writeRoom writes a room as JSON.
func writeRoom(c *cobra.Command, r fleet.Status) error {
	if r.Endpoint != "" {
		r.Endpoint = place(r.Endpoint)
	}
	return writeJSON(c.OutOrStdout(), r)
}

// A workerLine is a worker as JSON.
type workerLine struct {
	fleet.WorkerStatus
	Stats *statsLine `json:"stats,omitempty"` // absent if the worker does not answer
}

// A statsLine is fleet.WorkerStats as JSON. The names of its fields do not change.
type statsLine struct {
	Ready         bool    `json:"ready"`
	Lease         float64 `json:"lease_seconds"`
	Rooms         int     `json:"rooms"`
	Open          int     `json:"open"`
	Taken         int64   `json:"taken"`
	Released      int64   `json:"released"`
	In            int64   `json:"in"`
	Unpublished   int64   `json:"unpublished"`
	OverBudget    int64   `json:"over_budget"`
	Out           int64   `json:"out"`
	Expired       int64   `json:"expired"`
	Undeliverable int64   `json:"undeliverable"`
	Errors        int64   `json:"errors"`
}

// workers lists workers and their statistics.
func (s *settings) workers() *cobra.Command {
	return &cobra.Command{
		Use: "workers", Short: "list workers and what they do", Args: exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
			return s.writeWorkers(ctx, c, f)
		}),
	}
}

func (s *settings) writeWorkers(ctx context.Context, c *cobra.Command, f *fleet.Fleet) error {
	list, err := f.Control().Workers(ctx)
	if err != nil {
		return err
	}
	t := table{}
	if !s.json {
		t = newTable(c.OutOrStdout(), "WORKER", "HOST", "PID", "UP", "STATE", "ROOMS", "OPEN", "IN", "OUT", "ERRORS", "LEASE")
		defer t.Flush()
	}
	stats := s.ask(ctx, f, list)
	for i, w := range list {
		if !s.json {
			t.row(workerRow(w, stats[i])...)
			continue
		}
		line := workerLine{WorkerStatus: w}
		if said := stats[i]; said != nil {
			line.Stats = &statsLine{
				said.Ready, said.Lease.Seconds(), said.Rooms, said.Open, said.Taken, said.Released,
				said.In, said.Unpublished, said.OverBudget, said.Out, said.Expired, said.Undeliverable, said.Errors,
			}
		}
		if err := writeJSON(c.OutOrStdout(), line); err != nil {
			return err
		}
	}
	return nil
}

// ask requests the statistics of all workers at once. Those of a worker that does not answer are nil.
func (s *settings) ask(ctx context.Context, f *fleet.Fleet, workers []fleet.WorkerStatus) []*fleet.WorkerStats {
	ctx, cancel := context.WithTimeout(ctx, min(s.timeout/2, 2*time.Second))
	defer cancel()
	said := make([]*fleet.WorkerStats, len(workers))
	var asking sync.WaitGroup
	for i, w := range workers {
		asking.Go(func() {
			stats, err := f.Control().Stats(ctx, w.Name)
			if err == nil && stats.Session == w.Session { // and not another one of this name
				said[i] = &stats
			}
		})
	}
	asking.Wait()
	return said
}

func workerRow(w fleet.WorkerStatus, said *fleet.WorkerStats) []string {
	row := []string{w.Name, w.Host, strconv.Itoa(w.PID), ago(w.Since), "silent", strconv.Itoa(w.Rooms), "", "", "", "", ""}
	if said != nil {
		row[4] = "ready"
		if !said.Ready {
			row[4] = "not ready"
		}
		row[5], row[6] = strconv.Itoa(said.Rooms), strconv.Itoa(said.Open)
		row[7], row[8] = strconv.FormatInt(said.In, 10), strconv.FormatInt(said.Out, 10)
		row[9] = strconv.FormatInt(said.Errors, 10)
		row[10] = said.Lease.Round(100 * time.Millisecond).String()
	}
	if w.Draining {
		row[4] = "draining"
	}
	return row
}
