package fleet

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/decision"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// removedAtOnce is how many rooms that do not exist a sweep drops the messages of.
const removedAtOnce = 64

// sweep looks for messages to held rooms whose notification was lost, and to rooms that do not exist. One
// request finds all rooms that have any. If NATS has lost the stream, the sweep makes it again.
func (t *tenure) sweep() {
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, publishing)
		defer cancel()
		info, err := t.f.out.Info(ctx, jetstream.WithSubjectFilter(t.f.name+".out.>"))
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			_, err = t.f.makeAgain(ctx)
			t.f.log.Error("the stream of messages to rooms did not exist, and is made again", "err", err)
		case err == nil:
			t.post(func() {
				if !info.Created.Equal(t.outMade) { // sequences may begin at 1 again
					t.outMade = info.Created
					t.w.held.Range(func(_, h any) bool {
						h.(*holding).mailbox.after.Store(0)
						return true
					})
				}
				t.swept(&info.State)
			})
		}
	})
}

// swept handles the result of a sweep. Messages to rooms that do not exist are dropped by the holder of the
// shard, or, if the shard has no claim, by the first worker.
func (t *tenure) swept(out *jetstream.StreamState) {
	var removed []string
	for subject := range out.Subjects {
		number, token, _ := strings.Cut(subject[len(t.f.name)+len(".out."):], ".")
		n, err := strconv.Atoi(number)
		s := t.shards[n]
		switch {
		case err != nil, s == nil, s.claim.rev == 0:
			if t.first() {
				removed = append(removed, subject)
			}
		case s.part == nil || s.part.stage == decision.Unready:
		case s.rooms[token] == nil || s.rooms[token].record == nil:
			if s.claim.Session == t.s.id {
				removed = append(removed, subject)
			}
		case s.rooms[token].held != nil:
			s.rooms[token].held.mailbox.wake()
		default:
			s.part.mail = true
		}
	}
	if len(removed) == 0 {
		return
	}
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, sweeping)
		defer cancel()
		for _, subject := range removed[:min(len(removed), removedAtOnce)] {
			if t.f.dropRemoved(ctx, subject, out.LastSeq) != nil {
				return
			}
		}
	})
}

// dropRemoved removes the messages up to a sequence to a room that does not exist: they were sent while it
// was removed, or by a process that was lost meanwhile, or not by Send.
func (f *Fleet) dropRemoved(ctx context.Context, subject string, last uint64) error {
	room, err := names.Text(subject[strings.LastIndexByte(subject, '.')+1:])
	if err == nil && f.outSubject(room) == subject {
		r, _, err := f.record(ctx, room)
		if err != nil || r != nil {
			return err
		}
	}
	return f.out.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(last+1))
}
