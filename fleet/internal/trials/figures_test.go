package trials_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet/internal/audit"
)

// partitions is the fleet's default.
const partitions = 16

// shards is the fleet's default, too.
const shards = 4096

// unacknowledged bounds the messages that a process can have handled and not acknowledged, by the traffic
// of a second.
const unacknowledged = 200

// counts is what there is to count, since the trial began.
type counts struct {
	at              time.Time
	twice, sockets  int
	in              inbound
	out             outbound
	handledAgain    int
	handledDisorder int
	refused         int
}

// confirmTimeout is wechatws.ConfirmTimeout's default: a message that is not confirmed by then is written
// again, also on a connection that has not turned out to be half-open. That takes the client longer than
// its liveness timeout, which is as long, when acknowledgements of the kernel have come late.
const confirmTimeout = 10 * time.Second

// A scenario is one thing that is done to a fleet.
type scenario struct {
	*testing.T
	trial *trial
	began time.Time
	// said is the number of messages before, in each room: some perhaps while it was empty.
	said map[string]int
	// hurt are the workers that something is done to, by label: their rooms may change hands.
	hurt []string
	// newcomers may take any room.
	newcomers []string
	// frozen processes keep their sockets while others hold their rooms.
	frozen bool
	// torn are connections of workers that are hurt: what was written to these may be lost, if it
	// was not to be confirmed.
	torn bool
	// silent is for how long the rooms of workers that are hurt answer nothing.
	silent time.Duration
	// lost is a worker that is, if one is: its rooms must be back soon.
	lost string
	// soon is how soon; backSoon if it is zero.
	soon time.Duration
	// back is how long rooms were without a holder that had lost theirs.
	back []time.Duration
}

// A row is what has come of a scenario.
type row struct {
	name                      string
	rooms                     int // that lost their holder
	p50, p99, most            time.Duration
	twice, sockets, disturbed int
	plain, lostPlain          int
	confirmed, lostConfirmed  int
	again                     int
	in, inTwice, inHoles      int
	handledAgain, disorder    int
}

// run runs one scenario while all rooms have traffic, and checks the guarantees.
func (tr *trial) run(name string, do func(s *scenario)) {
	tr.Run(name, func(t *testing.T) {
		whole := tr.T
		tr.T = t
		defer func() { tr.T = whole }()
		tr.untilSettled()
		s := &scenario{T: t, trial: tr, said: maps.Clone(tr.traffic.said)}
		sent := tr.traffic.total
		tr.traffic.talk()
		until(t, "they talk", func() bool {
			tr.traffic.mu.Lock()
			defer tr.traffic.mu.Unlock()
			return tr.traffic.total > sent+20
		})
		s.began = time.Now()
		do(s)
		tr.untilSettled()
		tr.traffic.quiet()
		tr.untilSettled() // also what was lost at the very end is back
		s.untilPublished()
		tr.untilArrived()
		s.check()
	})
}

func (tr *trial) count() (c counts, holds []audit.Hold, list []published) {
	events := tr.backend.Server().Events()
	holds, list = audit.Holds(events), tr.published()
	_, again, disorder := tr.handled.count()
	return counts{
		at: time.Now(), twice: len(audit.Twice(holds)), sockets: len(audit.TwoSockets(holds)), in: countInbound(list),
		out: tr.traffic.countOutbound(events), handledAgain: again, handledDisorder: disorder, refused: tr.traffic.refused,
	}, holds, list
}

// atTheBeginning is the holder of each room.
func (s *scenario) atTheBeginning(holds []audit.Hold) map[string]audit.Hold {
	last := map[string]audit.Hold{}
	for _, h := range holds {
		if h.From.Before(s.began) {
			last[h.Room] = h
		}
	}
	return last
}

// opened is how often rooms had a new connection.
func (s *scenario) opened(holds []audit.Hold) map[string]int {
	opened := map[string]int{}
	for _, h := range holds {
		if h.From.After(s.began) {
			opened[h.Room]++
		}
	}
	return opened
}

// untilPublished waits until all that was said is in the stream, in rooms that kept their connection:
// there is no traffic.
func (s *scenario) untilPublished() {
	tr := s.trial
	until(s.T, "all that was said is published", func() bool {
		opened := s.opened(audit.Holds(tr.backend.Server().Events()))
		last := countInbound(tr.published()).last
		return !slices.ContainsFunc(tr.traffic.rooms, func(room string) bool {
			return opened[room] == 0 && tr.traffic.said[room] > s.said[room] && last[room] < tr.traffic.said[room]
		})
	})
}

// backSince notes how soon a worker was in each room again after all had lost theirs.
func (s *scenario) backSince(at time.Time) {
	seen := map[string]bool{}
	for _, h := range audit.Holds(s.trial.backend.Server().Events()) {
		if h.From.After(at) && !seen[h.Room] {
			seen[h.Room] = true
			s.back = append(s.back, h.From.Sub(at))
		}
	}
	assert.Len(s, s.back, len(s.trial.traffic.rooms), "rooms that are back")
}

// handedOver notes for how long rooms were empty that changed hands.
func (s *scenario) handedOver() {
	s.back = append(s.back, audit.Between(audit.Holds(s.trial.backend.Server().Events()), s.began, time.Now())...)
	assert.NotEmpty(s, s.back)
}

// disturbed counts rooms that had another connection although nothing was done to their holder.
func (s *scenario) disturbed(holds []audit.Hold) int {
	first, rooms := s.atTheBeginning(holds), map[string]bool{}
	for _, h := range holds {
		if h.From.After(s.began) && !slices.Contains(s.newcomers, h.Worker) && !slices.Contains(s.hurt, first[h.Room].Worker) {
			rooms[h.Room] = true
		}
	}
	return len(rooms)
}

// undisturbed checks that nothing happened to rooms to whose holder nothing was done.
func (s *scenario) undisturbed() {
	s.Helper()
	assert.Zero(s, s.disturbed(audit.Holds(s.trial.backend.Server().Events())), "rooms of other workers")
}

// check checks the guarantees, and notes the figures.
func (s *scenario) check() {
	tr := s.trial
	now, holds, list := tr.count()
	before := tr.before
	tr.before = now
	first := s.atTheBeginning(holds)

	assert.Equal(s, before.twice, now.twice, "rooms held twice: %v", audit.Twice(holds))
	if !s.frozen {
		assert.Equal(s, before.sockets, now.sockets, "connections of a former holder that were there still")
	}

	assert.Zero(s, now.in.twice, "messages that are twice in the stream")
	assert.Zero(s, now.in.disorder, "messages out of order in the stream")
	assert.Zero(s, now.in.holes, "messages that are missing inside a connection")
	assert.Zero(s, now.in.fences, "messages of a former holder behind those of a later one")

	opened := s.opened(holds)
	for _, room := range tr.traffic.rooms {
		if opened[room] == 0 && tr.traffic.said[room] > s.said[room] {
			assert.Equal(s, tr.traffic.said[room], now.in.last[room], "room %s kept its connection", room)
		}
		hurt := slices.Contains(s.hurt, first[room].Worker)
		again := opened[room] // once for each new connection
		if hurt {
			again += int(s.silent / confirmTimeout)
		}
		assert.LessOrEqual(s, now.out.again[room]-before.out.again[room], again, "messages that were written again to %s", room)
		if lost := now.out.lost[room] - before.out.lost[room]; !s.torn || !hurt {
			assert.Zero(s, lost, "plain messages to %s that are lost, and no connection was torn", room)
		}
	}
	assert.Zero(s, now.out.lostConfirmed, "confirmed messages that are lost")
	assert.Equal(s, before.out.disorder, now.out.disorder, "messages to rooms out of order")

	messages, _, _ := tr.handled.count()
	assert.Empty(s, missing(list, messages), "messages that nobody has handled")
	assert.Equal(s, before.handledDisorder, now.handledDisorder, "messages that were handled after a later one of their room")
	assert.LessOrEqual(s, now.handledAgain-before.handledAgain, unacknowledged, "messages that were handled again")

	if s.lost != "" {
		back, missing := audit.Gaps(holds, s.lost, s.began)
		assert.Zero(s, missing, "rooms that are not back")
		assert.NotEmpty(s, back)
		s.back = back
	}
	slices.Sort(s.back)
	assert.LessOrEqual(s, audit.Percentile(s.back, 0.99), cmp.Or(s.soon, backSoon))
	sum := func(m map[string]int) (n int) {
		for _, one := range m {
			n += one
		}
		return n
	}
	r := row{
		name: s.Name()[strings.IndexByte(s.Name(), '/')+1:], rooms: len(s.back),
		p50: audit.Percentile(s.back, 0.5), p99: audit.Percentile(s.back, 0.99), most: audit.Percentile(s.back, 1),
		twice: now.twice - before.twice, sockets: now.sockets - before.sockets, disturbed: s.disturbed(holds),
		plain: now.out.plain - before.out.plain, lostPlain: now.out.lostPlain - before.out.lostPlain,
		confirmed: now.out.confirmed - before.out.confirmed, lostConfirmed: now.out.lostConfirmed - before.out.lostConfirmed,
		again: sum(now.out.again) - sum(before.out.again),
		in:    now.in.total - before.in.total, inTwice: now.in.twice - before.in.twice, inHoles: now.in.holes - before.in.holes,
		handledAgain: now.handledAgain - before.handledAgain,
		disorder: now.in.disorder - before.in.disorder + now.in.fences - before.in.fences +
			now.out.disorder - before.out.disorder + now.handledDisorder - before.handledDisorder,
	}
	tr.rows = append(tr.rows, r)
	s.Log("\n" + heading + r.String())
}

// table returns all figures, as in docs/fleet-design.md.
func (tr *trial) table() string {
	var b strings.Builder
	b.WriteString(heading)
	for _, r := range tr.rows {
		b.WriteString(r.String())
	}
	return b.String()
}

const heading = `| scenario | rooms | back p50 / p99 / max, s | held twice | sockets | disturbed | plain: sent, lost | confirmed: sent, lost | written again | in: published, twice, missing | handled again | out of order |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`

func (r row) String() string {
	back := "–"
	if r.rooms > 0 {
		back = fmt.Sprintf("%.1f / %.1f / %.1f", r.p50.Seconds(), r.p99.Seconds(), r.most.Seconds())
	}
	return fmt.Sprintf("| %s | %d | %s | %d | %d | %d | %d, %d | %d, %d | %d | %d, %d, %d | %d | %d |\n",
		strings.ReplaceAll(r.name, "_", " "), r.rooms, back, r.twice, r.sockets, r.disturbed, r.plain, r.lostPlain, r.confirmed, r.lostConfirmed,
		r.again, r.in, r.inTwice, r.inHoles, r.handledAgain, r.disorder)
}
