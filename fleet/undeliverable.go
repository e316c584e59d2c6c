package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws/fleet/internal/names"
)

// sentBySend reports whether Send has stored a message for the room.
func (b *mailbox) sentBySend(m *stored) bool {
	return m.badHdrs == nil && m.Header.Get(headerTo) == names.Token(b.h.id) && !replayed(m.Header)
}

// bury makes a message that can never be delivered a dead letter, counts and reports it. What Send has not
// stored is not kept. If bury returns nil, the caller must remove the message.
func (b *mailbox) bury(m *stored, reason error) error {
	h := b.h
	err := fmt.Errorf("message %d to the room can never be delivered: %w", m.Seq, reason)
	if b.sentBySend(m) {
		dead := nats.NewMsg(h.f.name + ".dead.to." + names.Token(h.id)) // groups have subjects of one token less
		dead.Data = m.Data
		copyHeaders(dead.Header, m.Header)
		dead.Header.Set(headerReason, letterReason(reason))
		dead.Header.Set(headerWorker, h.worker.cfg.name)
		dead.Header.Set(headerSeq, strconv.FormatUint(m.Seq, 10))
		dead.Header.Set(headerReceived, strconv.FormatInt(m.Time.UnixNano(), 10))
		// The next holder finds it again if this one is lost before it has removed the message.
		id := "to." + strconv.FormatUint(m.Seq, 10) + "." + strconv.FormatInt(m.Time.UnixNano(), 10)
		switch lost := h.f.bury(h.ctx, dead, jetstream.WithMsgID(id)); {
		case lost != nil && (temporary(lost) || h.ctx.Err() != nil):
			return lost
		case lost != nil:
			err = errors.Join(err, fmt.Errorf("the message cannot become a dead letter, and is lost: %w", lost))
		}
	}
	h.worker.counters.undeliverable.Add(1)
	h.worker.report(h.id, err)
	return nil
}

// copyHeaders copies those headers of a message to a room that Send has given it.
func copyHeaders(to, from nats.Header) {
	for _, name := range []string{headerTo, headerBinary, headerMatch, headerExpires} {
		if value := from.Get(name); value != "" {
			to.Set(name, value)
		}
	}
}

// resend sends a dead letter to its room again.
func (f *Fleet) resend(ctx context.Context, d DeadLetter, header nats.Header) error {
	if _, _, err := f.Control().existing(ctx, d.Room); err != nil {
		return err
	}
	m := nats.NewMsg(f.outSubject(d.Room))
	m.Data = d.Data
	copyHeaders(m.Header, header)
	expire, _ := time.ParseDuration(header.Get(headerExpires))
	return f.store(ctx, m, expire, "replay."+strconv.FormatUint(d.ID, 10)) // no id of Send has a second dot
}
