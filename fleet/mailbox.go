package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
)

// A mailbox delivers the messages that the stream has for a room, one after the other: the
// first one is written, then deleted from the stream, then the next. There is a goroutine
// while there are messages.
//
// The stream notifies it of new ones by republishing what it stores. A notification may get lost, so
// the tenure also looks for messages when the room is taken, and at intervals.
type mailbox struct {
	h *holding

	mu      sync.Mutex
	running bool
	more    bool               // there may be messages that it has not looked for
	sending *wechatws.Outbound // given to the client, and not known to be written
	workers sync.WaitGroup

	after atomic.Uint64 // what was delivered last
}

// wake makes it look for messages, as soon as there is a client. It does not wait.
func (b *mailbox) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.more = true
	b.start()
}

// resume is called when there is another client. It does not wait.
func (b *mailbox) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
}

func (b *mailbox) start() {
	if b.running || !b.more || b.h.client.Load() == nil || b.h.ctx.Err() != nil {
		return
	}
	b.running = true
	b.workers.Go(b.run)
}

// wait waits for the goroutine. The holding's context has ended.
func (b *mailbox) wait() {
	b.mu.Lock()
	b.running = true // no goroutine starts any more
	b.mu.Unlock()
	b.workers.Wait()
}

func (b *mailbox) run() {
	var closed *wechatws.Client
	for {
		b.mu.Lock()
		client := b.h.client.Load()
		if !b.more || client == closed || b.h.ctx.Err() != nil {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.more = false
		b.mu.Unlock()
		err := b.empty(client)
		if err == nil || b.h.ctx.Err() != nil {
			continue
		}
		b.mu.Lock()
		b.more = true
		b.mu.Unlock()
		if errors.Is(err, wechatws.ErrClosed) {
			closed = client // with the next one there is a call of resume
			continue
		}
		b.h.f.log.Warn("messages to the room wait", "room", b.h.id, "err", err)
		pause(b.h.ctx, time.Second)
	}
}

// empty delivers all messages that are in the stream.
func (b *mailbox) empty(client *wechatws.Client) error {
	h := b.h
	for h.ctx.Err() == nil {
		after := b.after.Load()
		m, err := b.next(after)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.deliver(client, m); err != nil {
			return err
		}
		b.remove(m.Seq)
		b.after.CompareAndSwap(after, m.Seq) // else the stream was made again
	}
	return nil
}

// next returns the first message behind a sequence.
func (b *mailbox) next(after uint64) (*stored, error) {
	h := b.h
	done, err := h.t.turn(h.ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(h.ctx, publishing)
	defer cancel()
	return h.f.nextMessage(ctx, h.f.name+"-out", h.f.outSubject(h.id), after+1)
}

// deliver writes one message and waits for its confirmation. A message that has expired, or can never
// be delivered, is reported and counted. If deliver returns nil, the caller must remove the message.
func (b *mailbox) deliver(client *wechatws.Client, m *stored) error {
	h := b.h
	var left time.Duration // zero: it does not expire
	if after, err := time.ParseDuration(m.Header.Get(headerExpires)); err == nil {
		now, err := h.f.clock.now(h.ctx, h.f.out)
		if err != nil {
			return err
		}
		if left = after - now.Sub(m.Time); left <= 0 {
			h.worker.counters.expired.Add(1)
			h.worker.report(h.id, fmt.Errorf("message %d to the room: %w", m.Seq, wechatws.ErrExpired))
			return nil
		}
	}
	out := wechatws.Outbound{Binary: m.Header.Get(headerBinary) != "", Data: m.Data}
	b.note(&out)
	err := b.send(client, m, out, left)
	if h.ctx.Err() == nil && !errors.Is(err, wechatws.ErrClosed) { // else the client may hand it back
		b.note(nil)
	}
	switch {
	case err == nil:
		h.worker.counters.out.Add(1)
		return nil
	case h.ctx.Err() != nil:
		return err // the next holder sends it
	case errors.Is(err, wechatws.ErrExpired):
		h.worker.counters.expired.Add(1)
		h.worker.report(h.id, fmt.Errorf("message %d to the room: %w", m.Seq, err))
		return nil
	case retryable(err):
		return err
	}
	// Any later attempt would fail in the same way, and the messages behind this one would wait
	// for ever.
	return b.bury(m, err)
}

// retryable reports whether sending the same message later can succeed, since the error is about the
// state of the client, and not about the message. The list has all errors of Send and SendConfirmed
// that are about the client; the others are permanent.
func retryable(err error) bool {
	if errors.Is(err, wechatws.ErrMessageTooBig) {
		return false
	}
	for _, e := range []error{
		wechatws.ErrClosed, wechatws.ErrNotOpen, wechatws.ErrQueueFull, wechatws.ErrInboxFull, wechatws.ErrConnectionLost,
		ErrLeaseLost, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (b *mailbox) note(sending *wechatws.Outbound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sending = sending
}

// disown returns err, in which a client may hand back messages, without the one that is still in the
// stream: the next client delivers it. It returns nil if there is no other.
func (b *mailbox) disown(err error) error {
	var left *wechatws.UndeliveredError
	if !errors.As(err, &left) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending != nil {
		i := slices.IndexFunc(left.Messages, func(m wechatws.Outbound) bool {
			return m.Binary == b.sending.Binary && bytes.Equal(m.Data, b.sending.Data)
		})
		if i >= 0 {
			left.Messages = slices.Delete(left.Messages, i, i+1)
		}
	}
	if len(left.Messages) == 0 {
		return nil
	}
	return err
}

func (b *mailbox) send(client *wechatws.Client, m *stored, out wechatws.Outbound, left time.Duration) error {
	if m.badHdrs != nil { // one of them may be that of ConfirmedBy
		return m.badHdrs
	}
	if !b.sentBySend(m) {
		return errNotSent
	}
	var sendOptions []wechatws.SendOption
	var confirmOptions []wechatws.ConfirmOption
	if left > 0 {
		expire := wechatws.ExpireAfter(left)
		sendOptions, confirmOptions = append(sendOptions, expire), append(confirmOptions, expire)
	}
	if match := m.Header.Get(headerMatch); match != "" {
		var want Match
		err := decodeExactly([]byte(match), &want)
		if err == nil && want.Type == "" {
			err = errors.New("no type")
		}
		if err != nil {
			return fmt.Errorf("ConfirmedBy: %w", err)
		}
		_, err = client.SendConfirmed(b.h.ctx, out, want.matches, confirmOptions...)
		return err
	}
	if err := client.Send(b.h.ctx, out, sendOptions...); err != nil {
		return err
	}
	return client.Flush(b.h.ctx)
}

// remove removes a message that was delivered, before the next one is delivered. It retries while the
// room is held, and for the time of one attempt after. If it fails, the next holder delivers this
// message once more, and none that came after it.
func (b *mailbox) remove(seq uint64) {
	last, cancel := context.WithCancel(context.WithoutCancel(b.h.ctx))
	defer cancel()
	defer context.AfterFunc(b.h.ctx, func() { time.AfterFunc(publishing, cancel) })()
	for n := 1; ; n++ {
		ctx, done := context.WithTimeout(last, publishing)
		err := b.h.f.out.DeleteMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && !b.has(ctx, seq) {
			err = nil
		}
		done()
		switch {
		case err == nil:
			return
		case last.Err() != nil:
			b.h.f.log.Warn("a message that was delivered will be delivered again", "room", b.h.id, "seq", seq, "err", err)
			return
		case n%25 == 0:
			b.h.f.log.Warn("messages to the room wait, since one that was delivered cannot be removed", "room", b.h.id, "seq", seq, "err", err)
		}
		pause(last, 200*time.Millisecond)
	}
}

// has reports whether the stream still has a message, and true if the stream cannot be asked.
func (b *mailbox) has(ctx context.Context, seq uint64) bool {
	m, err := b.h.f.nextMessage(ctx, b.h.f.name+"-out", b.h.f.outSubject(b.h.id), seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false
	}
	return err != nil || m.Seq == seq
}
