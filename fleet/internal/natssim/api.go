package natssim

import (
	"cmp"
	"encoding/json"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	errNoStream = apiError(404, jetstream.JSErrCodeStreamNotFound, "stream not found")
	errNoPeers  = apiError(400, 10005, "no suitable peers for placement")
	errNoLeader = apiError(503, 10008, "JetStream system temporarily unavailable")
)

func refused(err *jetstream.APIError) any { return map[string]any{"error": err} }

// request answers a request to JetStream. It reports whether there is a server that may answer it.
func (c *Cluster) request(subject string, p publication) bool {
	if name, rest, ok := asked(subject, "DIRECT.GET"); ok {
		return c.toReplica(name, rest, p)
	}
	for kind, handle := range map[string]func(s *stream, l *node, rest string, p publication) any{
		"STREAM.MSG.GET":    func(s *stream, l *node, _ string, p publication) any { return s.get(l, p) },
		"STREAM.MSG.DELETE": func(s *stream, l *node, _ string, p publication) any { return s.delete(l, p) },
		"STREAM.PURGE":      func(s *stream, l *node, _ string, p publication) any { return s.purge(l, p) },
		"STREAM.INFO": func(s *stream, l *node, _ string, p publication) any {
			var r struct {
				Filter string `json:"subjects_filter"`
			}
			_ = json.Unmarshal(p.data, &r)
			return s.info(l, r.Filter)
		},
		"STREAM.UPDATE": func(s *stream, l *node, _ string, p publication) any { return s.update(l, p) },
		"STREAM.LEADER.STEPDOWN": func(s *stream, l *node, _ string, p publication) any {
			s.c.schedule(0, s.group.stepDown)
			return map[string]any{"success": true}
		},
	} {
		if name, rest, ok := asked(subject, kind); ok {
			return c.ofStream(name, p, func(s *stream, l *node, p publication) any { return handle(s, l, rest, p) })
		}
	}
	if name, rest, ok := asked(subject, "CONSUMER.CREATE"); ok {
		c.createConsumer(name, rest, p)
		return true
	}
	if name, rest, ok := asked(subject, "CONSUMER.MSG.NEXT"); ok {
		return c.ofConsumer(name, rest, p, (*consumer).pull, false)
	}
	if name, rest, ok := asked(subject, "CONSUMER.INFO"); ok {
		return c.ofConsumer(name, rest, p, func(k *consumer, _ publication) any { return k.info() }, true)
	}
	if name, rest, ok := asked(subject, "CONSUMER.DELETE"); ok {
		return c.ofConsumer(name, rest, p, func(k *consumer, _ publication) any {
			k.end("409 Consumer Deleted")
			return map[string]any{"success": true}
		}, true)
	}
	if _, _, ok := asked(subject, "STREAM.CREATE"); ok {
		c.ofMeta(p, func(p publication) any { return c.createStream(p) })
		return true
	}
	if subject == "INFO" {
		c.ofMeta(p, func(publication) any {
			return map[string]any{"api": map[string]any{"level": 4}, "limits": map[string]any{"max_memory": -1, "max_storage": -1, "max_streams": -1, "max_consumers": -1}}
		})
		return true
	}
	panic("natssim: not simulated: $JS.API." + subject)
}

// ofMeta has the servers' leader answer. Without one, a server answers that JetStream is not available.
func (c *Cluster) ofMeta(p publication, handle func(p publication) any) {
	if c.toLeader(c.meta, p, func(l *node, p publication) any {
		c.meta.commit(l, func() { c.answer(l, p, handle(p)) })
		return nil
	}) {
		return
	}
	c.schedule(time.Second, func() { c.answer(p.from, p, refused(errNoLeader)) })
}

// ofStream has the leader of a stream answer, or that of all servers that there is no such stream.
func (c *Cluster) ofStream(name string, p publication, handle func(s *stream, l *node, p publication) any) bool {
	s := c.streams[name]
	if s == nil {
		c.ofMeta(p, func(publication) any { return refused(errNoStream) })
		return true
	}
	if c.toLeader(s.group, p, func(l *node, p publication) any {
		if c.streams[name] != s || s.group.leader != l && s.group.deposed != l {
			return nil
		}
		return handle(s, l, p)
	}) {
		return true
	}
	// The request arrives at a server that does not lead the stream. It is not answered, or with the error
	// that there is no leader.
	if c.rand.IntN(2) == 0 {
		c.schedule(time.Second, func() { c.answer(p.from, p, refused(errNoLeader)) })
	}
	return true
}

// toReplica has a replica of a stream answer a direct request.
func (c *Cluster) toReplica(name, subject string, p publication) bool {
	s := c.streams[name]
	if s == nil {
		return false
	}
	var there []*node
	for _, n := range s.group.peers {
		if c.reach(p.from, n) {
			there = append(there, n)
		}
	}
	if len(there) == 0 {
		return false
	}
	c.ask(there[c.rand.IntN(len(there))], p, func(n *node, p publication) any {
		s.directGet(n, subject, p)
		return nil
	})
	return true
}

// createStream answers STREAM.CREATE.
func (c *Cluster) createStream(p publication) any {
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(p.data, &cfg); err != nil {
		return refused(apiError(400, 10025, "invalid JSON: "+err.Error()))
	}
	cfg = filled(cfg)
	s := c.streams[cfg.Name]
	switch {
	case s != nil && !reflect.DeepEqual(s.cfg, cfg):
		return refused(apiError(400, 10058, "stream name already in use with a different configuration"))
	case s == nil && len(c.nodes) == 1 && cfg.Replicas > 1:
		return refused(apiError(500, 10074, "replicas > 1 not supported in non-clustered mode"))
	case s == nil && cfg.Replicas > len(c.nodes):
		return refused(errNoPeers)
	case s == nil:
		s = c.create(cfg)
	}
	if s.group.leader == nil {
		return nil
	}
	info := s.info(s.group.leader, "")
	info["did_create"] = true
	return info
}

// filled returns a configuration with the defaults of the server.
func filled(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	cfg.Replicas = cmp.Or(cfg.Replicas, 1)
	for _, n := range []*int64{&cfg.MaxMsgs, &cfg.MaxBytes, &cfg.MaxMsgsPerSubject} {
		*n = cmp.Or(*n, -1)
	}
	cfg.MaxConsumers = cmp.Or(cfg.MaxConsumers, -1)
	cfg.MaxMsgSize = cmp.Or(cfg.MaxMsgSize, -1)
	if cfg.Duplicates == 0 {
		cfg.Duplicates = 2 * time.Minute
		if cfg.MaxAge > 0 {
			cfg.Duplicates = min(cfg.Duplicates, cfg.MaxAge)
		}
	}
	if cfg.SubjectDeleteMarkerTTL > 0 {
		cfg.AllowRollup = true
	}
	return cfg
}

// update answers STREAM.UPDATE. The stream keeps its replicas.
func (s *stream) update(l *node, p publication) any {
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(p.data, &cfg); err != nil {
		return refused(apiError(400, 10025, "invalid JSON: "+err.Error()))
	}
	s.group.commit(l, func() {
		s.cfg = filled(cfg)
		s.c.answer(l, p, s.info(l, ""))
	})
	return nil
}

// delete answers STREAM.MSG.DELETE.
func (s *stream) delete(l *node, p publication) any {
	var r getRequest
	_ = json.Unmarshal(p.data, &r)
	s.group.commit(l, func() {
		if s.current().bySeq(r.Seq) == nil {
			s.c.answer(l, p, refused(apiError(400, 10043, "sequence "+itoa(r.Seq)+" not found")))
			return
		}
		s.apply(take(r.Seq))
		s.c.answer(l, p, map[string]any{"success": true})
	})
	return nil
}

// purge answers STREAM.PURGE.
func (s *stream) purge(l *node, p publication) any {
	var r struct {
		Filter string `json:"filter"`
		Seq    uint64 `json:"seq"`
	}
	_ = json.Unmarshal(p.data, &r)
	s.group.commit(l, func() {
		before := len(s.current().messages)
		s.apply(purge(r.Filter, r.Seq))
		s.c.answer(l, p, map[string]any{"success": true, "purged": before - len(s.current().messages)})
	})
	return nil
}
