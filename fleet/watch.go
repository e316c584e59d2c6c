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
	// heartbeat is the interval at which NATS sends a message to a consumer when there is nothing
	// else: the server may be lost, or may not have received the request. silence is the time
	// without any message after which a watch starts again. (The NATS client by itself notices that
	// after 10 s to 20 s.)
	heartbeat = time.Second
	silence   = 3 * time.Second
)

// An entry is a change of a key of a bucket.
type entry struct {
	key   string
	value []byte
	rev   uint64
	gone  bool // the key was deleted, or has run out

	written time.Time // by the clock of NATS
}

// A bucketWatch reports the entries of a bucket, and then each change.
type bucketWatch struct {
	f        *Fleet
	kv       jetstream.KeyValue
	keys     []string  // may be *
	made     time.Time // the bucket; in another one revisions begin at 1
	next     uint64    // the first revision that is not reported yet
	complete bool      // all entries that the bucket had are reported
}

// run calls report with each entry, until ctx ends or an error occurs. The next run continues from
// there. When all entries that the bucket had are reported, it calls report with nil, once.
func (w *bucketWatch) run(ctx context.Context, report func(*entry)) error {
	inbox := w.f.nc.NewInbox()
	sub, err := w.f.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	last, pending, err := w.begin(ctx, inbox)
	if err != nil {
		return err
	}
	complete := func() {
		if !w.complete {
			w.complete = true
			report(nil)
		}
	}
	there := backlog{w: w, last: last}
	prefix := len("$KV." + w.kv.Bucket() + ".")
	for received, gap := uint64(0), true; ; {
		if !w.complete {
			done, err := there.reported(ctx, gap, pending)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if done {
				complete()
			}
		}
		m, err := w.receive(ctx, sub)
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
			complete() // entries that were pending may have been removed
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
		pending, gap = meta.NumPending, meta.Sequence.Stream != w.next
		w.next = meta.Sequence.Stream + 1
		key := m.Subject[prefix:]
		report(&entry{key: key, value: m.Data, rev: meta.Sequence.Stream, gone: isMarker(m.Header), written: meta.Timestamp})
	}
}

var errInterrupted = errors.New("interrupted")

// begin creates a consumer, and returns the last revision of the bucket, and about how many entries there are now.
func (w *bucketWatch) begin(ctx context.Context, inbox string) (last, pending uint64, err error) {
	cfg := jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, IdleHeartbeat: heartbeat, InactiveThreshold: silence,
	}
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	began := time.Now()
	s, err := w.f.js.Stream(ctx, "KV_"+w.kv.Bucket())
	if err != nil {
		return 0, 0, w.f.reached(began, err)
	} // else it is no evidence of a majority: a leader that is cut off answers as well
	if made := s.CachedInfo().Created; !made.Equal(w.made) {
		w.made, w.next = made, 0
	}
	if w.next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, w.next
	}
	for _, key := range w.keys {
		cfg.FilterSubjects = append(cfg.FilterSubjects, "$KV."+w.kv.Bucket()+"."+key)
	}
	began = time.Now()
	c, err := w.f.js.CreatePushConsumer(ctx, "KV_"+w.kv.Bucket(), cfg)
	if w.f.reached(began, err) != nil {
		return 0, 0, err
	}
	return s.CachedInfo().State.LastSeq, c.CachedInfo().NumPending, nil
}

// receive waits for the next message of the consumer.
func (w *bucketWatch) receive(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: no message from NATS for %v", errInterrupted, silence)
	case errors.Is(err, nats.ErrSlowConsumer): // the NATS client has dropped messages: its buffer was full
		return nil, fmt.Errorf("%w: %w", errInterrupted, err)
	}
	return m, err
}
