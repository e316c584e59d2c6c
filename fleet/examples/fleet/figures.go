package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/wstest"
)

// figures are what has come of it.
type figures struct {
	s      *show
	events []wstest.Event // that the backend has seen

	started                  time.Duration
	victim, leaver, newcomer string
	killed                   time.Time
	drainBegan, drainEnded   time.Time
	joined, settled          time.Time
}

func (f *figures) print(w io.Writer) error {
	holds := audit.Holds(f.events)
	back, missing := audit.Gaps(holds, f.victim, f.killed)
	drained := audit.Between(holds, f.drainBegan, f.drainEnded)
	moved := audit.Opened(holds, f.newcomer, f.joined, f.settled)
	moves := audit.Between(holds, f.joined, f.settled)
	messages, duplicates := received(f.events)
	t := &f.s.traffic
	lost := t.sent.Load() - int64(messages)
	twice := len(audit.Twice(holds))

	ms := func(d time.Duration) string { return fmt.Sprint(d.Round(time.Millisecond)) }
	three := func(list []time.Duration) string {
		return fmt.Sprintf("%s in the middle, %s for 99 of 100, %s at most",
			ms(audit.Percentile(list, 0.5)), ms(audit.Percentile(list, 0.99)), ms(audit.Percentile(list, 1)))
	}
	fmt.Fprintf(w, "\n%d rooms, %d workers at the beginning, all held after %s\n", f.s.rooms, f.s.workers, ms(f.started))
	fmt.Fprintf(w, "%s killed:  %d rooms were back after %s\n", f.victim, len(back), three(back))
	fmt.Fprintf(w, "%s drained: %d rooms handed over in %s; nobody in the room for %s\n", f.leaver, len(drained), ms(f.drainEnded.Sub(f.drainBegan)), three(drained))
	fmt.Fprintf(w, "%s joined:  %d rooms moved to it, and no others; nobody in the room for %s\n", f.newcomer, moved, three(moves))
	fmt.Fprintf(w, "said by visitors: %d; handled, with what the fleet said: %d; handled again: %d; out of order: %d\n", t.said.Load(), t.handled.Load(), t.again.Load(), t.disorder.Load())
	fmt.Fprintf(w, "sent to rooms: %d; lost: %d; written twice: %d\n", t.sent.Load(), lost, duplicates)
	fmt.Fprintf(w, "rooms held twice at any moment: %d\n", twice)

	var wrong []error
	if missing > 0 {
		wrong = append(wrong, fmt.Errorf("%d rooms of %s did not come back", missing, f.victim))
	}
	if twice > 0 {
		wrong = append(wrong, fmt.Errorf("%d times a room was held twice", twice))
	}
	if lost != 0 {
		wrong = append(wrong, fmt.Errorf("%d messages to rooms were lost", lost))
	}
	if n := t.disorder.Load(); n > 0 {
		wrong = append(wrong, fmt.Errorf("%d messages were handled out of order", n))
	}
	if len(moves) != moved {
		wrong = append(wrong, fmt.Errorf("%d rooms changed hands when %s joined, and only %d went to it", len(moves), f.newcomer, moved))
	}
	return errors.Join(wrong...)
}
