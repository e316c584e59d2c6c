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

// deadTurn is for how long a call of Replay or Drop has a dead letter to itself. It begins nothing in the last quarter
// of that.
const deadTurn = 4 * publishing

// finish calls end with a dead letter, and removes it unless end returns an error. One call at a time does that, of
// all processes: the others wait, and return ErrNoDeadLetter if it succeeds. So a letter that was dropped is not
// sent again.
func (f *Fleet) finish(ctx context.Context, id uint64, end func(ctx context.Context, d DeadLetter, header nats.Header) error) error {
	if _, _, err := f.deadByID(ctx, id); err != nil {
		return err
	}
	over, err := f.deadTurn(ctx, id)
	if err != nil {
		return fmt.Errorf("fleet: dead letter %d: %w", id, plain(err))
	}
	inTurn, cancel := context.WithTimeout(ctx, deadTurn/2)
	defer cancel()
	d, header, err := f.deadByID(inTurn, id) // the one before may have finished it
	if err == nil {
		err = end(inTurn, d, header)
	}
	if err == nil {
		err = f.removeDead(inTurn, id)
	}
	var answer *jetstream.APIError
	answered := !temporary(err) || errors.As(err, &answer) && !isInProcess(err)
	if answered && inTurn.Err() == nil { // else a request may still arrive, and the turn runs out
		over(inTurn)
	}
	return err
}

func (f *Fleet) removeDead(ctx context.Context, id uint64) error {
	s, err := f.js.Stream(ctx, f.name+"-dead")
	if err == nil {
		err = s.DeleteMsg(ctx, id)
	}
	if err == nil {
		return nil
	}
	if _, _, gone := f.deadByID(ctx, id); errors.Is(gone, ErrNoDeadLetter) { // it was too old
		return gone
	}
	return fmt.Errorf("fleet: dead letter %d cannot be removed: %w", id, plain(err))
}

// deadTurn waits until no other call has a dead letter to itself, or ctx ends. The turn is a message in the stream of
// dead letters, of which only one can be the next on its subject; over removes it. If the process of that call is
// lost, the turn runs out. The clock for that begins when this process first sees it.
func (f *Fleet) deadTurn(ctx context.Context, id uint64) (over func(ctx context.Context), err error) {
	subject := f.name + ".dead.turn." + strconv.FormatUint(id, 10) // see the subjects of groups and rooms
	var seen, last uint64                                          // the turn that was seen, and that which is over
	var since time.Time
	for {
		once, cancel := context.WithTimeout(ctx, publishing)
		ack, err := f.js.Publish(once, subject, nil, jetstream.WithExpectLastSequencePerSubject(last))
		cancel()
		if err == nil {
			return func(ctx context.Context) {
				if s, err := f.js.Stream(ctx, f.name+"-dead"); err == nil {
					_ = s.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(ack.Sequence+1)) // or it runs out
				}
			}, nil
		}
		if !isWrongRevision(err) && !isInProcess(err) {
			return nil, err
		}
		pause(ctx, 10*inProcessFor)
		switch m, err := f.lastMessage(ctx, f.name+"-dead", subject); {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			seen, last = 0, 0
		case err != nil:
			return nil, err
		case m.Seq != seen:
			seen, last, since = m.Seq, 0, time.Now()
		case time.Since(since) > deadTurn:
			last = seen
		}
	}
}
