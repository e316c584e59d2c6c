package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// figures are the result of a show.
type figures struct {
	s   *show
	all record // of the backend

	started                  time.Duration
	held                     int    // rooms that are held at the end
	waiting                  uint64 // messages to rooms that are not confirmed at the end
	victim, leaver, newcomer string
	killed                   time.Time
	drainBegan, drainEnded   time.Time
	joined, settled          time.Time
	wanted                   map[string]bool // rooms that must move to the new worker
}

// shards is the number of shards of the fleet.
const shards = 4096

// belongings returns the rooms that belong to one worker among others.
func belongings(rooms []string, worker string, others ...string) map[string]bool {
	hashes := []uint64{placement.Hash(worker)}
	for _, o := range others {
		hashes = append(hashes, placement.Hash(o))
	}
	list := map[string]bool{}
	for _, room := range rooms {
		if placement.Best(placement.HashOf(placement.Shard(room, shards)), hashes) == 0 {
			list[room] = true
		}
	}
	return list
}

// moves returns the rooms that moved to a worker in a time, and how many moved between two other
// workers.
func (f *figures) moves() (to map[string]bool, elsewhere int) {
	to = map[string]bool{}
	for i, h := range f.all.Holds {
		if h.From.Before(f.joined) || h.From.After(f.settled) {
			continue
		}
		if h.Worker == f.newcomer {
			to[h.Room] = true
		} else if i > 0 && f.all.Holds[i-1].Room == h.Room && f.all.Holds[i-1].Worker != h.Worker {
			elsewhere++
		}
	}
	return to, elsewhere
}

func (f *figures) print(w io.Writer) error {
	holds := f.all.Holds
	back, missing := audit.Gaps(holds, f.victim, f.killed)
	drained := audit.Between(holds, f.drainBegan, f.drainEnded)
	gaps := audit.Between(holds, f.joined, f.settled)
	to, elsewhere := f.moves()
	t := &f.s.traffic
	taken, refused, last := t.sendings()
	lost, duplicates := t.undelivered(f.all.Sent), 0
	for _, n := range f.all.Sent {
		duplicates += n - 1
	}
	twice := len(audit.Twice(holds))

	ms := func(d time.Duration) string { return fmt.Sprint(d.Round(time.Millisecond)) }
	three := func(list []time.Duration) string {
		return fmt.Sprintf("p50 %s, p99 %s, max %s",
			ms(audit.Percentile(list, 0.5)), ms(audit.Percentile(list, 0.99)), ms(audit.Percentile(list, 1)))
	}
	fmt.Fprintf(w, "\n%d rooms, %d workers at the beginning, all held after %s; seed %d\n", f.s.rooms, f.s.workers, ms(f.started), f.s.seed)
	fmt.Fprintf(w, "%s killed: %d rooms, back after %s\n", f.victim, len(back), three(back))
	fmt.Fprintf(w, "%s drained: %d rooms in %s; a room empty for %s\n", f.leaver, len(drained), ms(f.drainEnded.Sub(f.drainBegan)), three(drained))
	fmt.Fprintf(w, "%s joined: %d rooms moved to it, it had to be %d; %d moved elsewhere; a room empty for %s\n", f.newcomer, len(to), len(f.wanted), elsewhere, three(gaps))
	fmt.Fprintf(w, "messages in: visitors sent %d, the handler got %d, %d were sent while the room was empty; handled twice %d, out of order %d\n",
		t.said.Load(), t.heard.Load(), t.said.Load()-t.heard.Load(), t.again.Load(), t.disorder.Load())
	fmt.Fprintf(w, "messages out: sent %d, confirmed %d, lost %d, written twice %d\n", taken, taken-int(f.waiting), lost, duplicates)
	fmt.Fprintf(w, "rooms held in the end: %d of %d; held twice at any moment: %d\n", f.held, f.s.rooms, twice)

	var wrong []error
	complain := func(n int, format string, args ...any) {
		if n != 0 {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	complain(f.s.rooms-f.held, "%d rooms are not held", f.s.rooms-f.held)
	complain(missing, "%d rooms of %s did not come back", missing, f.victim)
	complain(twice, "%d times a room was held twice", twice)
	complain(lost, "%d messages to rooms were lost", lost)
	complain(int(f.waiting), "%d messages to rooms are not confirmed", f.waiting)
	complain(refused, "%d messages could not be sent, the last one: %v", refused, last)
	complain(int(t.disorder.Load()), "%d messages were handled out of order", t.disorder.Load())
	complain(elsewhere, "%d rooms went to others than %s when it joined", elsewhere, f.newcomer)
	complain(len(f.wanted)-len(to), "%d rooms moved to %s, it had to be %d", len(to), f.newcomer, len(f.wanted))
	return errors.Join(wrong...)
}
