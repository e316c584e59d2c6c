package natssim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errNoConsumer = apiError(404, jetstream.JSErrCodeConsumerNotFound, "consumer not found")

// A consumer delivers messages of a replica, to a subject or as answers to requests. It is on one server, in
// memory, and there are no acknowledgements.
type consumer struct {
	s       *stream
	name    string
	process string // that has created it
	cfg     jetstream.ConsumerConfig
	created time.Time
	on      *node
	over    bool

	last      []uint64 // messages to be delivered before the others: the last ones of their subjects
	next      uint64   // the first of the others
	delivered uint64
	waiting   []*pull
	beat      time.Time // when the last message or heartbeat was sent, to a subject
	active    time.Time // when there was last a subscription or a request
}

// A pull is a request for messages that is not fulfilled.
type pull struct {
	publication
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
	NoWait    bool          `json:"no_wait"`
	ends      time.Time     // zero: never
	beats     time.Time     // zero: never
}

// createConsumer answers CONSUMER.CREATE: the servers' leader chooses one of the stream's servers.
func (c *Cluster) createConsumer(streamName, rest string, p publication) {
	c.ofMeta(p, func(p publication) any {
		s := c.streams[streamName]
		if s == nil {
			return refused(errNoStream)
		}
		var there []*node
		for _, n := range s.group.peers {
			if c.both(c.meta.leader, n) {
				there = append(there, n)
			}
		}
		if len(there) == 0 {
			return refused(errNoPeers)
		}
		n := there[c.rand.IntN(len(there))]
		c.after(c.meta.leader, n, c.hop(), func() {
			if n.up && c.streams[streamName] == s {
				name, _, _ := strings.Cut(rest, ".")
				c.answer(n, p, s.makeConsumer(n, name, p))
			}
		})
		return nil
	})
}

func (s *stream) makeConsumer(n *node, name string, p publication) any {
	var r struct {
		Config jetstream.ConsumerConfig `json:"config"`
	}
	if err := json.Unmarshal(p.data, &r); err != nil {
		return refused(apiError(400, 10025, "invalid JSON: "+err.Error()))
	}
	k := &consumer{s: s, name: name, process: p.process, cfg: r.Config, created: time.Now().UTC(), on: n, next: 1, active: time.Now(), beat: time.Now()}
	k.cfg.Name = name
	if k.cfg.AckPolicy != jetstream.AckNonePolicy {
		panic("natssim: there are no consumers with acknowledgements")
	}
	st := s.replicas[n]
	switch k.cfg.DeliverPolicy {
	case jetstream.DeliverAllPolicy:
	case jetstream.DeliverNewPolicy:
		k.next = st.last + 1
	case jetstream.DeliverByStartSequencePolicy:
		k.next = max(k.cfg.OptStartSeq, 1)
	case jetstream.DeliverLastPerSubjectPolicy:
		for _, m := range st.lasts(st.last, k.filters()...) {
			k.last = append(k.last, m.seq)
		}
		k.next = st.last + 1
	default:
		panic(fmt.Sprint("natssim: there is no deliver policy ", k.cfg.DeliverPolicy))
	}
	if old := s.consumers[name]; old != nil {
		old.end("409 Consumer Deleted")
	}
	s.consumers[name] = k
	info := k.info()
	s.c.schedule(0, k.wake)
	k.tick()
	return info
}

func (k *consumer) filters() []string {
	if k.cfg.FilterSubject != "" {
		return []string{k.cfg.FilterSubject}
	}
	return k.cfg.FilterSubjects
}

// info answers CONSUMER.INFO.
func (k *consumer) info() any {
	sequence := map[string]any{"consumer_seq": k.delivered, "stream_seq": k.next - 1}
	return map[string]any{
		"stream_name": k.s.cfg.Name, "name": k.name, "created": k.created, "config": k.cfg, "ts": time.Now().UTC(),
		"delivered": sequence, "ack_floor": sequence, "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": len(k.waiting), "num_pending": k.pending(),
	}
}

// ofConsumer has the server of a consumer answer a request. Without the consumer or its server there is no
// answer, or, if always is set, that of the servers' leader.
func (c *Cluster) ofConsumer(streamName, name string, p publication, handle func(k *consumer, p publication) any, always bool) bool {
	var k *consumer
	if s := c.streams[streamName]; s != nil {
		k = s.consumers[name]
	}
	switch {
	case k != nil && c.reach(p.from, k.on):
		c.ask(k.on, p, func(_ *node, p publication) any {
			if k.over {
				return nil
			}
			return handle(k, p)
		})
		return true
	case always:
		c.ofMeta(p, func(publication) any { return refused(errNoConsumer) })
		return true
	}
	return false
}

// pull answers CONSUMER.MSG.NEXT.
func (k *consumer) pull(p publication) any {
	r := &pull{publication: p}
	if json.Unmarshal(p.data, r) != nil {
		k.status(p.reply, "400 Bad Request")
		return nil
	}
	now := time.Now()
	k.active = now
	r.Batch = max(r.Batch, 1)
	if r.NoWait && r.Expires == 0 && k.pending() == 0 {
		k.status(p.reply, "404 No Messages")
		return nil
	}
	if r.Expires > 0 {
		r.ends = now.Add(r.Expires)
		k.s.c.schedule(r.Expires, k.wake)
	}
	if r.Heartbeat > 0 {
		r.beats = now.Add(r.Heartbeat)
		k.s.c.schedule(r.Heartbeat, k.wake)
	}
	k.waiting = append(k.waiting, r)
	k.wake()
	return nil
}

// find returns the next message that is not hidden, or nil.
func (k *consumer) find() *message {
	m := k.following()
	for ; m != nil && k.hides(m); m = k.following() {
		k.step(m)
	}
	return m
}

// hides reports whether a message is hidden from the process that has created the consumer.
func (k *consumer) hides(m *message) bool {
	hidden := k.s.c.hidden[k.process]
	return len(hidden) > 0 && matchesAny(hidden, m.subject)
}

// following returns the next message, or nil.
func (k *consumer) following() *message {
	st := k.s.replicas[k.on]
	for len(k.last) > 0 {
		if m := st.bySeq(k.last[0]); m != nil {
			return m
		}
		k.last = k.last[1:] // it was removed meanwhile
	}
	m := st.next(k.next, k.filters()...)
	if m == nil {
		k.next = max(k.next, st.last+1)
	}
	return m
}

// step moves behind a message that following has returned.
func (k *consumer) step(m *message) {
	if len(k.last) > 0 {
		k.last = k.last[1:]
	} else {
		k.next = m.seq + 1
	}
}

// pending returns how many messages are not delivered.
func (k *consumer) pending() (n int) {
	st := k.s.replicas[k.on]
	for _, seq := range k.last {
		if st.bySeq(seq) != nil {
			n++
		}
	}
	for _, m := range st.messages[st.index(k.next):] {
		if matchesAny(k.filters(), m.subject) {
			n++
		}
	}
	return n
}

// wake delivers what can be delivered, and ends the requests that are over.
func (k *consumer) wake() {
	if k.over || !k.on.up {
		return
	}
	if k.cfg.DeliverSubject != "" {
		for k.s.c.heard(k.on, k.cfg.DeliverSubject) {
			m := k.find()
			if m == nil {
				return
			}
			k.beat = time.Now()
			k.deliver(k.cfg.DeliverSubject, m)
		}
		return
	}
	k.forgetUnheard()
	for m := k.find(); m != nil && len(k.waiting) > 0; m = k.find() {
		r := k.waiting[0]
		if r.ended() {
			k.waiting = k.waiting[1:]
			k.rest(r, "408 Request Timeout")
			continue
		}
		if size := len(m.subject) + len(k.ackSubject(m, k.pending()-1)) + len(m.header) + len(m.data); r.MaxBytes > 0 {
			if size > r.MaxBytes {
				k.waiting = k.waiting[1:]
				k.rest(r, "409 Message Size Exceeds MaxBytes")
				continue
			}
			if r.MaxBytes -= size; r.MaxBytes == 0 {
				r.Batch = 1
			}
		}
		// Requests take turns.
		k.waiting = k.waiting[1:]
		if r.Batch--; r.Batch > 0 {
			k.waiting = append(k.waiting, r)
		}
		if r.Heartbeat > 0 {
			r.beats = time.Now().Add(r.Heartbeat)
			k.s.c.schedule(r.Heartbeat, k.wake)
		}
		k.deliver(r.reply, m)
		if r.Batch == 0 && r.MaxBytes > 0 {
			k.rest(r, "409 Batch Completed")
		}
	}
	k.waiting = slices.DeleteFunc(k.waiting, func(r *pull) bool {
		switch {
		case r.ended():
			k.rest(r, "408 Request Timeout")
			return true
		case r.NoWait && r.Expires == 0:
			k.status(r.reply, "404 No Messages")
			return true
		case !r.beats.IsZero() && !time.Now().Before(r.beats):
			k.heartbeat(r.reply)
			r.beats = time.Now().Add(r.Heartbeat)
			k.s.c.schedule(r.Heartbeat, k.wake)
		}
		return false
	})
}

func (r *pull) ended() bool { return !r.ends.IsZero() && !time.Now().Before(r.ends) }

// forgetUnheard drops the requests of clients that do not wait for messages any more.
func (k *consumer) forgetUnheard() {
	k.waiting = slices.DeleteFunc(k.waiting, func(r *pull) bool { return !k.s.c.heard(k.on, r.reply) })
}

func (k *consumer) deliver(subject string, m *message) {
	pending := k.pending() - 1
	k.step(m)
	k.delivered++
	k.active = time.Now()
	k.s.c.publish(publication{from: k.on, subject: subject, shown: m.subject, reply: k.ackSubject(m, pending), header: m.header, data: m.data})
}

// ackSubject returns the subject of acknowledgements, which has what is known of a message.
func (k *consumer) ackSubject(m *message, pending int) string {
	return fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.%d", k.s.cfg.Name, k.name, m.seq, k.delivered, m.at.UnixNano(), pending)
}

func (k *consumer) status(to, text string) {
	k.s.c.publish(publication{from: k.on, subject: to, header: []byte("NATS/1.0 " + text + "\r\n\r\n")})
}

// rest sends a status with what is left of a request.
func (k *consumer) rest(r *pull, text string) {
	k.status(r.reply, fmt.Sprintf("%s\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d", text, r.Batch, r.MaxBytes))
}

func (k *consumer) heartbeat(to string) {
	k.status(to, fmt.Sprintf("100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d", k.delivered, k.next-1))
}

// tick sends heartbeats to a subject, and ends the consumer when there has been neither a subscription nor a
// request for its InactiveThreshold.
func (k *consumer) tick() {
	threshold := k.cfg.InactiveThreshold
	if threshold == 0 {
		threshold = 5 * time.Second
	}
	every := threshold / 2
	if k.cfg.IdleHeartbeat > 0 {
		every = min(every, k.cfg.IdleHeartbeat/2)
	}
	k.s.c.schedule(every, func() {
		if k.over || !k.on.up {
			return
		}
		now := time.Now()
		if k.cfg.DeliverSubject != "" {
			if k.s.c.heard(k.on, k.cfg.DeliverSubject) {
				k.active = now
				if hb := k.cfg.IdleHeartbeat; hb > 0 && now.Sub(k.beat) >= hb {
					k.beat = now
					k.heartbeat(k.cfg.DeliverSubject)
				}
			}
		} else if k.forgetUnheard(); len(k.waiting) > 0 {
			k.active = now
		}
		if now.Sub(k.active) >= threshold {
			k.end("409 Consumer Deleted")
			return
		}
		k.tick()
	})
}

// end removes a consumer, and ends its requests with a status.
func (k *consumer) end(status string) {
	k.over = true
	delete(k.s.consumers, k.name)
	for _, r := range k.waiting {
		k.status(r.reply, status)
	}
	k.waiting = nil
}

func (s *stream) sortedConsumers() (list []*consumer) {
	for _, name := range slices.Sorted(maps.Keys(s.consumers)) {
		list = append(list, s.consumers[name])
	}
	return list
}

// loseConsumers removes the consumers of a server that is lost.
func (s *stream) loseConsumers(n *node) {
	for _, k := range s.sortedConsumers() {
		if k.on == n {
			k.end("")
		}
	}
}

func (s *stream) wakeConsumers() {
	for _, k := range s.sortedConsumers() {
		k.wake()
	}
}

// interested is called for a new subscription.
func (c *Cluster) interested(of *sub) {
	for _, s := range c.sorted() {
		for _, k := range s.sortedConsumers() {
			if k.cfg.DeliverSubject != "" && matches(of.subject, k.cfg.DeliverSubject) {
				c.schedule(0, k.wake)
			}
		}
	}
}

// heard reports whether there is a subscription to a subject that n reaches.
func (c *Cluster) heard(n *node, subject string) bool {
	for _, other := range c.nodes {
		if !c.reach(n, other) {
			continue
		}
		for _, conn := range other.conns {
			for _, s := range conn.subs {
				if matches(s.subject, subject) {
					return true
				}
			}
		}
	}
	return false
}
