// Command simulate places the shards of many rooms on many workers, and prints how evenly they are spread,
// how many move when a worker leaves or joins, and the load of the buckets of leases and rooms. Its output is
// in docs/fleet-scale.md.
//
//	go run ./internal/placement/simulate
package main

import (
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	rooms := flag.Int("rooms", 1_000_000, "how many rooms")
	shards := flag.Int("shards", 4096, "how many shards")
	workers := flag.Int("workers", 500, "how many workers")
	renewal := flag.Duration("renewal", time.Second/2, "R: how often a session is renewed")
	ttl := flag.Duration("ttl", 8*time.Second, "T: how long a session lives without")
	flag.Parse()

	m := simulate(*rooms, *shards, *workers)
	l := bucketLoad(*rooms, *shards, *workers, m.LostShards, *renewal, *ttl)

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(out, "| %s\t| %s\t|\n", what, fmt.Sprintf(format, args...))
	}
	row(fmt.Sprintf("%s rooms, %s shards, %d workers, R = %v, T = %v", thousands(m.Rooms), thousands(m.Shards), m.Workers, *renewal, *ttl), "")
	row("---", "---")
	row("rooms a shard: fewest, mean, most", "%d, %.1f, %d", m.Fill.Min, m.Fill.Mean, m.Fill.Max)
	row("rooms a worker: fewest, mean, most", "%s, %s, %s (%.2f and %.2f of the mean)", thousands(m.Balance.Min), thousands(int(m.Balance.Mean)),
		thousands(m.Balance.Max), float64(m.Balance.Min)/m.Balance.Mean, float64(m.Balance.Max)/m.Balance.Mean)
	row("standard deviation", "%.0f, %.2f of the mean", m.Balance.Stddev, m.Balance.Stddev/m.Balance.Mean)
	row("a worker leaves: its shards and rooms; rooms that move; others among them", "%d, %s; %s; %d", m.LostShards, thousands(m.Lost), thousands(m.LeaveMoved), m.LeaveMoved-m.LeaveNeed)
	row("a worker joins: rooms that move; not to it", "%s; %d", thousands(m.Joined), m.Joined-m.JoinNeed)
	row("scores that each worker reckons then", "%s", thousands(l.Scores))
	row("leases: writes a second, nothing happening", "%.0f", l.Renewals)
	row("if each room had its own lease, renewed each R; each T/3", "%s; %s", thousands(int(l.EachRoom)), thousands(int(l.EachRoomThird)))
	row("deliveries to watchers a second: one worker; all", "%.0f; %s", l.PerWatcher, thousands(int(l.Deliveries)))
	row("reading of held shards again: requests a second, all workers", "%.0f", l.Rereads)
	row("a worker is lost: claims written; deliveries of them; requests in all", "%s; %s; %s", thousands(l.LostWrites), thousands(l.LostDeliveries), thousands(l.LostRequests))
	row("the whole fleet starts: claims written", "%s", thousands(l.StartWrites))
	row("a worker joins: keys that it receives first", "%s", thousands(l.JoinDeliveries))
	row("size of all claims (file store)", "%.1f MB", float64(l.ClaimBytes)/1e6)
	out.Flush()
}

// thousands writes n with commas between thousands.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
