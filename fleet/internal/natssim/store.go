package natssim

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A message is one that is stored.
type message struct {
	seq          uint64
	subject      string
	header, data []byte
	at           time.Time
	expires      time.Time // zero: never
	id           string    // for duplicates
}

func (m *message) headers() nats.Header {
	if len(m.header) == 0 {
		return nats.Header{}
	}
	h, err := nats.DecodeHeadersMsg(m.header)
	if err != nil {
		return nats.Header{}
	}
	return h
}

// marker reports whether the message is about the end of its subject.
func (m *message) marker() bool {
	h := m.headers()
	return h.Get(jetstream.MarkerReasonHeader) != "" || h.Get("KV-Operation") == "PURGE"
}

// size is what the file store of NATS takes for a message.
func (m *message) size() uint64 {
	n := 30 + len(m.subject) + len(m.data)
	if len(m.header) > 0 {
		n += 4 + len(m.header)
	}
	return uint64(n)
}

// A store is a replica of a stream: what comes of the first operations of its log.
type store struct {
	s         *stream
	applied   int // operations
	messages  []*message
	bySubject map[string][]*message
	first     uint64
	last      uint64
	lastAt    time.Time
	bytes     uint64
	ids       map[string]*message
}

func newStore(s *stream) *store {
	return &store{s: s, bySubject: map[string][]*message{}, ids: map[string]*message{}, first: 1}
}

// An operation changes a store.
type operation func(st *store)

// put is the operation that stores a message.
func put(m *message, rollup bool) operation {
	return func(st *store) {
		cfg := &st.s.cfg
		if rollup {
			for _, old := range slices.Clone(st.bySubject[m.subject]) {
				st.remove(old)
			}
		}
		st.messages = append(st.messages, m)
		st.bySubject[m.subject] = append(st.bySubject[m.subject], m)
		st.last, st.lastAt = m.seq, m.at
		st.bytes += m.size()
		if m.id != "" {
			st.ids[m.id] = m
		}
		if most := cfg.MaxMsgsPerSubject; most > 0 && int64(len(st.bySubject[m.subject])) > most {
			st.remove(st.bySubject[m.subject][0])
		}
		for cfg.Discard == jetstream.DiscardOld && cfg.MaxBytes > 0 && st.bytes > uint64(cfg.MaxBytes) {
			st.remove(st.messages[0])
		}
		st.setFirst()
	}
}

// take is the operation that removes the message with a sequence, if it exists.
func take(seq uint64) operation {
	return func(st *store) {
		if m := st.bySeq(seq); m != nil {
			st.remove(m)
			st.setFirst()
		}
	}
}

// purge is the operation that removes all messages that match, below a sequence unless it is 0.
func purge(filter string, below uint64) operation {
	return func(st *store) {
		for _, m := range slices.Clone(st.messages) {
			if (filter == "" || matches(filter, m.subject)) && (below == 0 || m.seq < below) {
				st.remove(m)
			}
		}
		st.setFirst()
	}
}

func (st *store) remove(m *message) {
	i := st.index(m.seq)
	st.messages = slices.Delete(st.messages, i, i+1)
	same := slices.DeleteFunc(st.bySubject[m.subject], func(other *message) bool { return other == m })
	if st.bySubject[m.subject] = same; len(same) == 0 {
		delete(st.bySubject, m.subject)
	}
	st.bytes -= m.size()
}

func (st *store) setFirst() {
	if len(st.messages) > 0 {
		st.first = st.messages[0].seq
	} else {
		st.first = st.last + 1
	}
}

// index returns where the first message at a sequence or behind it is.
func (st *store) index(seq uint64) int {
	i, _ := slices.BinarySearchFunc(st.messages, seq, func(m *message, seq uint64) int { return cmp.Compare(m.seq, seq) })
	return i
}

func (st *store) bySeq(seq uint64) *message {
	if i := st.index(seq); i < len(st.messages) && st.messages[i].seq == seq {
		return st.messages[i]
	}
	return nil
}

// next returns the first message at a sequence or behind it that matches one of the filters.
func (st *store) next(seq uint64, filters ...string) *message {
	for _, m := range st.messages[st.index(seq):] {
		if matchesAny(filters, m.subject) {
			return m
		}
	}
	return nil
}

// lastOf returns the last message whose subject matches.
func (st *store) lastOf(filter string) (last *message) {
	if !strings.ContainsAny(filter, "*>") {
		if list := st.bySubject[filter]; len(list) > 0 {
			return list[len(list)-1]
		}
		return nil
	}
	for _, m := range st.messages {
		if matches(filter, m.subject) {
			last = m
		}
	}
	return last
}

// lasts returns the last message of each subject that matches one of the filters, in their order.
func (st *store) lasts(upTo uint64, filters ...string) (list []*message) {
	for subject, all := range st.bySubject {
		if !matchesAny(filters, subject) {
			continue
		}
		for _, m := range slices.Backward(all) {
			if m.seq <= upTo {
				list = append(list, m)
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b *message) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

func matchesAny(filters []string, subject string) bool {
	for _, f := range filters {
		if matches(f, subject) {
			return true
		}
	}
	return len(filters) == 0
}

// matches reports whether a subject matches a filter, which may have wildcards.
func matches(filter, subject string) bool {
	if filter == subject {
		return true
	}
	for {
		f, fs, fmore := strings.Cut(filter, ".")
		s, ss, smore := strings.Cut(subject, ".")
		switch {
		case f == ">":
			return true
		case f != "*" && f != s:
			return false
		case !fmore || !smore:
			return fmore == smore
		}
		filter, subject = fs, ss
	}
}
