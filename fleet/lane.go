package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/decision"
)

// A lane is a worker's way into the stream of messages from the rooms of one shard. Each message is
// published under the condition that a marker is still the last one of the shard, so that the stream
// itself refuses what a former holder publishes late: a worker that takes a shard publishes another
// marker before it holds rooms of it, and one that hands over a room does so if a message of the room may
// still be under way. Workers that hold rooms of one shard at the same time publish under the same marker.
//
// One message is published at a time. NATS refuses a message while another one with the same
// condition is in process in a cluster.
type lane struct {
	t       *tenure
	n       int
	subject string        // of the markers
	busy    chan struct{} // has capacity 1
	// The following fields belong to the goroutine that has its turn.
	marker uint64 // the sequence of the last marker; 0: not known
	rev    uint64 // a revision of the claim by which this worker holds rooms of the shard
	// unsettled is true if the outcome of a publication under the last marker is not known.
	unsettled bool
}

var (
	errFenced = fmt.Errorf("%w: another worker has taken over", ErrLeaseLost)
	// errGarbled means that the value of a claim is none. The tenure replaces it.
	errGarbled = fmt.Errorf("%w: the claim cannot be decoded", errInterrupted)
)

func newLane(t *tenure, n int, rev uint64) *lane {
	return &lane{t: t, n: n, rev: rev, subject: t.f.markerSubject(n), busy: make(chan struct{}, 1)}
}

// turn waits until a message may be published. The caller must call done then.
func (l *lane) turn(ctx context.Context) (done func(), err error) {
	select {
	case l.busy <- struct{}{}:
		return func() { <-l.busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renew publishes another marker, when this worker holds rooms of the shard by a claim of this revision. It
// retries until it has succeeded, the lease is lost, or the claim must be replaced.
func (l *lane) renew(ctx context.Context, rev uint64) error {
	for {
		err := l.tryRenew(ctx, rev)
		switch {
		case err == nil, errors.Is(err, ErrLeaseLost), errors.Is(err, errGarbled):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case isWrongRevision(err), isInProcess(err):
			pause(ctx, inProcessFor)
		default:
			l.t.f.log.Warn("the marker of a shard cannot be published", "shard", l.n, "err", err)
			pause(ctx, 200*time.Millisecond)
		}
	}
}

func (l *lane) tryRenew(ctx context.Context, rev uint64) error {
	done, err := l.t.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	published, err := l.turn(ctx)
	if err != nil {
		return err
	}
	defer published()
	l.rev = max(l.rev, rev)
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	return l.find(ctx, true)
}

// find finds the marker, or publishes another one if anew is true or there is none. If the worker that has
// published the marker has seen a later claim than this one, or the marker is none, find reads the claim
// after the marker. It returns errFenced if the worker has no rooms of the shard any more. The caller must have its turn.
func (l *lane) find(ctx context.Context, anew bool) error {
	var last uint64
	m, err := l.t.f.lastMessage(ctx, l.t.f.name+"-in", l.subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return err
	default:
		last = m.Seq
		fence, err := strconv.ParseUint(m.Header.Get(headerFence), 10, 64)
		foreign := err != nil || m.Header.Get(headerShard) != strconv.Itoa(l.n) || replayed(m.Header)
		if foreign || fence > l.rev {
			c, err := l.t.readClaim(l.n)
			switch {
			case err != nil:
				return err
			case c.state == decision.Garbled:
				l.t.post(func() { l.t.learn(c) })
				return errGarbled
			case !c.names(l.t.s.id):
				l.t.post(func() { l.t.learn(c) })
				return errFenced
			}
			l.rev = c.rev
		}
		anew = anew || foreign
		if !anew {
			l.marker = last
			return nil
		}
	}
	if err := l.t.s.guard(); err != nil {
		return err
	}
	marker := nats.NewMsg(l.subject)
	marker.Header.Set(headerShard, strconv.Itoa(l.n))
	marker.Header.Set(headerFence, strconv.FormatUint(l.rev, 10))
	marker.Header.Set(headerWorker, l.t.w.cfg.name)
	marker.Header.Set(headerReceived, strconv.FormatInt(time.Now().UnixNano(), 10))
	marker.Header.Set("Nats-TTL", "never")  // it outlives messages, which have a maximum age,
	marker.Header.Set("Nats-Rollup", "sub") // until the next one replaces it
	began := time.Now()
	ack, err := l.t.f.js.PublishMsg(ctx, marker, jetstream.WithExpectLastSequencePerSubject(last))
	if l.t.f.reachedStream(ctx, "-in", began, err) != nil {
		return err
	}
	l.marker, l.unsettled = ack.Sequence, false
	return nil
}

// inProcessFor is the pause before a request is repeated that NATS refuses because a message with the same
// condition is in process, or which a replica answers that has not got it yet.
const inProcessFor = 10 * time.Millisecond

// isInProcess reports whether NATS refuses a message only for now.
func isInProcess(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}
