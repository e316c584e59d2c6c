package simulation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet"
)

// A worker without NATS stops writing before another worker takes its rooms, and holds rooms again when NATS
// is back. The account has it if it writes later.
func TestAWorkerWithoutNATS(t *testing.T) {
	virtual(t, 9, 3, 12, func(w *world) {
		a, b := w.open("a", 0).work(), w.open("b", 1).work()
		w.held(10 * time.Second)
		for range 3 {
			for n := range 3 {
				w.cluster.CutProcess("a", n)
			}
			time.Sleep(lease)
			w.held(5 * time.Second)
			w.within(time.Second, "the other worker holds all rooms", func() []string { return missing(b, 12) })
			time.Sleep(lease)
			w.cluster.Heal()
			w.within(15*time.Second, "the worker holds rooms again", func() []string { return missing(a, 1) })
			w.held(5 * time.Second)
		}
	})
}

// missing returns the name of a worker that holds fewer rooms.
func missing(p *process, rooms int) []string {
	if p.worker.Stats().Open < rooms {
		return []string{p.name}
	}
	return nil
}

// A message that a worker publishes, or a request of it, that arrives late does no harm: with answers that
// are late as well, the worker does not know what was done.
func TestLateRequestsOfAFormerHolder(t *testing.T) {
	virtual(t, 10, 3, 12, func(w *world) {
		w.open("a", 0).work()
		w.open("b", 1).work()
		w.open("h", 2).handle(shortly)
		w.held(10 * time.Second)
		stop := w.traffic(w.admin)
		for range 4 {
			w.cluster.SetFaults(lateness)
			for n := range 3 {
				w.cluster.CutProcess("a", n)
			}
			time.Sleep(2 * lease)
			w.cluster.Heal()
			time.Sleep(lease)
			faultless(w)
			w.held(4 * lease)
		}
		stop()
		time.Sleep(5 * time.Second)
		w.settled(recovery)
	})
}

// When NATS loses a key of a lease, the worker lives by the others, and no room is disturbed.
func TestALostKeyOfALease(t *testing.T) {
	virtual(t, 11, 3, 6, func(w *world) {
		workers := []*process{w.open("a", 0).work(), w.open("b", 1).work()}
		w.held(10 * time.Second)
		time.Sleep(lease)
		before := []fleet.WorkerStats{workers[0].worker.Stats(), workers[1].worker.Stats()}
		for _, stream := range w.cluster.Streams() {
			if strings.Contains(stream, "leases") {
				w.cluster.Forget(stream, ">")
				time.Sleep(3 * lease)
			}
		}
		for i, p := range workers {
			now := p.worker.Stats()
			assert.Equal(w, before[i].Session, now.Session)
			assert.Equal(w, before[i].Taken, now.Taken)
		}
	})
}
