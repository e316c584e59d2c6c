package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// heartbeat is how often NATS says that there is nothing to tell: the server that told may be
	// lost, or has never heard that it was asked. silence is after how much time without a word a
	// watch is begun again. (The NATS client by itself finds that after 10 s to 20 s.)
	heartbeat = time.Second
	silence   = 3 * time.Second
)

// An entry is what a bucket tells of a key.
type entry struct {
	key   string
	value []byte
	rev   uint64
	gone  bool // it was deleted, or has run out
}

// A bucketWatch tells what a bucket has, and what changes.
type bucketWatch struct {
	f    *Fleet
	kv   jetstream.KeyValue
	keys []string // which may be *
	next uint64   // the first revision that it has not told of
	told bool     // all that there was
}

// run tells until ctx ends or something is wrong. The next run goes on from there. When all is
// told that there was, it tells a nil.
func (w *bucketWatch) run(ctx context.Context, tell func(*entry)) error {
	inbox := w.f.nc.NewInbox()
	sub, err := w.f.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	pending, err := w.begin(ctx, inbox)
	if err != nil {
		if !temporary(err) {
			w.next = 0 // the bucket is not there; if it comes again, its revisions begin anew
		}
		return err
	}
	toldAll := func() {
		if !w.told {
			w.told = true
			tell(nil)
		}
	}
	there := backlog{keys: int(pending)}
	if there.complete() {
		toldAll()
	}
	prefix := len("$KV." + w.kv.Bucket() + ".")
	for received := uint64(0); ; {
		m, err := w.hear(ctx, sub)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if last := m.Header.Get("Nats-Last-Consumer"); last != "" { // a heartbeat
			if last != strconv.FormatUint(received, 10) {
				return fmt.Errorf("%w: something was lost", errInterrupted)
			}
			toldAll() // also what was pending and is not there any more
			continue
		}
		if status := m.Header.Get("Status"); status != "" {
			return fmt.Errorf("%w: %s", errInterrupted, m.Header.Get("Description"))
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if received++; meta.Sequence.Consumer != received {
			return fmt.Errorf("%w: something was lost", errInterrupted)
		}
		w.next = meta.Sequence.Stream + 1
		operation, marker := m.Header.Get("KV-Operation"), m.Header.Get(jetstream.MarkerReasonHeader)
		key := m.Subject[prefix:]
		tell(&entry{key: key, value: m.Data, rev: meta.Sequence.Stream, gone: operation != "" || marker != ""})
		if !w.told {
			if there.add(key); there.complete() || meta.NumPending == 0 {
				toldAll()
				there = backlog{}
			}
		}
	}
}

// A backlog reports when a watch has come to each key that the bucket had at its beginning. It
// counts keys, since one that is renewed meanwhile has several entries.
type backlog struct {
	keys int // at the beginning
	seen map[string]struct{}
}

func (b *backlog) add(key string) {
	if b.seen == nil {
		b.seen = make(map[string]struct{}, b.keys)
	}
	b.seen[key] = struct{}{}
}

func (b *backlog) complete() bool { return len(b.seen) >= b.keys }

var errInterrupted = errors.New("interrupted")

// begin has NATS tell, and returns how many entries there are now.
func (w *bucketWatch) begin(ctx context.Context, inbox string) (pending uint64, err error) {
	cfg := jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, IdleHeartbeat: heartbeat, InactiveThreshold: silence,
	}
	if w.next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, w.next
	}
	for _, key := range w.keys {
		cfg.FilterSubjects = append(cfg.FilterSubjects, "$KV."+w.kv.Bucket()+"."+key)
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	began := time.Now()
	c, err := w.f.js.CreatePushConsumer(ctx, "KV_"+w.kv.Bucket(), cfg)
	if w.f.reached(began, err) != nil {
		return 0, err
	}
	return c.CachedInfo().NumPending, nil
}

// hear waits for the next word.
func (w *bucketWatch) hear(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: NATS has said nothing for %v", errInterrupted, silence)
	case errors.Is(err, nats.ErrSlowConsumer): // it was dropped here: more than we could take
		return nil, fmt.Errorf("%w: %w", errInterrupted, err)
	}
	return m, err
}
