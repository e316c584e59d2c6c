package simulation_test

import (
	"testing"
	"time"
)

// Without faults each message arrives once.
func TestNothingHappens(t *testing.T) {
	virtual(t, 1, 3, 6, func(w *world) {
		w.open("a", 0).work()
		w.open("b", 1).work()
		w.open("h", 2).handle(shortly)
		w.open("i", 0).handle(shortly)
		w.held(10 * time.Second)
		stop := w.traffic(w.admin)
		time.Sleep(20 * time.Second)
		stop()
		w.settled(5 * time.Second)
		for _, name := range w.account.names {
			r := w.account.rooms[name]
			if r.again > 0 || r.twice > 0 || len(r.stored) != r.said {
				w.Errorf("%s: %d said, %d stored, %d handled again, %d delivered twice", name, r.said, len(r.stored), r.again, r.twice)
			}
		}
	})
}
