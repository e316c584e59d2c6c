package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// A position is what a group has done of a partition, and which process goes on with it. It is the value of
// a key of the bucket of groups, and only written by compare-and-set: a write is the acknowledgement of all
// messages before it, it renews the process's claim on the partition, and it fails if another process has
// taken the partition.
type position struct {
	Owner string        `json:"owner,omitempty"` // empty: it was given up, and no callback runs
	Wait  time.Duration `json:"wait"`            // another process may take it after so long without a write
	// In is when the stream was made: in another one the sequences mean something else.
	In     time.Time       `json:"in"`
	Done   uint64          `json:"done"`             // all messages up to here are handled,
	Behind map[string]late `json:"behind,omitempty"` // except for those of these rooms, by token
	// Lost counts the owners that were lost since all messages that they may have been handling are
	// handled. From two on a message is written down before it is handled, since it may be what kills
	// them.
	Lost   int    `json:"lost,omitempty"`
	Trying uint64 `json:"trying,omitempty"`
	Tries  int    `json:"tries,omitempty"`
}

const (
	// window is how many messages may be read beyond the position. When so many are handled and not
	// acknowledged, or wait, the reader waits.
	window = 4096
	// enough is the number from which on the position lists the rooms that are behind, and mostLate how
	// many.
	enough, mostLate = window / 4, 64

	// acknowledging is the time after which what is handled is acknowledged.
	acknowledging = 100 * time.Millisecond

	// memory is about what the messages of a process may take, in bytes.
	memory = 64 << 20

	// mostLost is how many owners one message may kill after it was found to be the one.
	mostLost = 2
)

var (
	errTaken  = errors.New("fleet: another process has taken the partition")
	errLapsed = errors.New("fleet: the partition could not be kept: NATS has not answered for too long")
	errNewIn  = errors.New("fleet: NATS has lost the messages from rooms: the stream was made again")
)

// A partition is the messages of a part of the rooms, of which this process is the owner.
type partition struct {
	h      *Handlers
	number int
	key    string
	memory int // bytes
	taken  position

	ctx    context.Context // of callbacks
	cancel context.CancelCauseFunc
	read   context.Context // of the reader; it ends with ctx, or when the partition is given up
	stop   context.CancelFunc
	turns  sync.WaitGroup
	more   chan struct{} // wakes the reader
	due    chan struct{} // wakes the keeper

	confirmed atomic.Pointer[time.Time] // when the last write that succeeded was sent
	lapse     *time.Timer               // cancels ctx when that was too long ago
	saving    gate
	rev       uint64

	alone *pool // while careful > 0

	mu       sync.Mutex
	saved    position
	closed   bool // no further turns
	lines    map[string]*line
	last     uint64   // message that was read
	ahead    []uint64 // messages that were read, from the position on
	bytes    int      // of messages in memory
	waiting  int      // messages that were read and are not handled
	finished int      // messages since this process took the partition
	pending  uint64   // messages that are not read
	reading  bool     // pending is known
	careful  int      // messages until it is clear that none of them kills its process
	trying   uint64
	tries    int
}

// newPartition makes the partition that the process has taken by the write of pos with a revision.
func (h *Handlers) newPartition(ctx context.Context, number int, pos position, rev uint64, sent time.Time) *partition {
	p := &partition{
		h: h, number: number, key: h.positionKey(number), memory: max(memory/h.f.settled.Partitions, 1<<20), taken: pos, saved: pos, rev: rev,
		more: make(chan struct{}, 1), due: make(chan struct{}, 1),
		alone: &pool{most: 1}, lines: map[string]*line{}, last: pos.Done,
	}
	p.confirmed.Store(&sent)
	if pos.Lost >= 2 {
		p.careful = window
	}
	for token, l := range pos.Behind {
		if room, err := names.Text(token); err == nil {
			p.lines[room] = &line{room: room, from: l.From, to: pos.Done, failed: l.Failed}
		}
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.read, p.stop = context.WithCancel(p.ctx)
	p.lapse = time.AfterFunc(p.limit()-since(sent), func() { p.end(errLapsed) })
	return p
}

// run handles messages until the context ends, or the partition is given up or lost.
func (p *partition) run() {
	keeping, stop := context.WithCancel(context.WithoutCancel(p.ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { p.keepUp(keeping) })
	p.mu.Lock()
	for _, l := range p.lines {
		p.start(l)
	}
	p.mu.Unlock()
	for p.read.Err() == nil {
		err := p.readOn()
		if p.read.Err() == nil && !temporary(err) && !errors.Is(err, errInterrupted) {
			p.h.fail(fmt.Errorf("fleet: group %q: messages cannot be read: %w", p.h.group, err))
		}
		pause(p.read, 250*time.Millisecond)
	}
	p.leave()
	p.turns.Wait()
	stop()
	keeper.Wait()
	p.giveUp()
	p.lapse.Stop()
	p.cancel(nil)
}

// leave makes the partition end when the running callbacks have returned.
func (p *partition) leave() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
}

// guard returns an error when another process may own the partition.
func (p *partition) guard() error {
	if since(*p.confirmed.Load()) >= p.limit() {
		return errLapsed
	}
	return nil
}

// limit is the time after a write, as of when it was sent, after which the process stops without another
// one. Clocks may differ by the rest.
func (p *partition) limit() time.Duration { return p.h.cfg.takeover - p.h.cfg.takeover/12 }

// readOn reads messages into the lines, until an error occurs.
func (p *partition) readOn() error {
	switch in, err := p.h.madeIn(p.read); {
	case err != nil:
		return err
	case !in.Equal(p.taken.In):
		p.cancel(errNewIn) // the next owner begins anew
		return errNewIn
	}
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	pull, err := p.h.f.newPuller(p.read, p.h.f.partitionSubject(p.number), last+1)
	if err != nil {
		return err
	}
	defer pull.close()
	request := pull10
	for {
		p.mu.Lock()
		p.pending, p.reading = pull.pending, true
		p.mu.Unlock()
		if request.Batch = min(largestPull, p.awaitWindow()); request.MaxBytes == 0 {
			request.Batch = 1
		}
		err := pull.fetch(p.read, request, p.receive(pull))
		switch {
		case err == errTooLarge:
			request.MaxBytes = 0 // this one, alone
		case err != nil:
			return err
		default:
			request.MaxBytes = pull10.MaxBytes
		}
	}
}

// pull10 is a request for messages as they come.
var pull10 = pull{MaxBytes: 512 << 10, Expires: 10 * time.Second, Heartbeat: heartbeat}

// receive returns the function that adds a message to its line.
func (p *partition) receive(pull *puller) func(*nats.Msg, *nats.MsgMetadata) error {
	return func(raw *nats.Msg, meta *nats.MsgMetadata) error {
		m, ok := p.h.concerns(raw, meta.Sequence.Stream)
		if ok {
			p.awaitLine(m.Room)
			p.add(queued{m, meta.Sequence.Stream})
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last, p.pending = meta.Sequence.Stream, meta.NumPending
		return p.read.Err()
	}
}

// awaitWindow waits until messages may be read, and returns how many. It returns 0 if the reader must end.
func (p *partition) awaitWindow() int {
	for {
		p.mu.Lock()
		room := window - len(p.ahead)
		p.mu.Unlock()
		if room > 0 || p.read.Err() != nil {
			return max(room, 0)
		}
		p.wakeKeeper()
		select {
		case <-p.more:
		case <-p.read.Done():
		}
	}
}

// awaitLine waits a moment while the line of a room is full. If its callbacks are only as slow as those of
// all rooms, its messages need not be read twice.
func (p *partition) awaitLine(room string) {
	moment := time.NewTimer(50 * time.Millisecond)
	defer moment.Stop()
	for {
		p.mu.Lock()
		l := p.lines[room]
		full := l != nil && l.from == 0 && l.full()
		p.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-p.more:
		case <-moment.C:
			return
		case <-p.read.Done():
			return
		}
	}
}

func (p *partition) wakeReader() { wake(p.more) }
func (p *partition) wakeKeeper() { wake(p.due) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keepUp acknowledges what is handled, and renews the claim on the partition, until ctx ends. It ends the
// partition when it is lost.
func (p *partition) keepUp(ctx context.Context) {
	tick := time.NewTicker(acknowledging)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.due:
		}
		if err := p.guard(); err != nil {
			p.end(err)
			return
		}
		if !p.news() {
			continue
		}
		if err := p.save(ctx, p.h.name, false); errors.Is(err, errTaken) {
			p.end(err)
			return
		}
	}
}

// end ends the partition, of which another process may be the owner.
func (p *partition) end(err error) {
	p.h.f.log.Warn("partition lost", "group", p.h.group, "partition", p.number, "err", err)
	p.cancel(err)
}

// news reports whether the position must be written.
func (p *partition) news() bool {
	if since(*p.confirmed.Load()) >= p.h.cfg.takeover/4 {
		return true
	}
	done, _ := p.position(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	return done != p.saved.Done
}

// save writes the position.
func (p *partition) save(ctx context.Context, owner string, all bool) error {
	if err := p.saving.enter(ctx); err != nil {
		return err
	}
	defer p.saving.leave()
	p.mu.Lock()
	pos := p.saved
	p.mu.Unlock()
	pos.Owner, pos.Wait = owner, p.h.cfg.takeover
	pos.Done, pos.Behind = p.position(all)
	p.mu.Lock()
	pos.Trying, pos.Tries = p.trying, p.tries
	if p.reading && len(p.lines) == 0 && p.pending == 0 || p.finished >= window {
		pos.Lost, pos.Trying, pos.Tries, p.careful = 0, 0, 0, 0
	}
	p.mu.Unlock()
	value, err := json.Marshal(pos)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(publishing, p.h.cfg.takeover/4))
	defer cancel()
	sent := time.Now()
	rev, err := p.h.f.putKey(ctx, p.h.groups, p.key, value, p.rev, 0)
	if isWrongRevision(err) {
		if rev, err = p.reconcile(ctx); err == nil {
			sent = time.Now()
			rev, err = p.h.f.putKey(ctx, p.h.groups, p.key, value, rev, 0)
		}
	}
	if err != nil {
		return err
	}
	p.rev = rev
	p.confirmed.Store(&sent)
	if p.lapse.Stop() { // else ctx has ended
		p.lapse.Reset(p.limit() - since(sent))
	}
	p.mu.Lock()
	p.saved = pos
	p.ahead = p.ahead[len(p.ahead)-p.aheadOf(pos.Done):]
	p.mu.Unlock()
	p.wakeReader()
	return nil
}

// reconcile returns the revision of the key after a write with an unknown outcome, or after NATS has lost
// it. It returns errTaken if another process has written it.
func (p *partition) reconcile(ctx context.Context) (uint64, error) {
	m, err := p.h.f.lastInBucket(ctx, p.h.groups, p.key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(m.Data) > 0 && decodePosition(m.Data).Owner != p.h.name { // without data it is the marker that it was deleted
		return 0, errTaken
	}
	return m.Seq, nil
}

// giveUp has another process take the partition at once.
func (p *partition) giveUp() {
	for p.guard() == nil {
		err := p.save(context.WithoutCancel(p.ctx), "", true)
		if err == nil || errors.Is(err, errTaken) {
			return
		}
		p.h.f.log.Warn("a partition cannot be given up", "group", p.h.group, "partition", p.number, "err", err)
		time.Sleep(100 * time.Millisecond)
	}
}

// handle gives a message to its callbacks. It returns false if there is to be another attempt, and an error
// if the partition has ended before.
func (p *partition) handle(m queued) (handled bool, err error) {
	if p.isCareful() {
		switch poison, err := p.writeDown(m.at); {
		case err != nil:
			return false, err
		case poison > 0:
			return p.h.done(p.ctx, m.Message, nil, fmt.Errorf("given up: its process was lost %d times while it was handled", poison))
		}
	}
	return p.h.handle(p.ctx, m.Message)
}

func (p *partition) isCareful() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.careful > 0
}

// writeDown writes down which message is handled next, so that the next owner knows it if this process is
// lost. If it is known to have killed its process too often, writeDown returns how often.
func (p *partition) writeDown(at uint64) (poison int, err error) {
	tries := 1
	if p.taken.Trying == at {
		if tries += p.taken.Tries; tries > mostLost {
			return p.taken.Tries, nil
		}
	}
	p.mu.Lock()
	known := p.trying == at
	p.trying, p.tries = at, tries
	p.mu.Unlock()
	for !known {
		if err = p.save(p.ctx, p.h.name, false); err == nil || p.ctx.Err() != nil || errors.Is(err, errTaken) {
			return 0, err
		}
		pause(p.ctx, acknowledging)
	}
	return 0, nil
}
