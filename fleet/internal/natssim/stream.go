package natssim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream is a log of operations, which its leader adds to, and a replica of the result on each server of
// its group.
type stream struct {
	c         *Cluster
	cfg       jetstream.StreamConfig
	created   time.Time
	group     *group
	log       []operation
	replicas  map[*node]*store
	consumers map[string]*consumer
	expiring  time.Time // when the next message expires; zero: none does
}

// sorted returns all streams by name.
func (c *Cluster) sorted() (list []*stream) {
	for _, name := range slices.Sorted(maps.Keys(c.streams)) {
		list = append(list, c.streams[name])
	}
	return list
}

// create makes a stream.
func (c *Cluster) create(cfg jetstream.StreamConfig) *stream {
	s := &stream{c: c, cfg: cfg, created: time.Now().UTC(), replicas: map[*node]*store{}, consumers: map[string]*consumer{}}
	peers := slices.Clone(c.nodes)
	c.rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	slices.SortStableFunc(peers, func(a, b *node) int { // those that are there first
		return cmp.Compare(btoi(!a.up), btoi(!b.up))
	})
	s.group = &group{c: c, peers: peers[:cfg.Replicas], elected: func() { s.elected() }}
	for _, p := range s.group.peers {
		s.replicas[p] = newStore(s)
	}
	s.group.leader = s.group.peers[0]
	c.streams[cfg.Name] = s
	if !s.group.quorum(s.group.leader) {
		s.group.changed()
	}
	return s
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// remove removes a stream and its consumers.
func (c *Cluster) remove(s *stream) {
	delete(c.streams, s.cfg.Name)
	for _, name := range slices.Sorted(maps.Keys(s.consumers)) {
		s.consumers[name].end("409 Consumer Deleted")
	}
	s.group.elected = nil
	s.group.election++
	s.group.leader, s.group.deposed, s.group.waiting = nil, nil, nil
}

// current returns the store of the leader.
func (s *stream) current() *store { return s.replicas[s.group.leader] }

// apply adds an operation to the log. There must be a leader, which executes it at once, and the others
// later.
func (s *stream) apply(o operation) {
	s.log = append(s.log, o)
	s.catchUp(s.group.leader, len(s.log))
	for _, p := range s.group.peers {
		if p != s.group.leader {
			s.replicate(p)
		}
	}
}

// elected makes a new leader execute all operations: a candidate that has not stored them gets no votes.
func (s *stream) elected() {
	s.catchUp(s.group.leader, len(s.log))
	for _, p := range s.group.peers {
		s.replicate(p)
	}
	s.expire()
}

// replicate makes a server execute the operations of the log after a while.
func (s *stream) replicate(p *node) {
	l := s.group.leader
	if l == nil || l == p || !s.c.both(l, p) {
		return
	}
	most := cmp.Or(s.c.faults.Lag, time.Millisecond)
	upTo := len(s.log)
	s.c.after(s, p, time.Duration(s.c.rand.Int64N(int64(most))), func() {
		if s.group.leader != nil && s.c.both(s.group.leader, p) {
			s.catchUp(p, upTo)
		}
	})
}

// catchUp makes a server execute the operations up to a number of them.
func (s *stream) catchUp(p *node, upTo int) {
	st := s.replicas[p]
	if st.applied >= upTo {
		return
	}
	for ; st.applied < upTo; st.applied++ {
		s.log[st.applied](st)
	}
	for _, name := range slices.Sorted(maps.Keys(s.consumers)) {
		if k := s.consumers[name]; k.on == p {
			k.wake()
		}
	}
}

// store stores a message, with a leader that has a majority.
func (s *stream) store(m *message, rollup bool) {
	var before uint64 // the last message with the subject
	if m := s.current().lastOf(m.subject); m != nil {
		before = m.seq
	}
	m.seq, m.at = s.current().last+1, time.Now().UTC()
	if s.cfg.MaxAge > 0 && m.headers().Get("Nats-TTL") != "never" {
		if old := m.at.Add(s.cfg.MaxAge); m.expires.IsZero() || old.Before(m.expires) {
			m.expires = old
		}
	}
	s.apply(put(m, rollup))
	if s.c.onStore != nil {
		s.c.onStore(Stored{s.cfg.Name, m.subject, m.seq, m.header, m.data, m.at})
	}
	s.expireAt(m.expires)
	s.republish(m, before)
}

// expireAt looks for messages that have expired at a time.
func (s *stream) expireAt(at time.Time) {
	if at.IsZero() || !s.expiring.IsZero() && !at.Before(s.expiring) {
		return
	}
	s.expiring = at
	s.c.scheduleAt(at, func() {
		if s.expiring.Equal(at) {
			s.expiring = time.Time{}
			s.expire()
		}
	})
}

// expire removes the messages that have expired, with a leader that has a majority: else they are
// removed later, which is when there is one. The last message of a subject leaves a marker.
func (s *stream) expire() {
	if s.c.streams[s.cfg.Name] != s {
		return
	}
	if !s.group.quorum(s.group.leader) {
		s.group.commit(s.group.leader, s.expire)
		return
	}
	var next time.Time
	for _, m := range slices.Clone(s.current().messages) {
		switch {
		case m.expires.IsZero():
		case m.expires.After(time.Now()):
			if next.IsZero() || m.expires.Before(next) {
				next = m.expires
			}
		default:
			last := s.current().lastOf(m.subject) == m
			s.apply(take(m.seq))
			if ttl := s.cfg.SubjectDeleteMarkerTTL; ttl > 0 && last && !m.marker() {
				h := nats.Header{jetstream.MarkerReasonHeader: {"MaxAge"}, "Nats-Rollup": {"sub"}, "Nats-TTL": {ttl.String()}}
				s.store(&message{subject: m.subject, header: encode(h), expires: time.Now().Add(ttl)}, true)
			}
		}
	}
	s.expireAt(next)
}

// republish publishes a message that was stored, if the stream does that.
func (s *stream) republish(m *message, before uint64) {
	r := s.cfg.RePublish
	if r == nil || !matches(r.Source, m.subject) {
		return
	}
	h := m.headers()
	h.Set("Nats-Stream", s.cfg.Name)
	h.Set("Nats-Subject", m.subject)
	h.Set("Nats-Sequence", itoa(m.seq))
	h.Set("Nats-Last-Sequence", itoa(before))
	h.Set("Nats-Time-Stamp", m.at.Format(time.RFC3339Nano))
	data := m.data
	if r.HeadersOnly {
		h.Set("Nats-Msg-Size", itoa(uint64(len(data))))
		data = nil
	}
	to := mapped(r.Source, r.Destination, m.subject)
	s.c.publish(publication{from: s.group.leader, subject: to, header: encode(h), data: data})
}

// mapped returns the destination for a subject that matches source: wildcards are what they stand for.
func mapped(source, destination, subject string) string {
	tokens := strings.Split(subject, ".")
	wildcards := 0
	for i, token := range strings.Split(source, ".") {
		switch token {
		case "*":
			wildcards++
			destination = strings.ReplaceAll(destination, fmt.Sprintf("{{wildcard(%d)}}", wildcards), tokens[i])
		case ">":
			destination = strings.TrimSuffix(destination, ">") + strings.Join(tokens[i:], ".")
		}
	}
	return destination
}

// encode returns headers as they are sent.
func encode(h nats.Header) []byte {
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}
