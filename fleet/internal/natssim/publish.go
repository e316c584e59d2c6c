package natssim

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A publication is a message that was published at a server.
type publication struct {
	from         *node
	process      string // that has published it; empty: the server itself
	subject      string
	shown        string // the subject that subscribers see, if it is another one
	reply        string
	late         time.Duration // the delay of the answer
	header, data []byte
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// publish sends a message to all subscriptions, to the streams and to JetStream. It reports whether any of
// them gets it, as far as the server knows.
func (c *Cluster) publish(p publication) (taken bool) {
	if c.closed || p.from == nil || !p.from.up {
		return false
	}
	for _, n := range c.nodes {
		if !c.reach(p.from, n) {
			continue
		}
		var subs []*sub
		for _, k := range n.conns {
			for _, s := range k.subs {
				if matches(s.subject, p.subject) {
					subs = append(subs, s)
				}
			}
		}
		if len(subs) == 0 {
			continue
		}
		taken = true
		deliver := func() {
			for _, s := range subs {
				s.deliver(p)
			}
		}
		switch {
		case n == p.from:
			deliver()
		case !c.chance(c.faults.LoseMessage):
			c.after(p.from, n, c.hop(), func() {
				if c.reach(p.from, n) {
					deliver()
				}
			})
		}
	}
	if api, ok := strings.CutPrefix(p.subject, "$JS.API."); ok {
		return c.request(api, p) || taken
	}
	for _, s := range c.sorted() {
		if matchesAny(s.cfg.Subjects, p.subject) && len(s.cfg.Subjects) > 0 {
			return c.toLeader(s.group, p, s.take) || taken
		}
	}
	return taken
}

// toLeader sends a request to the leader of a group, which answers it with handle. It reports whether the
// server at which it was published knows one.
func (c *Cluster) toLeader(g *group, p publication, handle func(l *node, p publication) (answer any)) bool {
	l := g.from(p.from)
	if l == nil {
		return false
	}
	c.ask(l, p, handle)
	return true
}

// ask sends a request to a server, with the faults of requests.
func (c *Cluster) ask(l *node, p publication, handle func(l *node, p publication) (answer any)) {
	d := c.hop()
	if l == p.from {
		d = 0
	}
	via := any(p.from)
	if p.process != "" {
		f := &c.faults
		switch {
		case c.chance(f.LoseRequest):
			return
		case c.chance(f.LoseAnswer):
			p.reply = ""
		case f.LateBy > 0 && c.chance(f.Late):
			d = time.Duration(c.rand.Int64N(int64(f.LateBy)))
			via = new(int) // later ones may overtake it
		case f.LateBy > 0 && c.chance(f.LateAnswer):
			p.late = time.Duration(c.rand.Int64N(int64(f.LateBy)))
		}
	}
	c.after(via, l, d, func() {
		if !c.reach(p.from, l) {
			return
		}
		c.answer(l, p, handle(l, p))
	})
}

// answer sends an answer, unless it is nil.
func (c *Cluster) answer(l *node, p publication, answer any) {
	if answer == nil || p.reply == "" {
		return
	}
	data, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	c.publishLate(p.late, publication{from: l, subject: p.reply, data: data})
}

// publishLate publishes after a delay, unless it is 0: then at once.
func (c *Cluster) publishLate(d time.Duration, p publication) {
	if d == 0 {
		c.publish(p)
		return
	}
	c.schedule(d, func() { c.publish(p) })
}

// A pubAck is the answer to a publication to a stream.
type pubAck struct {
	Stream    string              `json:"stream"`
	Seq       uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate,omitempty"`
	Error     *jetstream.APIError `json:"error,omitempty"`
}

func apiError(code int, errCode jetstream.ErrorCode, description string) *jetstream.APIError {
	return &jetstream.APIError{Code: code, ErrorCode: errCode, Description: description}
}

// take stores a publication at the leader, and returns the answer. Without a majority the answer comes
// when there is one again, or never.
func (s *stream) take(l *node, p publication) any {
	commit := func() {
		s.group.commit(l, func() {
			ack := pubAck{Stream: s.cfg.Name}
			ack.Seq, ack.Duplicate, ack.Error = s.tryTake(p)
			s.c.answer(l, p, ack)
		})
	}
	for subject, d := range s.c.slow {
		switch {
		case d == 0 || !matches(subject, p.subject):
		case s.c.inProcess[p.subject]:
			return pubAck{Stream: s.cfg.Name, Error: apiError(400, jetstream.JSErrCodeStreamWrongLastSequenceConstant, "wrong last sequence")}
		default:
			s.c.inProcess[p.subject] = true
			s.c.schedule(d, func() {
				delete(s.c.inProcess, p.subject)
				commit()
			})
			return nil
		}
	}
	commit()
	return nil
}

// tryTake stores a publication if the conditions in its headers hold.
func (s *stream) tryTake(p publication) (seq uint64, duplicate bool, err *jetstream.APIError) {
	st := s.current()
	m := &message{subject: p.subject, header: p.header, data: p.data}
	h := m.headers()
	if value := h.Get("Nats-TTL"); value != "" && value != "never" {
		if !s.cfg.AllowMsgTTL {
			return 0, false, apiError(400, 10166, "per-message TTL is disabled")
		}
		ttl, ok := parseTTL(value)
		if !ok {
			return 0, false, apiError(400, 10165, "invalid per-message TTL")
		}
		m.expires = time.Now().Add(ttl)
	}
	if value := h.Get("Nats-Expected-Last-Sequence"); value != "" && value != itoa(st.last) {
		return 0, false, wrongLast(st.last)
	}
	if value := h.Get("Nats-Expected-Last-Subject-Sequence"); value != "" {
		subject := p.subject
		if other := h.Get("Nats-Expected-Last-Subject-Sequence-Subject"); other != "" {
			subject = other
		}
		var last uint64
		if m := st.lastOf(subject); m != nil {
			last = m.seq
		}
		if value != itoa(last) {
			return 0, false, wrongLast(last)
		}
	}
	if m.id = h.Get(nats.MsgIdHdr); m.id != "" {
		if old := st.ids[m.id]; old != nil && time.Since(old.at) < s.cfg.Duplicates {
			return old.seq, true, nil
		}
	}
	rollup := h.Get("Nats-Rollup") == "sub"
	if rollup && !s.cfg.AllowRollup {
		return 0, false, apiError(500, 10111, "rollup not permitted")
	}
	if s.c.faults.Full {
		return 0, false, apiError(503, 10023, "insufficient resources")
	}
	if s.cfg.Discard == jetstream.DiscardNew && s.cfg.MaxBytes > 0 && st.bytes+m.size() > uint64(s.cfg.MaxBytes) && !rollup {
		return 0, false, apiError(503, 10077, "maximum bytes exceeded")
	}
	s.store(m, rollup)
	return m.seq, false, nil
}

func wrongLast(seq uint64) *jetstream.APIError {
	return apiError(400, jetstream.JSErrCodeStreamWrongLastSequence, "wrong last sequence: "+itoa(seq))
}

// parseTTL parses the time to live of a message, which is seconds or a duration.
func parseTTL(value string) (time.Duration, bool) {
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(n) * time.Second, n > 0
	}
	d, err := time.ParseDuration(value)
	return d.Truncate(time.Second), err == nil && d >= time.Second
}
