package natssim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A getRequest asks for one message, or for the last ones of subjects.
type getRequest struct {
	Seq       uint64   `json:"seq"`
	LastFor   string   `json:"last_by_subj"`
	NextFor   string   `json:"next_by_subj"`
	MultiLast []string `json:"multi_last"`
	UpTo      uint64   `json:"up_to_seq"`
	Batch     int      `json:"batch"`
}

func (r getRequest) find(st *store) *message {
	switch {
	case r.LastFor != "":
		return st.lastOf(r.LastFor)
	case r.NextFor != "":
		return st.next(r.Seq, r.NextFor)
	}
	return st.bySeq(r.Seq)
}

var notFound = apiError(404, jetstream.JSErrCodeMessageNotFound, "no message found")

// get answers STREAM.MSG.GET at the leader.
func (s *stream) get(l *node, p publication) any {
	var r getRequest
	if json.Unmarshal(p.data, &r) != nil {
		return map[string]any{"error": apiError(400, 10025, "invalid JSON")}
	}
	if s.c.onRead != nil && r.LastFor != "" {
		if wait := s.c.onRead(p.process, r.LastFor); wait > 0 {
			s.c.schedule(wait, func() { s.c.answer(l, p, s.get(l, p)) })
			return nil
		}
	}
	m := r.find(s.replicas[l])
	if m == nil {
		return map[string]any{"error": notFound}
	}
	stored := map[string]any{"subject": m.subject, "seq": m.seq, "time": m.at}
	if len(m.header) > 0 {
		stored["hdrs"] = m.header
	}
	if len(m.data) > 0 {
		stored["data"] = m.data
	}
	return map[string]any{"message": stored}
}

// most is how many messages one direct request may ask for.
const most = 1024

// directGet answers DIRECT.GET at any replica.
func (s *stream) directGet(n *node, subject string, p publication) {
	reply := func(header string, data []byte) {
		s.c.publish(publication{from: n, subject: p.reply, header: []byte(header), data: data})
	}
	r := getRequest{LastFor: subject}
	if subject == "" && json.Unmarshal(p.data, &r) != nil {
		reply("NATS/1.0 408 Bad Request\r\n\r\n", nil)
		return
	}
	st := s.replicas[n]
	if r.MultiLast == nil {
		m := r.find(st)
		if m == nil {
			reply("NATS/1.0 404 Message Not Found\r\n\r\n", nil)
			return
		}
		reply(string(encode(s.described(m))), m.data)
		return
	}
	upTo := r.UpTo
	if upTo == 0 {
		upTo = st.last
	}
	list := st.lasts(upTo, r.MultiLast...)
	switch {
	case len(list) > most:
		reply("NATS/1.0 413 Too Many Results\r\n\r\n", nil)
		return
	case len(list) == 0:
		reply("NATS/1.0 404 No Results\r\n\r\n", nil)
		return
	}
	var last uint64
	pending := len(list)
	for i, m := range list {
		if r.Batch > 0 && i == r.Batch {
			break
		}
		pending--
		h := s.described(m)
		h.Set("Nats-Num-Pending", fmt.Sprint(pending))
		h.Set("Nats-Last-Sequence", itoa(last))
		reply(string(encode(h)), m.data)
		last = m.seq
	}
	reply(fmt.Sprintf("NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\nNats-UpTo-Sequence: %d\r\n\r\n", pending, last, upTo), nil)
}

// described returns the headers of a message with what a direct answer adds.
func (s *stream) described(m *message) nats.Header {
	h := m.headers()
	h.Set("Nats-Stream", s.cfg.Name)
	h.Set("Nats-Subject", m.subject)
	h.Set("Nats-Sequence", itoa(m.seq))
	h.Set("Nats-Time-Stamp", m.at.Format(time.RFC3339Nano))
	return h
}

// info describes a stream as its leader sees it.
func (s *stream) info(l *node, filter string) map[string]any {
	st := s.replicas[l]
	state := map[string]any{
		"messages": len(st.messages), "bytes": st.bytes, "first_seq": st.first, "last_seq": st.last, "num_subjects": len(st.bySubject),
		"consumer_count": len(s.consumers), "first_ts": time.Time{}, "last_ts": st.lastAt, "num_deleted": st.last - min(st.last, st.first-1) - uint64(len(st.messages)),
	}
	total := 0
	if filter != "" {
		subjects := map[string]int{}
		for subject, list := range st.bySubject {
			if matches(filter, subject) {
				subjects[subject] = len(list)
			}
		}
		state["subjects"] = subjects
		total = len(subjects)
	}
	info := map[string]any{"config": s.cfg, "created": s.created, "state": state, "ts": time.Now().UTC()}
	if total > 0 {
		info["total"], info["limit"] = total, 100_000
	}
	if len(s.c.nodes) > 1 {
		var replicas []*jetstream.PeerInfo
		for _, p := range s.group.peers {
			if p != l {
				replicas = append(replicas, &jetstream.PeerInfo{Name: p.name, Current: s.c.both(l, p), Offline: !p.up})
			}
		}
		info["cluster"] = jetstream.ClusterInfo{Name: "sim", Leader: l.name, Replicas: replicas}
	}
	return info
}

// asked returns the part of a subject behind the name of a stream.
func asked(subject, kind string) (stream, rest string, ok bool) {
	subject, ok = strings.CutPrefix(subject, kind+".")
	stream, rest, _ = strings.Cut(subject, ".")
	return stream, rest, ok
}
