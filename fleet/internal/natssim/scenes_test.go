package natssim_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// scenes are requests of all kinds that the fleet makes.
var scenes = []struct {
	name string
	play func(p *player)
}{
	{"streams", streams},
	{"publications", publications},
	{"bounds", bounds},
	{"reads", reads},
	{"buckets", buckets},
	{"times to live", timesToLive},
	{"republished", republished},
	{"watches", watches},
	{"pulls", pulls},
	{"ordered", ordered},
}

func (p *player) stream(cfg jetstream.StreamConfig) jetstream.Stream {
	p.Helper()
	s, err := p.js.CreateStream(p.ctx(), cfg)
	p.note("create", cfg.Name, err)
	return s
}

func (p *player) publish(subject, data string, options ...jetstream.PublishOpt) {
	p.Helper()
	ack, err := p.js.Publish(p.ctx(), subject, []byte(data), options...)
	if err != nil {
		p.note("publish "+subject, err)
		return
	}
	p.note("publish "+subject, ack.Stream, ack.Sequence, ack.Duplicate)
}

func streams(p *player) {
	_, err := p.js.Stream(p.ctx(), "streams")
	p.note("none", err)
	p.stream(jetstream.StreamConfig{Name: "streams", Subjects: []string{"streams.>"}})
	p.stream(jetstream.StreamConfig{Name: "streams", Subjects: []string{"streams.>"}})
	p.stream(jetstream.StreamConfig{Name: "streams", Subjects: []string{"streams.>"}, MaxAge: time.Hour})
	p.stream(jetstream.StreamConfig{Name: "streams3", Subjects: []string{"streams3.>"}, Replicas: 3})
	p.publish("streams.a", "1")
	p.publish("streams.a", "22")
	p.publish("streams.b", "3")
	s, err := p.js.Stream(p.ctx(), "streams")
	require.NoError(p, err)
	info, err := s.Info(p.ctx(), jetstream.WithSubjectFilter("streams.*"))
	require.NoError(p, err)
	p.note("info", info.State.Msgs, info.State.Bytes, info.State.FirstSeq, info.State.LastSeq, info.State.NumSubjects, info.State.Subjects)
	cfg := info.Config
	p.note("config", cfg.MaxBytes, cfg.MaxAge, cfg.MaxMsgs, cfg.MaxMsgsPerSubject, cfg.Duplicates, cfg.Replicas, cfg.Discard)
	cfg.MaxBytes, cfg.Discard = 1<<20, jetstream.DiscardNew
	updated, err := p.js.UpdateStream(p.ctx(), cfg)
	p.note("update", err)
	require.NoError(p, err)
	p.note("updated", updated.CachedInfo().Config.MaxBytes, updated.CachedInfo().Config.Discard)
	_, err = p.js.UpdateStream(p.ctx(), jetstream.StreamConfig{Name: "other", Subjects: []string{"other"}})
	p.note("update none", err)
	p.note("delete", s.DeleteMsg(p.ctx(), 2))
	p.note("delete again", s.DeleteMsg(p.ctx(), 2))
	p.note("purge up to", s.Purge(p.ctx(), jetstream.WithPurgeSubject("streams.a"), jetstream.WithPurgeSequence(1)))
	p.note("purge", s.Purge(p.ctx(), jetstream.WithPurgeSubject("streams.a")))
	p.ask("$JS.API.STREAM.PURGE.streams", `{"filter":"streams.a"}`, 1)
	info, err = s.Info(p.ctx())
	require.NoError(p, err, p.notes)
	p.note("info", info.State.Msgs, info.State.Bytes, info.State.FirstSeq, info.State.LastSeq)
}

func publications(p *player) {
	p.publish("publications.a", "nobody")
	p.stream(jetstream.StreamConfig{Name: "publications", Subjects: []string{"publications.>"}})
	p.publish("publications.a", "1", jetstream.WithMsgID("1"))
	p.publish("publications.a", "1", jetstream.WithMsgID("1"))
	p.publish("publications.a", "2", jetstream.WithMsgID("1"), jetstream.WithExpectLastSequencePerSubject(7))
	p.publish("publications.a", "2", jetstream.WithExpectLastSequencePerSubject(7))
	p.publish("publications.a", "2", jetstream.WithExpectLastSequencePerSubject(1))
	p.publish("publications.b", "3", jetstream.WithExpectLastSequencePerSubject(0))
	p.publish("publications.c", "4", jetstream.WithExpectLastSequenceForSubject(2, "publications.a"))
	p.publish("publications.c", "5", jetstream.WithExpectLastSequenceForSubject(1, "publications.a"))
	p.publish("publications.c", "5", jetstream.WithExpectLastSequence(9))
	p.publish("publications.c", "5", jetstream.WithMsgTTL(time.Minute))
	p.askWith(nats.Header{"Nats-Rollup": {"sub"}}, "publications.a", "6", 1)
	p.stream(jetstream.StreamConfig{Name: "rolled", Subjects: []string{"rolled.>"}, AllowRollup: true, AllowMsgTTL: true})
	p.publish("rolled.a", "1")
	p.publish("rolled.a", "2")
	p.publish("rolled.b", "3")
	p.askWith(nats.Header{"Nats-Rollup": {"sub"}, "Nats-TTL": {"never"}}, "rolled.a", "4", 1)
	p.askWith(nats.Header{"Nats-TTL": {"1ms"}}, "rolled.a", "5", 1)
	p.askWith(nats.Header{"Nats-TTL": {"x"}}, "rolled.a", "5", 1)
	p.ask("$JS.API.STREAM.MSG.GET.rolled", `{"seq":2}`, 1)
	p.ask("$JS.API.STREAM.MSG.GET.rolled", `{"seq":4}`, 1)
}

func bounds(p *player) {
	for name, discard := range map[string]jetstream.DiscardPolicy{"new": jetstream.DiscardNew} {
		p.stream(jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, MaxBytes: 200, Discard: discard})
	}
	p.stream(jetstream.StreamConfig{Name: "old", Subjects: []string{"old.>"}, MaxBytes: 200})
	for i := range 8 {
		p.publish("new.a", fmt.Sprint("0123456789", i))
		p.publish("old.a", fmt.Sprint("0123456789", i))
	}
	for _, name := range []string{"new", "old"} {
		s, err := p.js.Stream(p.ctx(), name)
		require.NoError(p, err)
		info := s.CachedInfo()
		p.note(name, info.State.Msgs, info.State.Bytes, info.State.FirstSeq, info.State.LastSeq)
	}
}

func reads(p *player) {
	p.stream(jetstream.StreamConfig{Name: "reads", Subjects: []string{"reads.>"}, AllowDirect: true})
	get := func(body string) { p.ask("$JS.API.STREAM.MSG.GET.reads", body, 1) }
	get(`{"seq":1}`)
	get(`{"last_by_subj":"reads.a"}`)
	for i := range 5 {
		p.publish(fmt.Sprint("reads.", i%2), fmt.Sprint(i))
	}
	p.askWith(nats.Header{"A": {"b"}}, "reads.1", "with header", 1)
	get(`{"seq":3}`)
	get(`{"seq":6}`)
	get(`{"seq":7}`)
	get(`{"last_by_subj":"reads.0"}`)
	get(`{"last_by_subj":"reads.*"}`)
	get(`{"seq":2,"next_by_subj":"reads.0"}`)
	get(`{"seq":0,"next_by_subj":"reads.0"}`)
	get(`{"seq":6,"next_by_subj":"reads.0"}`)
	p.ask("$JS.API.STREAM.MSG.GET.nothing", `{"seq":1}`, 1)
	p.ask("$JS.API.DIRECT.GET.reads.reads.1", "", 1)
	p.ask("$JS.API.DIRECT.GET.reads.reads.7", "", 1)
	p.ask("$JS.API.DIRECT.GET.reads", `{"seq":2}`, 1)
	p.ask("$JS.API.DIRECT.GET.reads", `{"multi_last":["reads.*"]}`, 3)
	p.ask("$JS.API.DIRECT.GET.reads", `{"multi_last":["reads.0","reads.1"],"up_to_seq":4}`, 3)
	p.ask("$JS.API.DIRECT.GET.reads", `{"multi_last":["reads.*"],"batch":1}`, 2)
	p.ask("$JS.API.DIRECT.GET.reads", `{"multi_last":["reads.7"]}`, 1)
	p.ask("$JS.API.DIRECT.GET.nothing.at.all", "", 1)
}

func buckets(p *player) {
	_, err := p.js.KeyValue(p.ctx(), "buckets")
	p.note("none", err)
	kv, err := p.js.CreateKeyValue(p.ctx(), jetstream.KeyValueConfig{Bucket: "buckets", LimitMarkerTTL: time.Hour})
	p.note("create", err)
	key := func(what string, e jetstream.KeyValueEntry, err error) {
		if err != nil {
			p.note(what, err)
			return
		}
		p.note(what, e.Key(), e.Value(), e.Revision(), e.Operation())
	}
	e, err := kv.Get(p.ctx(), "a")
	key("get", e, err)
	rev, err := kv.Create(p.ctx(), "a", []byte("1"))
	p.note("create", rev, err)
	_, err = kv.Create(p.ctx(), "a", []byte("1"))
	p.note("create again", errors.Is(err, jetstream.ErrKeyExists))
	rev, err = kv.Update(p.ctx(), "a", []byte("2"), 1)
	p.note("update", rev, err)
	_, err = kv.Update(p.ctx(), "a", []byte("3"), 1)
	p.note("update late", err)
	e, err = kv.Get(p.ctx(), "a")
	key("get", e, err)
	p.note("purge late", kv.Purge(p.ctx(), "a", jetstream.LastRevision(1), jetstream.PurgeTTL(time.Hour)))
	p.note("purge", kv.Purge(p.ctx(), "a", jetstream.LastRevision(2), jetstream.PurgeTTL(time.Hour)))
	e, err = kv.Get(p.ctx(), "a")
	key("get", e, err)
	p.ask("$JS.API.STREAM.MSG.GET.KV_buckets", `{"last_by_subj":"$KV.buckets.a"}`, 1)
	rev, err = kv.Create(p.ctx(), "a", []byte("4"))
	p.note("create", rev, err)
	p.note("delete", kv.Delete(p.ctx(), "a"))
	rev, err = kv.Put(p.ctx(), "b", nil)
	p.note("put", rev, err)
	lister, err := kv.ListKeys(p.ctx())
	require.NoError(p, err)
	for k := range lister.Keys() {
		p.note("key", k)
	}
}

func timesToLive(p *player) {
	kv, err := p.js.CreateKeyValue(p.ctx(), jetstream.KeyValueConfig{Bucket: "ttl", LimitMarkerTTL: time.Second})
	require.NoError(p, err)
	sub, err := p.nc.SubscribeSync("ttl.to")
	require.NoError(p, err)
	_, err = p.js.CreatePushConsumer(p.ctx(), "KV_ttl", jetstream.ConsumerConfig{
		Name: "ttl", DeliverSubject: "ttl.to", AckPolicy: jetstream.AckNonePolicy, FilterSubjects: []string{"$KV.ttl.*"}, MemoryStorage: true,
	})
	require.NoError(p, err)
	rev, err := kv.Create(p.ctx(), "a", []byte("1"), jetstream.KeyTTL(time.Second))
	p.note("create", rev, err)
	p.receive(sub, 2)
	rev, err = kv.Create(p.ctx(), "a", []byte("2"))
	p.note("create", rev, err)
	p.stream(jetstream.StreamConfig{Name: "aged", Subjects: []string{"aged.>"}, MaxAge: time.Second, AllowMsgTTL: true})
	p.askWith(nats.Header{"Nats-TTL": {"never"}}, "aged.a", "1", 1)
	p.publish("aged.a", "2")
	rev, err = kv.Update(p.ctx(), "a", []byte("3"), rev)
	p.note("update", rev, err)
	p.receive(sub, 2)
}

func republished(p *player) {
	sub, err := p.nc.SubscribeSync("wake.>")
	require.NoError(p, err)
	p.stream(jetstream.StreamConfig{
		Name: "republished", Subjects: []string{"out.>"}, AllowMsgTTL: true,
		RePublish: &jetstream.RePublish{Source: "out.>", Destination: "wake.>", HeadersOnly: true},
	})
	p.askWith(nats.Header{"A": {"b"}}, "out.room", "hello", 1)
	p.receive(sub, 1)
	p.publish("out.other", "")
	p.receive(sub, 1)
	mapped, err := p.nc.SubscribeSync("mapped.>")
	require.NoError(p, err)
	p.stream(jetstream.StreamConfig{
		Name: "mapped", Subjects: []string{"from.>"},
		RePublish: &jetstream.RePublish{Source: "from.a.*.*", Destination: "mapped.{{wildcard(2)}}.x.{{wildcard(1)}}"},
	})
	p.publish("from.b.1.2", "not mapped")
	p.publish("from.a.1.2", "data")
	p.receive(mapped, 1)
}

func watches(p *player) {
	p.stream(jetstream.StreamConfig{Name: "watches", Subjects: []string{"watches.>"}})
	for i := range 5 {
		p.publish(fmt.Sprint("watches.", i%2), fmt.Sprint(i))
	}
	watch := func(cfg jetstream.ConsumerConfig, messages int) {
		sub, err := p.nc.SubscribeSync("watch." + cfg.Name)
		require.NoError(p, err)
		cfg.DeliverSubject, cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas = sub.Subject, jetstream.AckNonePolicy, true, 1
		c, err := p.js.CreatePushConsumer(p.ctx(), "watches", cfg)
		require.NoError(p, err)
		p.note(cfg.Name, c.CachedInfo().NumPending, c.CachedInfo().Delivered.Consumer)
		p.receive(sub, messages)
		require.NoError(p, sub.Unsubscribe())
		p.note("delete", p.js.DeleteConsumer(p.ctx(), "watches", cfg.Name))
	}
	watch(jetstream.ConsumerConfig{Name: "last", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubjects: []string{"watches.0", "watches.1"}, IdleHeartbeat: 200 * time.Millisecond}, 4)
	watch(jetstream.ConsumerConfig{Name: "from", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 3, FilterSubjects: []string{"watches.0"}, IdleHeartbeat: 200 * time.Millisecond}, 3)
	watch(jetstream.ConsumerConfig{Name: "behind", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 30, IdleHeartbeat: 200 * time.Millisecond}, 1)
	p.note("delete none", p.js.DeleteConsumer(p.ctx(), "watches", "none"))
	_, err := p.js.CreatePushConsumer(p.ctx(), "nothing", jetstream.ConsumerConfig{DeliverSubject: "x", AckPolicy: jetstream.AckNonePolicy})
	p.note("no stream", err)
}

func pulls(p *player) {
	p.stream(jetstream.StreamConfig{Name: "pulls", Subjects: []string{"pulls.>"}})
	for i := range 6 {
		p.publish(fmt.Sprint("pulls.", i%2), fmt.Sprint(i))
	}
	c, err := p.js.CreateConsumer(p.ctx(), "pulls", jetstream.ConsumerConfig{
		Name: "c", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 1, FilterSubject: "pulls.0",
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	require.NoError(p, err)
	p.note("c", c.CachedInfo().NumPending)
	next := "$JS.API.CONSUMER.MSG.NEXT.pulls.c"
	p.ask(next, `{"batch":1,"max_bytes":10}`, 1)
	p.ask(next, `{"batch":1,"max_bytes":1000,"expires":5000000000}`, 2)
	p.ask(next, `{"batch":5,"no_wait":true}`, 3)
	p.ask(next, `{"batch":5,"no_wait":true}`, 1)
	p.ask(next, `{"batch":5,"expires":500000000,"idle_heartbeat":200000000}`, 3)
	waiting := p.asked(nil, next, `{"batch":2,"max_bytes":1000,"expires":5000000000,"idle_heartbeat":1000000000}`)
	p.publish("pulls.0", "6")
	p.receive(waiting, 1)
	p.publish("pulls.1", "7")
	p.publish("pulls.0", "8")
	p.receive(waiting, 2)
	info, err := c.Info(p.ctx())
	require.NoError(p, err)
	p.note("info", info.NumPending, info.Delivered.Consumer, info.Delivered.Stream)
	waiting = p.asked(nil, next, `{"batch":2,"expires":5000000000,"idle_heartbeat":1000000000}`)
	p.ask("$JS.API.CONSUMER.INFO.pulls.c", "", 1)
	p.ask("$JS.API.CONSUMER.DELETE.pulls.c", "", 1)
	p.receive(waiting, 1)
	p.ask(next, `{"batch":1}`, 1)
	p.ask("$JS.API.CONSUMER.INFO.pulls.c", "", 1)
	p.ask("$JS.API.CONSUMER.DELETE.pulls.c", "", 1)
}

func ordered(p *player) {
	s := p.stream(jetstream.StreamConfig{Name: "ordered", Subjects: []string{"ordered.>"}})
	for i := range 5 {
		p.publish(fmt.Sprint("ordered.", i%2), fmt.Sprint(i))
	}
	c, err := s.OrderedConsumer(p.ctx(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"ordered.0"}, DeliverPolicy: jetstream.DeliverAllPolicy})
	require.NoError(p, err)
	messages, err := c.Messages(jetstream.PullHeartbeat(time.Second))
	require.NoError(p, err)
	defer messages.Stop()
	for range 3 {
		m, err := messages.Next()
		require.NoError(p, err)
		p.note("message", m.Subject(), m.Data())
	}
}
