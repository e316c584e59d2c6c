package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// readAtMost is how many keys NATS returns in answer to one request.
const readAtMost = 1024

// errTooMany is returned by read for more keys than readAtMost.
var errTooMany = errors.New("fleet: too many keys for one request")

// read returns the entries that some keys of the bucket of rooms have at one moment, and the revision of
// that moment, in one request. Keys may have wildcards. Any replica may answer: read repeats the request
// until the revision is at least least, for up to the timeout of a publication, and then returns an older
// one. It also repeats a request without an answer, until ctx ends.
func (f *Fleet) read(ctx context.Context, least uint64, keys ...string) (entries []*entry, at uint64, err error) {
	prefix := "$KV." + f.rooms.Bucket() + "."
	// There always are settings. NATS returns no revision when it finds nothing.
	what := map[string][]string{"multi_last": {prefix + settledKey}}
	for _, key := range keys {
		what["multi_last"] = append(what["multi_last"], prefix+key)
	}
	request, err := json.Marshal(what)
	if err != nil {
		return nil, 0, err
	}
	for began := time.Now(); ; pause(ctx, inProcessFor) {
		err = answered(ctx, func(ctx context.Context) error {
			entries, at, err = f.readOnce(ctx, request, len(prefix))
			return err
		})
		if err != nil || at >= least || time.Since(began) > publishing {
			return entries, at, err
		}
	}
}

func (f *Fleet) readOnce(ctx context.Context, request []byte, prefix int) (entries []*entry, at uint64, err error) {
	inbox, answer := f.nc.NewInbox(), make(chan *nats.Msg, readAtMost+1)
	sub, err := f.nc.ChanSubscribe(inbox, answer)
	if err != nil {
		return nil, 0, err
	}
	defer sub.Unsubscribe()
	if err := f.nc.PublishRequest(f.api("DIRECT.GET.KV_"+f.rooms.Bucket()), inbox, request); err != nil {
		return nil, 0, err
	}
	return readAnswer(ctx, answer, prefix)
}

// readAnswer reads the messages of one answer, each of which names the one before it.
func readAnswer(ctx context.Context, answer <-chan *nats.Msg, prefix int) (entries []*entry, at uint64, err error) {
	for before := uint64(0); ; {
		var m *nats.Msg
		select {
		case m = <-answer:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		number := func(header string) uint64 {
			n, _ := strconv.ParseUint(m.Header.Get(header), 10, 64)
			return n
		}
		switch status := m.Header.Get("Status"); {
		case status == "503":
			return nil, 0, nats.ErrNoResponders
		case status == "413", status == "204" && number("Nats-Num-Pending") > 0:
			return nil, 0, errTooMany
		case status != "" && status != "204":
			return nil, 0, fmt.Errorf("%w: %s %s", errInterrupted, status, m.Header.Get("Description"))
		case number("Nats-Last-Sequence") != before:
			return nil, 0, fmt.Errorf("%w: something was lost", errInterrupted)
		case status == "204":
			return entries, number("Nats-UpTo-Sequence"), nil
		}
		before = number(jetstream.SequenceHeader)
		entries = append(entries, &entry{key: m.Header.Get(jetstream.SubjectHeader)[prefix:], value: m.Data, rev: before, gone: isMarker(m.Header)})
	}
}

// readShard returns all rooms of a shard, as read does. Of more than read can return, it makes a watch.
func (f *Fleet) readShard(ctx context.Context, least uint64, n int) (entries []*entry, at uint64, err error) {
	entries, at, err = f.read(ctx, least, roomKey(n, "*"))
	if !errors.Is(err, errTooMany) {
		return entries, at, err
	}
	// A room that is changed meanwhile is reported again, with a revision above at.
	if _, at, err = f.read(ctx, least); err != nil {
		return nil, 0, err
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	entries = nil
	w := bucketWatch{f: f, kv: f.rooms, keys: []string{roomKey(n, "*")}}
	err = w.run(watching, func(e *entry) {
		if e == nil {
			cancel()
			return
		}
		entries = append(entries, e)
	})
	if err == nil {
		err = ctx.Err()
	}
	return entries, at, err
}

// record returns the record of a room as the leader has it, and its revision: what another process has
// written before is in it. The record is nil if there is no such room.
func (f *Fleet) record(ctx context.Context, room string) (r *record, rev uint64, err error) {
	if _, err := token(room); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	m, err := f.lastInBucket(ctx, f.rooms, f.roomKey(room))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, f.reached(began, err) // an answer is no evidence: a leader that is cut off gives one
	case isMarker(m.Header):
		return nil, m.Seq, nil
	}
	return parseRecord(m.Data, room), m.Seq, nil
}

// lookUp returns a room and its shard, in one reading of any replica. If that one is behind what this process
// has written, or has no such room, which another process may have added, lookUp reads them from the leader.
func (f *Fleet) lookUp(ctx context.Context, room string) (*shard, *listing, error) {
	if _, err := token(room); err != nil {
		return nil, nil, err
	}
	n, least := f.shard(room), f.wrote.Load()
	keys := []string{claimKey(n), f.roomKey(room)}
	found := func(entries []*entry) (*shard, *listing) {
		v := newView()
		for _, e := range entries {
			v.see(e)
		}
		s := v.shard(strconv.Itoa(n))
		return s, s.room(names.Token(room))
	}
	entries, at, err := f.read(ctx, 0, keys...)
	if err != nil {
		return nil, nil, err
	}
	if s, l := found(entries); at >= least && l.record != nil {
		return s, l, nil
	}
	entries = nil
	for _, key := range keys {
		began := time.Now()
		m, err := f.lastInBucket(ctx, f.rooms, key)
		switch {
		case err == nil:
			entries = append(entries, &entry{key: key, value: m.Data, rev: m.Seq, gone: isMarker(m.Header)})
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil, f.reached(began, err)
		}
	}
	s, l := found(entries)
	return s, l, nil
}

// putRoom writes a key of the bucket of rooms by compare-and-set. Without a value it deletes the key: a
// marker remains for tombstone.
func (f *Fleet) putRoom(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	rev, err := f.putKey(ctx, f.rooms, key, value, rev, 0)
	if err == nil {
		for was := f.wrote.Load(); was < rev && !f.wrote.CompareAndSwap(was, rev); was = f.wrote.Load() {
		}
	}
	return rev, err
}

// opened has the shards that certainly have a claim.
type opened struct {
	mu     sync.Mutex
	made   time.Time // the bucket
	shards map[int]bool
}

// open makes the claim of a shard, free, if it has none. made is when the bucket was made.
func (f *Fleet) open(ctx context.Context, n int, made time.Time) error {
	o := &f.opened
	o.mu.Lock()
	if !o.made.Equal(made) {
		o.made, o.shards = made, map[int]bool{}
	}
	done := o.shards[n]
	o.mu.Unlock()
	if done {
		return nil
	}
	value, err := json.Marshal(claim{Shard: n})
	if err == nil {
		_, err = f.putRoom(ctx, claimKey(n), value, 0)
	}
	if err != nil && !isWrongRevision(err) {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made.Equal(made) {
		o.shards[n] = true
	}
	return nil
}

func (f *Fleet) roomKey(room string) string { return roomKey(f.shard(room), names.Token(room)) }

// member returns the worker of a session, or nil if it has no lease.
func (f *Fleet) member(ctx context.Context, session string) (*member, error) {
	for _, kv := range f.leases {
		m, err := f.lastInBucket(ctx, kv, session)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && len(m.Data) == 0 {
			continue // it has run out, and the session may live by the next one
		}
		if err != nil {
			return nil, err
		}
		if w := parseMember(m.Data); w != nil {
			w.session = session
			return w, nil
		}
	}
	return nil, nil
}
