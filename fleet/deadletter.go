package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// Headers of dead letters, which have those of the message as well. A message that was replayed has its
// group and Seq.
const (
	headerGroup    = "Fleet-Group"
	headerSeq      = "Fleet-Seq"
	headerRoom     = "Fleet-Room"
	headerAttempts = "Fleet-Attempts"
	headerReason   = "Fleet-Reason" // as a token
)

// longestReason bounds the text of an error in a dead letter.
const longestReason = 1000

// A DeadLetter is a message from a room that a group of handlers has given up, or a message to a room that
// can never be delivered.
type DeadLetter struct {
	Message        // its Attempt is the number of attempts
	ID      uint64 // for [Control.Replay] and [Control.Drop]
	// Group is the group that has given the message up. It is empty for a message to a room, whose Received
	// is when [Fleet.Send] stored it, and which has no Type, Fence, Connection and Attempt.
	Group  string
	Reason string    // the text of the error
	Time   time.Time // when it was given up, by the clock of NATS
}

// DeadLetters returns an iterator over all dead letters, the oldest first. Those of groups are the messages
// whose callbacks have failed as often as [WithAttempts] permits, or with an error that is marked by
// [wechatws.Permanent], or which did not decode, or during which the process of the group was lost again
// and again. Those to rooms are what [WorkerStats] counts as Undeliverable; a message that has expired is
// none. Dead letters are kept for 7 days, as long as all of them are no more than 64 MiB (less on the small
// disk of an embedded server). The iterator ends behind the last one, or after an error, which is in the
// last pair.
func (c Control) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for next := uint64(1); ; {
			s, err := c.f.nextMessage(ctx, c.f.name+"-dead", c.f.name+".dead.>", next)
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound), c.f.hasNoDead(ctx, err):
				return
			case err != nil:
				yield(DeadLetter{}, fmt.Errorf("fleet: dead letters: %w", err))
				return
			}
			next = s.Seq + 1
			if d, ok := c.f.deadLetter(s); ok && !yield(d, nil) {
				return
			}
		}
	}
}

// ErrNoDeadLetter is returned for a dead letter that does not exist, or was replayed or dropped.
var ErrNoDeadLetter = errors.New("fleet: no such dead letter")

// Replay gives a dead letter to the handlers of its group again, behind the messages of its room that are
// there already, and removes it from the dead letters. Its [Message.Seq] is the same as before. Other groups
// do not get it. A message to a room is sent to it again, with the options that it was sent with, or Replay
// returns [ErrNoRoom]; the time of [ExpireAfter] begins again.
//
// Of several calls of Replay and [Control.Drop] for one dead letter, in any process, exactly one succeeds, and what was
// dropped is not sent again. The others wait until that one has ended, and return [ErrNoDeadLetter]. If its outcome
// is not known, since NATS has not answered or the process is lost, they wait for 8 s and then take its place.
func (c Control) Replay(ctx context.Context, id uint64) error {
	return c.f.finish(ctx, id, func(ctx context.Context, d DeadLetter, header nats.Header) error {
		if err := c.f.replay(ctx, d, header); err != nil {
			return fmt.Errorf("fleet: dead letter %d cannot be replayed: %w", id, plain(err))
		}
		return nil
	})
}

// replay may be repeated if the answer is lost.
func (f *Fleet) replay(ctx context.Context, d DeadLetter, header nats.Header) error {
	if d.Group == "" {
		return f.resend(ctx, d, header)
	}
	m := nats.NewMsg(f.inSubject(d.Room, typeToken(d.Type, d.Binary)))
	m.Data, m.Header = d.Data, header
	for _, name := range []string{headerAttempts, headerReason, headerRoom, nats.MsgIdHdr} {
		m.Header.Del(name)
	}
	_, err := f.js.PublishMsg(ctx, m, jetstream.WithMsgID("replay."+strconv.FormatUint(d.ID, 10)))
	return err
}

// Drop removes a dead letter. As for [Control.Replay], of several calls for one letter exactly one succeeds.
func (c Control) Drop(ctx context.Context, id uint64) error {
	return c.f.finish(ctx, id, func(context.Context, DeadLetter, nats.Header) error { return nil })
}

// hasNoDead reports whether err means that the stream of dead letters has not been made yet.
func (f *Fleet) hasNoDead(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	_, err = f.js.Stream(ctx, f.name+"-dead")
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

func (f *Fleet) deadByID(ctx context.Context, id uint64) (DeadLetter, nats.Header, error) {
	s, err := f.getMessage(ctx, f.name+"-dead", map[string]any{"seq": id})
	switch {
	case id == 0, errors.Is(err, jetstream.ErrMsgNotFound), f.hasNoDead(ctx, err):
		return DeadLetter{}, nil, fmt.Errorf("%w: %d", ErrNoDeadLetter, id)
	case err != nil:
		return DeadLetter{}, nil, fmt.Errorf("fleet: dead letter %d: %w", id, err)
	}
	d, ok := f.deadLetter(s)
	if !ok {
		return d, nil, fmt.Errorf("fleet: dead letter %d cannot be read", id)
	}
	return d, s.Header, nil
}

// deadLetter decodes a dead letter.
func (f *Fleet) deadLetter(s *stored) (d DeadLetter, ok bool) {
	h := s.Header
	if h == nil || h.Get(headerGroup) == "" && h.Get(headerTo) == "" {
		return d, false
	}
	m, ok := f.message(f.name+".in.0."+cmp.Or(h.Get(headerRoom), h.Get(headerTo))+".x", h, s.Data, 0)
	reason, err := names.Text(h.Get(headerReason))
	if !ok || err != nil {
		return d, false
	}
	m.Attempt, _ = strconv.Atoi(h.Get(headerAttempts))
	return DeadLetter{m, s.Seq, h.Get(headerGroup), reason, s.Time}, true
}

// letterReason returns the text of an error as a header of a dead letter.
func letterReason(err error) string {
	text := err.Error()
	return names.Token(text[:min(len(text), longestReason)])
}

// bury makes a message a dead letter. It retries until NATS has stored it, or ctx ends. If NATS refuses it,
// that is reported, and the message is gone.
func (h *Handlers) bury(ctx context.Context, m Message, reason error) error {
	dead := nats.NewMsg(h.f.name + ".dead." + h.group)
	dead.Data = m.Data
	for name, value := range map[string]string{
		headerType: names.Token(m.Type), headerFence: strconv.FormatUint(m.Fence, 10), headerWorker: m.Worker,
		headerConnection: strconv.Itoa(m.Connection), headerReceived: strconv.FormatInt(m.Received.UnixNano(), 10),
		headerGroup: h.group, headerSeq: strconv.FormatUint(m.Seq, 10), headerRoom: names.Token(m.Room),
		headerAttempts: strconv.Itoa(m.Attempt), headerReason: letterReason(reason),
	} {
		dead.Header.Set(name, value)
	}
	if m.Binary {
		dead.Header.Set(headerBinary, "1")
	}
	for ctx.Err() == nil {
		err := h.f.bury(ctx, dead)
		switch {
		case err == nil:
			return nil
		case !temporary(err):
			h.report(m, fmt.Errorf("the message cannot become a dead letter, and is lost: %w", err))
			return nil
		}
		pause(ctx, 250*time.Millisecond)
	}
	return ctx.Err()
}

// bury stores a dead letter, and makes the stream for it if there is none.
func (f *Fleet) bury(ctx context.Context, dead *nats.Msg, options ...jetstream.PublishOpt) error {
	put := func() error {
		ctx, cancel := context.WithTimeout(ctx, publishing)
		defer cancel()
		began := time.Now()
		_, err := f.js.PublishMsg(ctx, dead, options...)
		for errors.Is(err, nats.ErrMaxPayload) && shorten(dead) {
			_, err = f.js.PublishMsg(ctx, dead, options...)
		}
		return f.reachedStream(ctx, "-dead", began, err)
	}
	err := put()
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return err
	}
	if err := f.makeDead(ctx); err != nil { // NATS has lost it, or had no space for it
		return err
	}
	return put()
}

// shorten cuts off half of the reason of a dead letter, and reports whether there was one. A message that was nearly
// as large as NATS accepts would not become a dead letter otherwise.
func shorten(dead *nats.Msg) bool {
	text, err := names.Text(dead.Header.Get(headerReason))
	dead.Header.Set(headerReason, names.Token(text[:len(text)/2]))
	return err == nil && text != ""
}
