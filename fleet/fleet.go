package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// A Fleet is this process's connection to a fleet. Its methods may be called from any
// goroutine. Make one with [Open].
type Fleet struct {
	name     string
	cfg      *config // its secrets are not printed with a value that has a Fleet in an unexported field
	settled  settled
	embedded *embedded
	nc       *nats.Conn
	js       jetstream.JetStream
	rooms    jetstream.KeyValue // claim.<shard>: who holds its rooms; room.<shard>.<room>: a record
	wrote    atomic.Uint64      // the highest revision of rooms that this process has written
	opened   opened
	leases   []jetstream.KeyValue // <session>: its lease
	in, out  jetstream.Stream
	log      *slog.Logger
	refused  atomic.Pointer[error] // why the last attempt to connect has failed
	cutOff   cutOff
	clock    serverClock

	mu       sync.Mutex
	renewing *Fleet // on a connection for renewals; nil before the first Worker.Run
}

// settled are the settings that all processes must agree on. They are kept in the bucket of rooms.
type settled struct {
	Lease time.Duration `json:"lease"`
	// LeasedBy is the number of buckets of leases, which is that of replicas.
	LeasedBy   int           `json:"leased_by"`
	Shards     int           `json:"shards"`
	Partitions int           `json:"partitions"`
	KeepIn     time.Duration `json:"keep_in"`
	// The bounds of streams are compared with the streams. Here they are for making a stream again that NATS has
	// lost. 0: not known
	MaxIn   int64         `json:"max_in,omitempty"`
	MaxOut  int64         `json:"max_out,omitempty"`
	KeepOut time.Duration `json:"keep_out,omitempty"`
}

// margin returns how long before the end of its lease a worker closes its rooms. The first half of it
// is for closing, the second for clocks that differ.
func (s settled) margin() time.Duration { return s.Lease / 12 }

// renewal returns the interval at which a worker renews its lease.
func (s settled) renewal() time.Duration { return s.Lease / 16 }

// patience returns the timeout of one request about a lease. It is short, so that a lease is renewed
// soon after NATS can be reached again.
func (s settled) patience() time.Duration { return max(s.Lease/16, 500*time.Millisecond) }

// cutOffAfter returns for how long requests must have been unanswered before the process leaves its NATS
// server: longer than one request may take, and short enough for a lease to be renewed by the next
// server.
func (s settled) cutOffAfter() time.Duration { return s.Lease / 4 }

// settledKey is the key of the settings in the bucket of rooms.
const settledKey = "fleet"

// Open connects to a fleet, and creates it if it does not exist. Without [WithNATS], the fleet is
// inside this process, and gone when the process is.
//
// Open waits for NATS until ctx ends, which is not used after Open has returned. It returns a
// *wechatws.OptionError for each option that is wrong, joined; [ErrNoFleet], with [WithExisting]; an error about
// a fleet whose settings were deleted, which docs/fleet-operating.md describes how to write again; or the error of
// NATS. The caller must call [Fleet.Close].
func Open(ctx context.Context, options ...Option) (*Fleet, error) {
	if ctx == nil {
		return nil, wrong("Open", "nil", needsContext)
	}
	cfg, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	f := &Fleet{name: cfg.name, cfg: &cfg, log: cfg.logger}
	if err := f.connect(ctx); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.retry(ctx, f.make); err != nil {
		err = f.allThatDiffer(ctx, err)
		f.Close()
		return nil, err
	}
	return f, nil
}

// allThatDiffer returns err, the error of make, and, if it is about an option, the errors about others, joined.
func (f *Fleet) allThatDiffer(ctx context.Context, err error) error {
	all := err
	var differs *wechatws.OptionError
	f.cfg.existing = true // nothing is made
	for errors.As(err, &differs) && f.cfg.omit(differs.Option) {
		if err = f.retry(ctx, f.make); errors.As(err, &differs) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// retry calls try until it succeeds, while NATS has no leader, as right after its start.
func (f *Fleet) retry(ctx context.Context, try func(ctx context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := try(once)
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case !temporary(err) && errors.As(err, &api):
			return fmt.Errorf("fleet: NATS refuses: %w", err)
		case ctx.Err() != nil:
			return fmt.Errorf("fleet: NATS is not ready: %w", plain(err))
		case !temporary(err):
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// temporary reports whether err means that NATS cannot be reached now, and may be later.
func temporary(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500 || api.ErrorCode == inProcess || api.ErrorCode == noPeers
	}
	for _, e := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrStaleConnection,
		jetstream.ErrJetStreamNotEnabled, nats.ErrNoServers, errInterrupted,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// make makes the buckets and streams that do not exist.
func (f *Fleet) make(ctx context.Context) (err error) {
	f.rooms, err = f.bucket(ctx, jetstream.KeyValueConfig{
		Bucket:      "rooms",
		Description: "claim.<shard>: who holds its rooms; room.<shard>.<room>: a room and its spec",
		RePublish: &jetstream.RePublish{
			Source:      "$KV." + f.name + "-rooms." + roomPrefix + "*.*",
			Destination: f.name + ".shard.{{wildcard(1)}}.room.{{wildcard(2)}}",
		},
	}, maxRooms)
	if err != nil {
		return err
	}
	if err = f.settle(ctx); err != nil {
		return err
	}
	f.leases = nil
	for i := range f.settled.LeasedBy {
		kv, err := f.bucket(ctx, jetstream.KeyValueConfig{Bucket: fmt.Sprint("leases-", i+1), Description: "sessions that live"}, maxLeases)
		if err != nil {
			return err
		}
		f.leases = append(f.leases, kv)
	}
	f.in, err = f.stream(ctx, jetstream.StreamConfig{
		Name:        f.name + "-in",
		Description: "messages from rooms: in.<partition>.<room>.<type>",
		Subjects:    []string{f.name + ".in.>"},
		MaxAge:      f.settled.KeepIn,
		Duplicates:  min(2*time.Minute, f.settled.KeepIn),
		AllowMsgTTL: true,
		AllowRollup: true,
	}, bound{"WithMaxIn", f.cfg.maxIn, cmp.Or(f.settled.MaxIn, f.standard(defaultMaxIn)), jetstream.DiscardOld, "WithKeepIn", f.cfg.keepIn})
	if err != nil {
		return err
	}
	keepOut := cmp.Or(f.cfg.keepOut, f.settled.KeepOut, defaultKeepOut)
	f.out, err = f.stream(ctx, jetstream.StreamConfig{
		Name:        f.name + "-out",
		Description: "messages to rooms that are not written yet: out.<shard>.<room>",
		Subjects:    []string{f.name + ".out.*.*"},
		MaxAge:      keepOut,
		Duplicates:  min(2*time.Minute, keepOut),
		AllowMsgTTL: true,
		RePublish: &jetstream.RePublish{
			Source:      f.name + ".out.*.*",
			Destination: f.name + ".shard.{{wildcard(1)}}.out.{{wildcard(2)}}",
			HeadersOnly: true,
		},
	}, bound{"WithMaxOut", f.cfg.maxOut, cmp.Or(f.settled.MaxOut, f.standard(defaultMaxOut)), jetstream.DiscardNew, "WithKeepOut", f.cfg.keepOut})
	return err
}

// bucket returns a bucket of the fleet, or creates it. The name of the bucket begins with that of the fleet.
func (f *Fleet) bucket(ctx context.Context, cfg jetstream.KeyValueConfig, maxBytes int64) (jetstream.KeyValue, error) {
	cfg.Bucket = f.name + "-" + cfg.Bucket
	kv, err := f.js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if f.cfg.existing {
			return nil, f.without("KV_" + cfg.Bucket)
		}
		b := bound{standard: f.standard(maxBytes)}
		cfg.Replicas, cfg.MaxBytes = f.replicas(), b.bytes()
		cfg.LimitMarkerTTL = tombstone // it also allows keys with a time to live
		kv, err = f.js.CreateKeyValue(ctx, cfg)
		if !errors.Is(err, jetstream.ErrBucketExists) {
			return kv, b.refused("bucket "+cfg.Bucket, err)
		}
		kv, err = f.js.KeyValue(ctx, cfg.Bucket) // another process was faster
	}
	if err != nil {
		return nil, err
	}
	s, err := f.js.Stream(ctx, "KV_"+cfg.Bucket)
	if err == nil {
		err = f.replicated(s)
	}
	return kv, err
}

// replicas returns the number of replicas of what this process creates.
func (f *Fleet) replicas() int {
	if f.embedded != nil {
		return 1
	}
	return cmp.Or(f.cfg.replicas, f.settled.LeasedBy, 1)
}

// replicated returns an error if a stream has fewer replicas than WithReplicas asks for.
func (f *Fleet) replicated(s jetstream.Stream) error {
	if is := s.CachedInfo().Config; is.Replicas < f.cfg.replicas {
		return wrong("WithReplicas", f.cfg.replicas, fmt.Sprintf("must be at most %d, the replicas of stream %s; docs/fleet-operating.md describes how to change it", is.Replicas, is.Name))
	}
	return nil
}

func (f *Fleet) stream(ctx context.Context, cfg jetstream.StreamConfig, b bound) (jetstream.Stream, error) {
	s, err := f.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if f.cfg.existing {
			return nil, f.without(cfg.Name)
		}
		cfg.Replicas, cfg.MaxBytes, cfg.Discard = f.replicas(), b.bytes(), b.discard
		s, err = f.js.CreateStream(ctx, cfg)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return s, b.refused("stream "+cfg.Name, err)
		}
		s, err = f.js.Stream(ctx, cfg.Name) // another process was faster
	}
	if err != nil {
		return nil, err
	}
	if err := f.replicated(s); err != nil {
		return nil, err
	}
	is := s.CachedInfo().Config
	// Of in, it may have been changed since the settings were written.
	return s, cmp.Or(mustBe(b.ageOption, b.askedAge, is.MaxAge), mustBe(b.option, b.asked, is.MaxBytes))
}

// settle reads the settings of the fleet, or creates them, and compares them with those of this process.
func (f *Fleet) settle(ctx context.Context) error {
	mine := f.cfg.settings()
	mine.MaxIn = cmp.Or(mine.MaxIn, f.settled.MaxIn, f.standard(defaultMaxIn))
	mine.MaxOut = cmp.Or(mine.MaxOut, f.settled.MaxOut, f.standard(defaultMaxOut))
	mine.KeepOut = cmp.Or(mine.KeepOut, f.settled.KeepOut, defaultKeepOut)
	value, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	// A process with WithExisting may not be permitted to write.
	e, err := f.rooms.Get(ctx, settledKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		if err := f.unused(ctx); err != nil {
			return err
		}
		if f.cfg.existing {
			return f.without("")
		}
		if _, err = f.rooms.Create(ctx, settledKey, value); err == nil {
			f.settled = mine
			return nil
		}
		if errors.Is(err, jetstream.ErrKeyExists) { // another process was faster
			e, err = f.rooms.Get(ctx, settledKey)
		}
	}
	if err != nil {
		return err
	}
	// Any client of NATS can write into the bucket.
	if err := json.Unmarshal(e.Value(), &f.settled); err != nil {
		return fmt.Errorf("fleet: %s cannot be read: %w", f.whereSettled(), err)
	}
	if name, value, want := f.settled.wrong(); name != "" {
		return fmt.Errorf("fleet: %s is out of range: %s is %v, %s", f.whereSettled(), name, value, want)
	}
	return cmp.Or(
		mustBe("WithReplicas", f.cfg.replicas, f.settled.LeasedBy),
		mustBe("WithLease", f.cfg.lease, f.settled.Lease),
		mustBe("WithShards", f.cfg.shards, f.settled.Shards),
		mustBe("WithPartitions", f.cfg.partitions, f.settled.Partitions),
		mustBe("WithKeepIn", f.cfg.keepIn, f.settled.KeepIn),
	)
}

// unused returns an error if the bucket has claims of rooms and no settings, which were deleted: with others, rooms
// would be stored in other shards.
func (f *Fleet) unused(ctx context.Context) error {
	// Each shard that has ever had a room has a claim. Claims are read before the settings are read again: a process
	// that makes the fleet at the same time writes the settings first.
	_, err := f.lastInBucket(ctx, f.rooms, claimPrefix+"*")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := f.lastInBucket(ctx, f.rooms, settledKey)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && isMarker(m.Header) {
		return fmt.Errorf("fleet: %s does not exist, and the bucket has claims of rooms; docs/fleet-operating.md describes how to write it again", f.whereSettled())
	}
	return err
}

// without returns ErrNoFleet. If the fleet has settings, the error names the stream that is missing.
func (f *Fleet) without(stream string) error {
	if f.settled.Shards == 0 {
		return fmt.Errorf("%w: %q", ErrNoFleet, f.name)
	}
	return fmt.Errorf("%w: %q has no stream %s; Open without WithExisting makes it again", ErrNoFleet, f.name, stream)
}

// whereSettled returns where the settings are, for an error.
func (f *Fleet) whereSettled() string {
	return fmt.Sprintf("key %q of bucket %q, with which the fleet was made,", settledKey, f.rooms.Bucket())
}

func mustBe[T comparable](option string, asked, is T) error {
	var zero T
	if asked == zero || asked == is {
		return nil
	}
	return wrong(option, asked, fmt.Sprint("must be ", is, ", with which the fleet was made, or not be given"))
}

// URL returns the URL of the embedded server for other processes, or "" if there is none or it does
// not listen; see [WithListen]. It does not contain the token. If the address stands for all of the
// machine's, such as 0.0.0.0, so does that of the URL: other machines must use the machine's name instead.
func (f *Fleet) URL() string {
	if f.embedded == nil || f.cfg.listen == "" {
		return ""
	}
	return f.embedded.ClientURL()
}

// Close ends the connections, but not that of [WithConn], and the embedded server. [Worker.Run] and
// [Handlers.Run] must have returned before. Close waits until the embedded server has stopped. Later calls do nothing.
func (f *Fleet) Close() {
	f.mu.Lock()
	if f.renewing != nil {
		f.renewing.nc.Close()
	}
	f.mu.Unlock()
	if f.nc != nil && f.cfg.conn == nil {
		f.nc.Close()
	}
	if f.embedded != nil {
		f.embedded.stop()
		f.embedded = nil
	}
}

// partition returns the partition that a room's messages are in.
func (f *Fleet) partition(room string) int {
	return int(placement.Hash(room) % uint64(f.settled.Partitions))
}

// inSubject returns the subject of a room's messages of one type. Tokens of the fleet itself begin with
// _.
func (f *Fleet) inSubject(room, token string) string {
	return f.name + ".in." + strconv.Itoa(f.partition(room)) + "." + names.Token(room) + "." + token
}

// shard returns the shard that a room belongs to.
func (f *Fleet) shard(room string) int {
	return placement.Shard(room, f.settled.Shards)
}

// markerSubject returns the subject of the markers of a shard in the stream from rooms.
func (f *Fleet) markerSubject(shard int) string {
	return f.name + ".in." + heldToken + "." + strconv.Itoa(shard)
}

func (f *Fleet) outSubject(room string) string {
	return f.name + ".out." + strconv.Itoa(f.shard(room)) + "." + names.Token(room)
}

// shardSubject returns the beginning of the subjects of what a worker with rooms of a shard is notified of.
func (f *Fleet) shardSubject(shard int) string { return f.name + ".shard." + strconv.Itoa(shard) }
