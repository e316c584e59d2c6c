// Command simulate places many rooms on many workers, and prints how evenly they are spread, how many
// move when a worker leaves or joins, and the load of the buckets of leases and claims. Its output is
// in docs/fleet-design.md.
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
	workers := flag.Int("workers", 500, "how many workers")
	renewal := flag.Duration("renewal", time.Second/2, "R: how often a session is renewed")
	ttl := flag.Duration("ttl", 8*time.Second, "T: how long a session lives without")
	flag.Parse()

	m := simulate(*rooms, *workers)
	l := bucketLoad(*rooms, *workers, m.Lost, *renewal, *ttl)

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(out, "| %s\t| %s\t|\n", what, fmt.Sprintf(format, args...))
	}
	row(fmt.Sprintf("%s rooms, %d workers, R = %v, T = %v", thousands(m.Rooms), m.Workers, *renewal, *ttl), "")
	row("---", "---")
	row("rooms a worker: mean", "%.0f", m.Balance.Mean)
	row("rooms a worker: fewest, most", "%d, %d (%.3f and %.3f of the mean)", m.Balance.Min, m.Balance.Max,
		float64(m.Balance.Min)/m.Balance.Mean, float64(m.Balance.Max)/m.Balance.Mean)
	row("standard deviation; if placed at random", "%.1f; %.1f", m.Balance.Stddev, m.Balance.Expected)
	row("chi-squared; how far off", "%.1f for %d degrees of freedom; %+.2f sigma", m.Balance.ChiSquared, m.Workers-1, m.Balance.Sigma)
	row("a worker leaves: its rooms; rooms that move; others among them", "%d; %d; %d", m.Lost, m.LeaveMoved, m.LeaveMoved-m.LeaveNeed)
	row("they go to the others: fewest, mean, most", "%d, %.2f, %d each (standard deviation %.2f, at random %.2f)",
		m.LeaveSpread.Min, m.LeaveSpread.Mean, m.LeaveSpread.Max, m.LeaveSpread.Stddev, m.LeaveSpread.Expected)
	row("a worker joins: rooms that move; not to it; rooms/(workers+1)", "%d; %d; %.0f", m.Joined, m.Joined-m.JoinNeed,
		float64(m.Rooms)/float64(m.Workers+1))
	row("leases: writes a second, nothing happening", "%.0f", l.Renewals)
	row("if each room had its own lease, renewed each R; each T/3", "%s; %s", thousands(int(l.EachRoom)), thousands(int(l.EachRoomThird)))
	row("deliveries to watchers a second: one worker; all", "%.0f; %s", l.PerWatcher, thousands(int(l.Deliveries)))
	row("a worker is lost: claims written; deliveries of them", "%s; %s", thousands(l.LostWrites), thousands(l.LostDeliveries))
	row("the whole fleet starts: claims written; deliveries of them", "%s; %s", thousands(l.StartWrites), thousands(l.StartDeliveries))
	row("a worker joins: keys it is sent first", "%s", thousands(l.JoinDeliveries))
	row("size of the buckets (file store); of a claim", "%.0f MB; %d bytes", float64(l.Bytes)/1e6, l.BytesPerClaim)
	out.Flush()
}

// thousands writes n with commas between thousands.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
