//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A sample has all figures at one time.
type sample struct {
	at     time.Time
	costs  map[string]cost
	seen   look
	leases jetstream.StreamState
	claims jetstream.StreamState
	sent   int64
}

func (t *trial) all() []*process {
	return append([]*process{t.nats, t.backend}, t.workers...)
}

func (t *trial) sample(ctx context.Context) (s sample, err error) {
	s.at, s.costs, s.sent = time.Now(), map[string]cost{}, t.sent.Load()
	for _, p := range t.all() {
		if s.costs[p.name], err = p.cost(); err != nil {
			return s, err
		}
	}
	info, err := t.leases.Info(ctx)
	if err != nil {
		return s, err
	}
	s.leases = info.State
	if info, err = t.claims.Info(ctx); err != nil {
		return s, err
	}
	s.claims = info.State
	s.seen, err = ask(ctx, t.desk)
	return s, err
}

// measured waits for some time, and prints what was used in it.
func (t *trial) measured(ctx context.Context, out io.Writer) error {
	a, err := t.sample(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, t.measure); err != nil {
		return err
	}
	b, err := t.sample(ctx)
	if err != nil {
		return err
	}
	seconds := b.at.Sub(a.at).Seconds()
	fmt.Fprintf(out, "over %.0f s: %.0f words a second from rooms' holders (heartbeats), %.0f said in rooms, %.0f sent to rooms\n\n",
		seconds, float64(b.seen.Words-a.seen.Words)/seconds, float64(b.seen.Said-a.seen.Said)/seconds, float64(b.sent-a.sent)/seconds)

	table := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "| process\t| rooms\t| RSS, MiB\t| KiB a room\t| CPU, % of a core\t| µs/s a room\t| open files\t|")
	fmt.Fprintln(table, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	row := func(name string, rooms int, rss int64, cpu time.Duration, files int) {
		each := float64(max(rooms, 1))
		busy := cpu.Seconds() / seconds
		fmt.Fprintf(table, "| %s\t| %d\t| %.1f\t| %.1f\t| %.1f\t| %.0f\t| %d\t|\n", name, rooms,
			float64(rss)/(1<<20), float64(rss)/1024/each, 100*busy, busy*1e6/each, files)
	}
	var rss int64
	var cpu time.Duration
	var files int
	for _, p := range t.all() {
		rooms := t.settings.rooms
		c := b.costs[p.name]
		used := c.cpu - a.costs[p.name].cpu
		if p != t.nats && p != t.backend {
			rooms = countOf(b.seen, p.name)
			rss, cpu, files = rss+c.rss, cpu+used, files+c.files
		}
		row(p.name, rooms, c.rss, used, c.files)
	}
	row("all workers", t.settings.rooms, rss, cpu, files)
	table.Flush()
	writes := float64(b.leases.LastSeq-a.leases.LastSeq) / seconds
	fmt.Fprintf(out, "\nleases: %.1f writes a second, delivered to %d watchers; rooms and claims: %d keys, %.1f MB\n",
		writes, b.leases.Consumers, b.claims.Msgs, float64(b.claims.Bytes)/1e6)
	return nil
}
