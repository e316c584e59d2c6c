package simulation

import (
	"math/rand/v2"
	"time"
)

// A schedule is all that happens in one run, as data. Each step has a meaning of its own, or has no
// effect where it does not apply, so that any steps can be left out.
type schedule struct {
	Seed     uint64
	Settings settings
	Steps    []step
}

// A step is one thing that happens. Which fields it uses depends on Do, see steps_test.go.
type step struct {
	Do   string
	On   string        `json:",omitempty"` // the name of a function of the user's, or a direction
	Then string        `json:",omitempty"` // what that function does
	N    int           `json:",omitempty"`
	D    time.Duration `json:",omitempty"`
	Now  bool          `json:",omitempty"` // the next step follows while this one is still going on
}

// settings are the options of the client, and the characters of the server and of the network.
type settings struct {
	Messages, Bytes int // of WithQueue
	Policy          int
	Drain           time.Duration
	Tiers           []time.Duration // the delays of three attempts each; the last one is without end
	Interval        time.Duration   // of WithLiveness; 0: off
	Timeout         time.Duration
	Beat            time.Duration // 0: no heartbeats
	NewBeat         bool          // they are made by a function
	Dial            time.Duration // of WithDialTimeout
	Login           bool
	Endpoint        bool
	Setup           time.Duration // the timeout of an AfterConnect function; 0: none
	Heedless        bool          // that function ignores its context
	Greeting        bool          // it waits for a message of the server
	Logger          bool
	Monitor         bool
	Traces          bool // all of them; otherwise those that the accounts need

	Buffer           int           // of each socket, in bytes
	Latency          time.Duration // of the network
	Handshake        time.Duration // how long the server takes for one
	Echo             bool          // the server answers each message
	ReadsWhenWritten bool          // the server reads nothing while it cannot write
	Answer           time.Duration // how long an answer takes
	Talks            time.Duration // between two messages that the server sends of its own accord; 0: none
	Limit            int           // of the messages that the server takes, in bytes; 0: none
	Flap             time.Duration // between two changes of the network while everything else heals; 0: none
	Toggles          bool          // with each of them it comes or goes
}

// A source makes schedules. Each has a function of the user's and a call that are frequent in it.
type source struct {
	*rand.Rand
	hook, call int
}

func oneOf[T any](s source, values ...T) T { return values[s.IntN(len(values))] }

func (s source) chance(percent int) bool { return s.IntN(100) < percent }

// odd returns a duration of about d, of which no two are equal, so that timers seldom fire at the
// same instant: their order would not follow from the seed.
func (s source) odd(d time.Duration) time.Duration {
	return d*9/10 + time.Duration(s.Int64N(int64(d/5)+1))
}

// newSchedule makes the schedule of a seed. Each has its own kinds of steps, since much happens only
// where one kind is frequent and another, which would undo it, is not there.
func newSchedule(seed uint64) *schedule {
	s := source{Rand: rand.New(rand.NewPCG(seed, 16))}
	s.hook, s.call = s.IntN(len(hooks)), s.IntN(len(calls))
	if s.chance(40) {
		s.hook = 0 // OnMessage, which is called most
	}
	sc := &schedule{Seed: seed, Settings: s.settings()}
	var weights []int
	total := 0
	for i, k := range kinds {
		w := k.weight * oneOf(s, 0, 0, 1, 1, 5)
		if i == 0 { // time always passes
			w = max(w, k.weight)
		}
		weights = append(weights, w)
		total += w
	}
	n := 10 + s.IntN(60)
	if s.chance(80) { // otherwise it begins with a client that is not connected
		sc.Steps = append(sc.Steps, s.connect()...)
	}
	if sc.Settings.Messages > many {
		sc.Steps = append(sc.Steps, s.crowd(&sc.Settings)...)
	}
	for range n {
		if s.chance(4) {
			sc.Steps = append(sc.Steps, scenes[s.IntN(len(scenes))](s, &sc.Settings)...)
		}
		at := s.IntN(total)
		i := 0
		for ; at >= weights[i]; i++ {
			at -= weights[i]
		}
		next := kinds[i].step(s, &sc.Settings)
		next.Now = s.chance(15)
		sc.Steps = append(sc.Steps, next)
		switch next.Do {
		case "close", "closeNow", "shutdown":
			if s.chance(70) {
				sc.Steps = append(sc.Steps, s.connect()...)
			}
		}
	}
	return sc
}

// connect makes the steps that connect a client, mostly until it is open.
func (s source) connect() []step {
	steps := []step{{Do: oneOf(s, "connect", "connect", "run"), D: s.odd(10 * time.Minute)}}
	if s.chance(70) {
		steps = append(steps, step{Do: "advance", D: s.odd(1500 * time.Millisecond)})
	}
	return steps
}

// crowd makes the steps that fill a large queue, most of which then leaves it at once.
func (s source) crowd(t *settings) []step {
	fill := step{Do: "sends", N: t.Messages - 200, D: s.timeout()}
	return []step{{Do: "hold", On: "up"}, fill, {Do: oneOf(s, "flow", "close", "closeNow", "shutdown"), D: s.timeout()}}
}

func (s source) settings() settings {
	t := settings{
		Messages: oneOf(s, 0, 1, 2, 5, 20, 20, 200, 1024),
		Bytes:    oneOf(s, 300, 2000, 50_000, 1<<20, 1<<20),
		Policy:   s.IntN(3),
		Drain:    oneOf(s, 0, s.odd(200*time.Millisecond), s.odd(time.Second), s.odd(5*time.Second)),
		Tiers:    []time.Duration{s.odd(100 * time.Millisecond), s.odd(oneOf(s, time.Second, 3*time.Second, 20*time.Second))},
		Dial:     s.odd(oneOf(s, time.Second, 5*time.Second, 10*time.Second)),
		Login:    s.chance(40),
		Endpoint: s.chance(30),
		Logger:   s.chance(30),
		Monitor:  s.chance(50),
		Traces:   s.chance(50),

		Buffer:           oneOf(s, 200, 1000, 4096, 65536, 1<<20, 1<<20),
		Latency:          oneOf(s, 0, 0, s.odd(time.Millisecond), s.odd(40*time.Millisecond)),
		Handshake:        oneOf(s, 0, 0, s.odd(50*time.Millisecond), s.odd(600*time.Millisecond)),
		Echo:             s.chance(40),
		ReadsWhenWritten: s.chance(30),
		Answer:           oneOf(s, 0, 0, s.odd(5*time.Millisecond), s.odd(2*time.Second)),
	}
	if s.chance(1) {
		t.Messages, t.Bytes = 4*many, 1<<22
		t.Buffer = max(t.Buffer, 65536) // with small ones it would take minutes to write them
	}
	if s.chance(70) {
		t.Timeout = s.odd(oneOf(s, 3*time.Second, 10*time.Second))
		t.Interval = t.Timeout * 3 / 10
	}
	if s.chance(60) {
		t.Beat, t.NewBeat = s.odd(3*time.Second), s.chance(50)
	}
	if s.chance(40) {
		t.Setup, t.Heedless, t.Greeting = s.odd(oneOf(s, time.Second, 5*time.Second)), s.chance(50), s.chance(80)
	}
	if s.chance(25) {
		t.Talks = s.odd(oneOf(s, 500*time.Millisecond, 2*time.Second))
	}
	if s.chance(20) {
		t.Limit = oneOf(s, 1000, 10_000)
	}
	if t.Monitor && s.chance(30) {
		t.Flap, t.Toggles = s.odd(450*time.Millisecond), s.chance(50)
	}
	return t
}
