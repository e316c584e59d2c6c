package main

import (
	"fmt"
	"io"
	"time"
)

// A sheet prints the table.
type sheet struct {
	out       io.Writer
	accounts  []*account
	trouble   *trouble
	began     time.Time
	recovered time.Duration // from the last fault until all had a message confirmed
	most      census
}

func newSheet(out io.Writer, accounts []*account, t *trouble) *sheet {
	return &sheet{out: out, accounts: accounts, trouble: t, began: time.Now()}
}

func (s *sheet) sum() (all totals) {
	for _, a := range s.accounts {
		all.add(a.sum())
	}
	return all
}

func (s *sheet) header() {
	fmt.Fprintf(s.out, "%8s %7s %7s %9s %9s %9s %9s %8s %7s %9s %10s %5s %6s\n",
		"elapsed", "faults", "opens", "sent", "received", "confirmed", "returned", "dropped", "in hole", "inbound", "goroutines", "MiB", "files")
}

func (s *sheet) line() {
	t, c := s.sum(), takeCensus()
	s.most = census{max(s.most.goroutines, c.goroutines), max(s.most.heap, c.heap), max(s.most.files, c.files)}
	fmt.Fprintf(s.out, "%8v %7d %7d %9d %9d %9d %9d %8d %7d %9d %10d %5d %6d\n",
		time.Since(s.began).Round(time.Second), s.trouble.sum(), t.opens, t.accepted, t.received, t.confirmed,
		t.returned, t.dropped, t.lost, t.inbound, c.goroutines, c.heap>>20, c.files)
}

// summary prints the result of a run without a broken invariant.
func (s *sheet) summary() {
	fmt.Fprintln(s.out, "\nfaults")
	row := func(name string, n int) { fmt.Fprintf(s.out, "  %-46s %9d\n", name, n) }
	for _, f := range faults {
		row(f.name, s.trouble.counts[f.name])
	}
	row("all", s.trouble.sum())
	t := s.sum()
	fmt.Fprintln(s.out, "totals")
	row("connections opened", t.opens)
	row("Send: accepted", t.accepted)
	row("  received by the server", t.received)
	row("  handed back by Close", t.returned)
	row("  dropped with notice", t.dropped)
	row("  in the hole (socket took it, peer never read)", t.lost)
	row("  lost without notice", t.accepted-t.received-t.returned-t.dropped-t.lost)
	row("Send: refused", t.refused)
	row("SendConfirmed: confirmed", t.confirmed)
	row("  given up at the deadline", t.gaveUp)
	row("  received more than once", t.again)
	row("news received", t.inbound)
	row("most goroutines", s.most.goroutines)
	row("most heap, MiB", int(s.most.heap>>20))
	row("most open files", s.most.files)
	fmt.Fprintf(s.out, "all clients had a message confirmed %v after the last fault\n", s.recovered.Round(time.Millisecond))
	fmt.Fprintln(s.out, "goroutines and open files are back to what they were at the start")
}
