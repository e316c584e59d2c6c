package simulation_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

var (
	seeds = flag.Int("seeds", standardSeeds, "how many schedules are simulated")
	first = flag.Uint64("seed", 1, "the first of their seeds")
)

// A step is something that happens at a time.
type step struct {
	at   time.Duration
	what string
	do   func(w *world)
}

// A schedule has what happens in a simulation, in order.
type schedule struct {
	rand  *rand.Rand
	steps []step
}

const (
	faulty   = 50 * time.Second // for so long faults begin
	shortest = 2 * time.Second  // lease
	servers  = 3
)

// newSchedule makes the schedule of a seed. Faults overlap; each of them ends.
func newSchedule(seed uint64) *schedule {
	s := &schedule{rand: rand.New(rand.NewPCG(seed, 1))}
	for range 10 {
		at := s.upTo(faulty)
		kinds[s.rand.IntN(len(kinds))](s, at)
	}
	for range 8 {
		at := s.upTo(faulty)
		changes[s.rand.IntN(len(changes))](s, at)
	}
	slices.SortStableFunc(s.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return s
}

func (s *schedule) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rand.Int64N(int64(d))).Round(time.Millisecond)
}

func (s *schedule) add(at time.Duration, do func(w *world), format string, args ...any) {
	s.steps = append(s.steps, step{at, fmt.Sprintf(format, args...), do})
}

// fault begins at a time and ends after up to most.
func (s *schedule) fault(at, most time.Duration, begin, end func(w *world), format string, args ...any) {
	d := time.Second + s.upTo(most)
	what := fmt.Sprintf(format, args...)
	s.add(at, begin, "%s, for %v", what, d)
	s.add(at+d, end, "the end of: %s", what)
}

// cut cuts something for a time, whatever else is cut or mended meanwhile.
func (s *schedule) cut(at time.Duration, begin func(w *world), format string, args ...any) {
	number := len(s.steps)
	s.fault(at, 20*time.Second, func(w *world) {
		w.cuts[number] = begin
		begin(w)
	}, func(w *world) {
		delete(w.cuts, number)
		w.cluster.Heal()
		for _, again := range w.cuts {
			again(w)
		}
	}, format, args...)
}

// kinds are the kinds of faults.
var kinds = []func(s *schedule, at time.Duration){
	func(s *schedule, at time.Duration) {
		n := s.rand.IntN(servers)
		s.cut(at, func(w *world) { w.isolate(n) }, "server %d is cut from the others", n)
	},
	func(s *schedule, at time.Duration) {
		n := s.rand.IntN(servers)
		m := (n + 1 + s.rand.IntN(servers-1)) % servers
		s.cut(at, func(w *world) { w.cluster.Cut(n, m) }, "server %d does not reach server %d", n, m)
	},
	func(s *schedule, at time.Duration) {
		n, wiped := s.rand.IntN(servers), s.rand.IntN(2) == 0
		s.fault(at, 10*time.Second, func(w *world) { w.stopServer(n, wiped) }, func(w *world) { w.startServer(n) }, "server %d is stopped, wiped: %v", n, wiped)
	},
	func(s *schedule, at time.Duration) {
		i := s.rand.IntN(100)
		s.add(at, func(w *world) {
			names := w.cluster.Streams()
			w.cluster.StepDown(names[i%len(names)])
		}, "the leader of stream %d steps down", i)
	},
	func(s *schedule, at time.Duration) {
		i, n := s.rand.IntN(100), s.rand.IntN(servers)
		s.cut(at, func(w *world) { w.cutProcess(i, n) }, "process %d is cut from server %d", i, n)
	},
	func(s *schedule, at time.Duration) {
		i := s.rand.IntN(100)
		s.cut(at, func(w *world) {
			for n := range servers {
				w.cutProcess(i, n)
			}
		}, "process %d is cut from all servers", i)
	},
	func(s *schedule, at time.Duration) {
		f := natssim.Faults{LoseRequest: s.rand.IntN(100), LoseAnswer: s.rand.IntN(100), Late: s.rand.IntN(200), LateAnswer: s.rand.IntN(200), LateBy: s.upTo(4 * time.Second)}
		s.fault(at, 15*time.Second, func(w *world) { w.cluster.SetFaults(f) }, faultless, "requests and answers are lost or late: %+v", f)
	},
	func(s *schedule, at time.Duration) {
		f := natssim.Faults{Lag: s.upTo(3 * time.Second), Hop: s.upTo(100 * time.Millisecond), LoseMessage: s.rand.IntN(20)}
		s.fault(at, 15*time.Second, func(w *world) { w.cluster.SetFaults(f) }, faultless, "replicas are behind, and servers slow: %+v", f)
	},
	func(s *schedule, at time.Duration) {
		s.fault(at, 6*time.Second, func(w *world) { w.cluster.SetFaults(natssim.Faults{Full: true}) }, faultless, "the store is full")
	},
	func(s *schedule, at time.Duration) {
		i := s.rand.IntN(100)
		s.add(at, func(w *world) { w.replace(i, (*process).kill) }, "process %d is killed, and another one started", i)
	},
	func(s *schedule, at time.Duration) {
		i := s.rand.IntN(100)
		s.add(at, func(w *world) { w.replace(i, func(p *process) { p.cancel() }) }, "process %d is stopped, and another one started", i)
	},
	func(s *schedule, at time.Duration) {
		s.add(at, func(w *world) {
			for _, name := range w.cluster.Streams() {
				w.cluster.DeleteConsumers(name)
			}
		}, "all consumers are deleted")
	},
}

func faultless(w *world) { w.cluster.SetFaults(natssim.Faults{}) }

// isolate cuts a server from the others.
func (w *world) isolate(n int) {
	for m := range servers {
		if m != n {
			w.cluster.Cut(n, m)
			w.cluster.Cut(m, n)
		}
	}
}

// stopServer stops a server, unless another one is stopped: its store may be the only one that has all.
func (w *world) stopServer(n int, wiped bool) {
	if w.stopped >= 0 {
		return
	}
	w.stopped = n
	w.cluster.Stop(n)
	if wiped {
		w.cluster.Wipe(n)
	}
}

func (w *world) startServer(n int) {
	if w.stopped == n {
		w.stopped = -1
		w.cluster.Start(n)
	}
}

// living returns one of the processes that hold rooms or handle messages.
func (w *world) living(i int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*process
	for _, p := range w.processes {
		if p.again != nil && !p.gone {
			list = append(list, p)
		}
	}
	return list[i%len(list)]
}

// cutProcess cuts a process from a server.
func (w *world) cutProcess(i, n int) { w.cluster.CutProcess(w.living(i).name, n) }

// replace ends a process by end, and starts one of its kind. While NATS cannot be reached there is none.
func (w *world) replace(i int, end func(p *process)) {
	p := w.living(i)
	p.gone = true
	end(p)
	w.starting.Go(func() {
		for attempt := 0; w.Context().Err() == nil; attempt++ {
			name := fmt.Sprint(p.name, "'")
			next, err := w.tryOpen(name, i%servers)
			if err == nil {
				next.again = p.again
				next.again(next)
				return
			}
			w.Logf("%v: process %s cannot start: %v", w.since(), name, err)
		}
	})
}

func TestSchedules(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 2)
	}
	for i := range n {
		seed := *first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			virtualWith(t, seed, shortest+time.Duration(seed%4)*time.Second, servers, 9, func(w *world) { w.simulate(newSchedule(seed)) })
		})
	}
}

// simulate runs a schedule. Some time after its last step all rooms must be held, and all messages
// delivered and handled.
func (w *world) simulate(s *schedule) {
	for i, name := range []string{"a", "b", "c"} {
		p := w.open(name, i)
		p.again = func(p *process) { p.work() }
		p.again(p)
	}
	for i, name := range []string{"h", "i"} {
		p := w.open(name, i)
		p.again = func(p *process) { p.handle(shortly) }
		p.again(p)
	}
	w.held(10 * time.Second)
	stop := w.traffic(w.open("sender", 2))
	began := time.Now()
	for _, step := range s.steps {
		time.Sleep(time.Until(began.Add(step.at)))
		w.Logf("%v: %s", w.since(), step.what)
		step.do(w)
	}
	w.Logf("%v: the end of faults", w.since())
	w.cluster.SetFaults(natssim.Faults{})
	w.cluster.Heal()
	w.starting.Wait()
	w.held(recovery)
	w.within(rereading, "rooms are held as the controller has made them", w.outdated)
	stop()
	time.Sleep(3 * time.Second) // what the workers have received is stored
	w.settled(recovery)
}

// rereading is how long it may take until a change is known whose notification was lost.
const rereading = time.Minute + 15*time.Second

// recovery is how long it may take after the last fault until everything is as it should be.
const recovery = 3*lease + 15*time.Second
