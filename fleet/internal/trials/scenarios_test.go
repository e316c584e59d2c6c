package trials_test

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

var full = flag.Bool("full", false, "ten times the rooms, everything three times, and to each NATS server")

const (
	lease = 8 * time.Second // the default
	// away is longer than that.
	away = 12 * time.Second
	// backSoon is how soon rooms must have a holder again, all but one in a hundred.
	backSoon = 10 * time.Second
)

func size() (rooms, rounds int) {
	if *full {
		return 900, 3
	}
	return 90, 1
}

// servers returns the servers that something is done to, one after the other: all with -full, otherwise
// the one that matters most, which leads the first bucket of leases.
func (tr *trial) servers() []int {
	if *full {
		return []int{0, 1, 2}
	}
	return []int{tr.cluster.leader(tr.T, tr.leases()[0])}
}

// Everything that can be lost, one thing after the other, while all rooms have traffic.
func TestFleet(t *testing.T) {
	rooms, rounds := size()
	c := newCluster(t)
	tr := newTrial(t, c, "trial", lease, rooms, "a", "b", "c")
	for range rounds {
		workersAreLost(tr)
		workersComeAndGo(tr)
		handlersAreLost(tr)
		serversAreLost(tr)
	}
	t.Log("\n" + tr.table())
}

func workersAreLost(tr *trial) {
	tr.run("a worker is killed", func(s *scenario) {
		s.hurt, s.torn = []string{"a"}, true
		tr.kill("a")
		tr.untilHeldByOthers("a")
		s.lost = "a"
		s.undisturbed()
	})
	tr.have("a")
	tr.run("a worker is stopped and continued", func(s *scenario) {
		s.hurt, s.frozen = []string{"b"}, true
		require.NoError(s, tr.workers["b"].Process.Signal(syscall.SIGSTOP))
		tr.untilHeldByOthers("b")
		s.lost = "b"
		time.Sleep(away - time.Since(s.began)) // what it is about
		s.undisturbed()
		require.NoError(s, tr.workers["b"].Process.Signal(syscall.SIGCONT))
	})
	tr.run("a worker is cut off from NATS", func(s *scenario) {
		s.hurt = []string{"c"}
		tr.workers["c"].cutNATS()
		tr.untilHeldByOthers("c")
		s.lost = "c"
		time.Sleep(away - time.Since(s.began))
		s.undisturbed()
		tr.workers["c"].mendNATS()
	})
	tr.run("a worker is cut off from the rooms", func(s *scenario) {
		s.hurt, s.torn, s.silent = []string{"a"}, true, away
		tr.workers["a"].toRooms.cut()
		time.Sleep(away)
		tr.workers["a"].toRooms.mend()
		tr.untilSettled()
		s.undisturbed()
	})
	tr.run("a worker is cut off from everything", func(s *scenario) {
		s.hurt, s.torn, s.frozen = []string{"b"}, true, true
		tr.workers["b"].toRooms.cut()
		tr.workers["b"].cutNATS()
		tr.untilHeldByOthers("b")
		s.lost = "b"
		time.Sleep(away - time.Since(s.began))
		s.undisturbed()
		tr.workers["b"].toRooms.mend()
		tr.workers["b"].mendNATS()
	})
}

func workersComeAndGo(tr *trial) {
	tr.run("a worker is drained", func(s *scenario) {
		s.hurt = []string{"c"}
		tr.drain("c")
		tr.untilHeldByOthers("c")
		s.handedOver()
		s.undisturbed()
	})
	tr.run("two workers join", func(s *scenario) {
		s.newcomers = []string{"c", "d"}
		tr.start("c", "c")
		tr.start("d", "d")
		tr.untilSettled()
		s.handedOver()
		s.undisturbed()
	})
	tr.run("a worker comes under a name that lives", func(s *scenario) {
		s.hurt = []string{"d"}
		old := tr.sessions()
		tr.start("d", "d again")
		tr.untilHeldBy("held by the younger", func(held map[string]fleet.Status) bool {
			for _, h := range held {
				if h.Worker == "" || h.Worker == "d" && h.Session == old[h.ID] {
					return false
				}
			}
			return true
		})
		s.handedOver()
		tr.drain("d")
		tr.untilSettled()
		s.undisturbed()
	})
	tr.run("a worker is killed and starts again at once", func(s *scenario) {
		s.hurt, s.torn = []string{"d again"}, true
		tr.kill("d again")
		tr.start("d", "d")
		tr.untilSettled()
		s.lost = "d again"
		s.undisturbed()
	})
	if tr.workers["d"] != nil {
		tr.drain("d")
	}
	tr.have("c")
}

func handlersAreLost(tr *trial) {
	tr.run("a handler is killed", func(s *scenario) {
		had := func() (n int) { m, _, _ := tr.handled.count(); return len(m) }
		p := startHandler(s.T, tr.cluster, &tr.handled)
		before := had()
		until(s.T, "both handle", func() bool { return had() > before+300/slower })
		p.kill()
		s.undisturbed()
	})
}

func serversAreLost(tr *trial) {
	for _, node := range tr.servers() {
		tr.run(fmt.Sprint("NATS server ", node+1, " of 3 is killed"), func(s *scenario) {
			s.Logf("it led %v", tr.ledBy(node))
			tr.cluster.kill(node)
			time.Sleep(away)
			tr.cluster.start(node)
			tr.cluster.untilReplicated(s.T, tr.streams()...)
			s.undisturbed()
		})
	}
	for _, node := range tr.servers() {
		tr.run(fmt.Sprint("NATS server ", node+1, " of 3 is cut off from its peers"), func(s *scenario) {
			s.Logf("it led %v", tr.ledBy(node))
			tr.cluster.cutOff(node)
			time.Sleep(away)
			s.undisturbed()
			tr.cluster.mend(node)
			tr.cluster.untilReplicated(s.T, tr.streams()...)
		})
	}
	tr.run("a worker and a NATS server are killed", func(s *scenario) {
		s.hurt, s.torn = []string{"a"}, true
		s.soon = backSoon + 5*time.Second // if it takes all of 9 s to choose another leader
		node := tr.cluster.leader(s.T, tr.leases()[0])
		s.Logf("it led %v", tr.ledBy(node))
		tr.cluster.kill(node)
		tr.kill("a")
		tr.untilHeldByOthers("a")
		s.lost = "a"
		s.undisturbed()
		tr.cluster.start(node)
		tr.cluster.untilReplicated(s.T, tr.streams()...)
	})
	tr.have("a")
	tr.run("all of NATS is restarted", func(s *scenario) {
		for i := range nodes {
			tr.cluster.kill(i)
		}
		for i := range nodes {
			tr.cluster.start(i)
		}
		s.outlives(tr.cluster.untilAnswers(s.T, tr.leases()...))
		tr.cluster.untilReplicated(s.T, tr.streams()...)
	})
	tr.run("all of NATS is away for longer than the lease", func(s *scenario) {
		for label := range tr.workers {
			s.hurt = append(s.hurt, label)
		}
		for i := range nodes {
			tr.cluster.kill(i)
		}
		time.Sleep(away)
		for i := range nodes {
			tr.cluster.start(i)
		}
		answered := tr.cluster.untilAnswers(s.T, tr.leases()...)
		tr.untilSettled()
		s.backSince(answered)
	})
}

// ledBy is which streams a server leads, once it does not lead all leases: the workers see to that.
func (tr *trial) ledBy(node int) (streams []string) {
	tr.Helper()
	until(tr.T, "not one server leads all leases", func() bool {
		leaders := map[int]bool{}
		for _, stream := range tr.leases() {
			leaders[tr.cluster.leader(tr.T, stream)] = true
		}
		return len(leaders) > 1
	})
	for _, stream := range tr.streams() {
		if tr.cluster.leader(tr.T, stream) == node {
			streams = append(streams, stream)
		}
	}
	return streams
}

// outlives checks, when the leases were not to be written for less than workers outlive, that
// these have outlived it.
func (s *scenario) outlives(answered time.Time) {
	absence := answered.Sub(s.began)
	s.Logf("leases could not be written for %.1f s", absence.Seconds())
	s.trial.untilSettled()
	if absence < s.trial.lease*3/4 {
		s.undisturbed()
	}
}
