// Package tally sums the statistics of any number of clients, for the packages that
// export them to a monitoring system. It keeps totals that never decrease although
// clients are added and removed.
package tally

import (
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// States are all states of a client, in the order of their numbers.
var States = [...]wechatws.State{
	wechatws.StateIdle,
	wechatws.StateConnecting,
	wechatws.StateOpen,
	wechatws.StateWaiting,
	wechatws.StateOffline,
	wechatws.StateClosed,
	wechatws.StateFailed,
}

// Causes are all causes of a disconnect: the value of the label, and how to read each.
var Causes = [...]struct {
	Name string
	Of   func(wechatws.Disconnects) int
}{
	{"closed", func(d wechatws.Disconnects) int { return d.Closed }},
	{"lost", func(d wechatws.Disconnects) int { return d.Lost }},
	{"half_open", func(d wechatws.Disconnects) int { return d.HalfOpen }},
	{"protocol", func(d wechatws.Disconnects) int { return d.Protocol }},
	{"local", func(d wechatws.Disconnects) int { return d.Local }},
}

// Counts are cumulative.
type Counts struct {
	Attempts, Opens       int
	Disconnects           wechatws.Disconnects
	MessagesIn, BytesIn   int64
	MessagesOut, BytesOut int64
	Skipped, Dropped      int64
}

func countsOf(s wechatws.Stats) Counts {
	return Counts{
		Attempts: s.Attempts, Opens: s.Opens, Disconnects: s.Disconnects,
		MessagesIn: s.MessagesIn, BytesIn: s.BytesIn,
		MessagesOut: s.MessagesOut, BytesOut: s.BytesOut,
		Skipped: s.Skipped, Dropped: s.Dropped,
	}
}

// add adds the difference of two snapshots.
func (c *Counts) add(from, to Counts) {
	c.Attempts += to.Attempts - from.Attempts
	c.Opens += to.Opens - from.Opens
	c.Disconnects.Closed += to.Disconnects.Closed - from.Disconnects.Closed
	c.Disconnects.Lost += to.Disconnects.Lost - from.Disconnects.Lost
	c.Disconnects.HalfOpen += to.Disconnects.HalfOpen - from.Disconnects.HalfOpen
	c.Disconnects.Protocol += to.Disconnects.Protocol - from.Disconnects.Protocol
	c.Disconnects.Local += to.Disconnects.Local - from.Disconnects.Local
	c.MessagesIn += to.MessagesIn - from.MessagesIn
	c.BytesIn += to.BytesIn - from.BytesIn
	c.MessagesOut += to.MessagesOut - from.MessagesOut
	c.BytesOut += to.BytesOut - from.BytesOut
	c.Skipped += to.Skipped - from.Skipped
	c.Dropped += to.Dropped - from.Dropped
}

// A Total is the sum of the clients with one name.
type Total struct {
	Name string

	// Counts are those of the clients since each was added, and of those that were
	// removed up to then.
	Counts

	Clients [len(States)]int       // number of clients in each state
	Since   [len(States)]time.Time // when the client that is longest in the state entered it; zero: none is in it

	Queued, QueuedBytes int // of all together
	MaxQueued           int // the maximum of any client
	Inbox               int
	MaxInbox            int

	// Of the clients that have measured a round trip; zero: none has.
	RTT, SmoothedRTT time.Duration // the mean
	MaxSmoothedRTT   time.Duration // of the one with the longest
	MaxRTT           time.Duration

	LastErrorAt time.Time // the latest; zero: none
	AwaySince   time.Time // of the one that is not open for the longest, without those that are closed; zero: none
}

// A Set is a set of clients with names. Its methods may be called from any goroutine,
// including callbacks of the clients.
type Set struct {
	together bool

	mu     sync.Mutex
	groups map[string]*group
}

// A group is the clients of one name.
type group struct {
	members map[*member]struct{}
	gone    Counts // of clients that were removed
}

type member struct {
	client *wechatws.Client
	before Counts // when it was added
}

// NewSet makes an empty set. If together is true, all clients are one group, whatever
// their names, which always exists. Otherwise a group exists as long as it has clients, so
// that a program with changing names does not grow.
func NewSet(together bool) *Set {
	s := &Set{together: together, groups: map[string]*group{}}
	if together {
		s.groups[""] = &group{members: map[*member]struct{}{}}
	}
	return s
}

// Add adds a client. Its counts before Add are subtracted, so that a total does not jump
// when a client is added late or again. The returned function removes it; its counts
// remain in its group's total. Calls of it after the first do nothing.
func (s *Set) Add(name string, c *wechatws.Client) (remove func()) {
	if s.together {
		name = ""
	}
	m := &member{client: c, before: countsOf(c.Stats())}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		g = &group{members: map[*member]struct{}{}}
		s.groups[name] = g
	}
	g.members[m] = struct{}{}
	return sync.OnceFunc(func() { s.remove(name, g, m) })
}

func (s *Set) remove(name string, g *group, m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.gone.add(m.before, countsOf(m.client.Stats()))
	delete(g.members, m)
	if len(g.members) == 0 && !s.together {
		delete(s.groups, name)
	}
}

// Totals returns the current totals of all groups, in no particular order.
func (s *Set) Totals() []Total {
	// The snapshots are taken under the lock, so that each is at least as new as those of
	// any earlier call: no total ever decreases.
	s.mu.Lock()
	defer s.mu.Unlock()
	totals := make([]Total, 0, len(s.groups))
	for name, g := range s.groups {
		totals = append(totals, g.total(name))
	}
	return totals
}

func (g *group) total(name string) Total {
	t := Total{Name: name, Counts: g.gone}
	var last, smoothed time.Duration
	var measured int
	for m := range g.members {
		s := m.client.Stats()
		t.add(m.before, countsOf(s))
		t.stand(s.State, s.Since)
		t.Queued += s.Queued
		t.QueuedBytes += s.QueuedBytes
		t.MaxQueued = max(t.MaxQueued, s.MaxQueued)
		t.Inbox += s.Inbox
		t.MaxInbox = max(t.MaxInbox, s.MaxInbox)
		if s.MaxRTT > 0 {
			measured++
			last += s.RTT
			smoothed += s.SmoothedRTT
			t.MaxSmoothedRTT = max(t.MaxSmoothedRTT, s.SmoothedRTT)
			t.MaxRTT = max(t.MaxRTT, s.MaxRTT)
		}
		if s.LastErrorAt.After(t.LastErrorAt) {
			t.LastErrorAt = s.LastErrorAt
		}
		if away := s.AwaySince; s.State != wechatws.StateClosed && !away.IsZero() && (t.AwaySince.IsZero() || away.Before(t.AwaySince)) {
			t.AwaySince = away
		}
	}
	if measured > 0 {
		t.RTT, t.SmoothedRTT = last/time.Duration(measured), smoothed/time.Duration(measured)
	}
	return t
}

// stand counts a client in its state.
func (t *Total) stand(state wechatws.State, since time.Time) {
	if state < 0 || int(state) >= len(States) { // of a library that is newer than this
		return
	}
	t.Clients[state]++
	if first := &t.Since[state]; first.IsZero() || since.Before(*first) {
		*first = since
	}
}
