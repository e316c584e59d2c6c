package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/internal/printable"
)

// Headers of messages in the stream from rooms.
const (
	headerType       = "Fleet-Type" // as a token, since headers have no newlines
	headerFence      = "Fleet-Fence"
	headerWorker     = "Fleet-Worker"
	headerConnection = "Fleet-Connection"
	headerReceived   = "Fleet-Received" // unix ns
	headerBinary     = "Fleet-Binary"   // also of messages to rooms
)

// heldToken stands in place of a type in the first message of a new holder, which has its fence. Every
// message is published under the condition that this is still the last such message of the room, so
// that the stream itself refuses what a former holder publishes late.
const heldToken = "_held"

// longToken stands in place of a type that is too long for a subject: NATS closes a connection that
// uses a subject of 4 KiB, and the worker would lose its lease.
const longToken, longestToken = "_long", 256

// typeToken returns the token for a type in the subjects of messages from rooms.
func typeToken(kind string, binary bool) string {
	if binary {
		return "_binary"
	}
	if token := names.Token(kind); len(token) <= longestToken {
		return token
	}
	return longToken
}

// inbound is a holding's place in the stream of messages from rooms. After the first takeOver only the
// client's callbacks use it, which run one at a time.
type inbound struct {
	marker uint64 // the sequence of the message that has the fence of the holding
	count  uint64 // of messages, for their ids
	budget budget
}

// publishing is the timeout of one attempt to publish.
const publishing = 2 * time.Second

var errFenced = fmt.Errorf("%w: another worker has taken over", ErrLeaseLost)

// takeOver publishes the fence. From then on the stream refuses messages of all former holders.
func (h *holding) takeOver() error {
	subject := h.f.inSubject(h.id, heldToken)
	for {
		err := h.tryTakeOver(subject)
		switch {
		case err == nil, errors.Is(err, ErrLeaseLost):
			return err
		case h.ctx.Err() != nil:
			return h.ctx.Err()
		case !isWrongRevision(err):
			h.f.log.Warn("cannot take over", "room", h.id, "err", err)
			pause(h.ctx, 200*time.Millisecond)
		}
	}
}

func (h *holding) tryTakeOver(subject string) error {
	done, err := h.t.turn(h.ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := h.guard(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(h.ctx, publishing)
	defer cancel()
	var last uint64
	m, err := h.f.lastMessage(ctx, h.f.name+"-in", subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return err
	default:
		fence, _ := strconv.ParseUint(m.Header.Get(headerFence), 10, 64)
		if fence > h.fence {
			return errFenced
		}
		if last = m.Seq; fence == h.fence { // published already: with another spec, or the answer was lost
			h.inbound.marker = last
			return nil
		}
	}
	held := nats.NewMsg(subject)
	held.Header.Set(headerFence, strconv.FormatUint(h.fence, 10))
	held.Header.Set(headerWorker, h.worker.cfg.name)
	held.Header.Set(headerReceived, strconv.FormatInt(time.Now().UnixNano(), 10))
	held.Header.Set("Nats-TTL", "never")  // it outlives messages, which have a maximum age,
	held.Header.Set("Nats-Rollup", "sub") // until the next one replaces it
	began := time.Now()
	ack, err := h.f.js.PublishMsg(ctx, held, jetstream.WithExpectLastSequencePerSubject(last))
	if h.f.reached(began, err) != nil {
		return err
	}
	h.inbound.marker = ack.Sequence
	return nil
}

// publish puts a message from the room into the stream. It retries while NATS cannot be reached: the
// client's next messages wait, and its heartbeat goes on.
func (h *holding) publish(ctx context.Context, m wechatws.Message) {
	if !h.published(m) {
		return
	}
	h.inbound.count++
	msg := nats.NewMsg(h.f.inSubject(h.id, typeToken(m.Type, m.Binary)))
	msg.Data = m.Data
	fence := strconv.FormatUint(h.fence, 10)
	if !m.Binary {
		msg.Header.Set(headerType, names.Token(m.Type))
	}
	msg.Header.Set(headerFence, fence)
	msg.Header.Set(headerWorker, h.worker.cfg.name)
	msg.Header.Set(headerConnection, strconv.Itoa(m.Connection))
	msg.Header.Set(headerReceived, strconv.FormatInt(m.Received.UnixNano(), 10))
	if m.Binary {
		msg.Header.Set(headerBinary, "1")
	}
	id := names.Token(h.id) + "." + fence + "." + h.t.s.id + "." + strconv.FormatInt(h.since.UnixNano(), 36) + "." + strconv.FormatUint(h.inbound.count, 10)
	for began, told := time.Now(), false; ; {
		err := h.guard()
		if err == nil {
			err = h.tryPublish(ctx, msg, id)
		}
		switch {
		case err == nil:
			h.worker.counters.in.Add(1)
			return
		case ctx.Err() != nil, errors.Is(err, ErrLeaseLost): // the room is being given up
			h.worker.counters.unpublished.Add(1)
			return
		case isWrongRevision(err):
			if err := h.takeOver(); err != nil {
				h.worker.counters.unpublished.Add(1)
				h.lost(err)
				return
			}
		case temporary(err):
			if !told && time.Since(began) > 2*publishing {
				told = true
				h.f.log.Warn("messages of a room wait to be published", "room", h.id, "err", err)
			}
			pause(ctx, 100*time.Millisecond)
		default:
			h.worker.counters.unpublished.Add(1)
			h.worker.report(h.id, fmt.Errorf("a message of type %s, %d bytes, cannot be published: %w", printable.Quote(m.Type), len(m.Data), err))
			return
		}
	}
}

func (h *holding) tryPublish(ctx context.Context, msg *nats.Msg, id string) error {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	began := time.Now()
	_, err := h.f.js.PublishMsg(ctx, msg, jetstream.WithMsgID(id),
		jetstream.WithExpectLastSequenceForSubject(h.inbound.marker, h.f.inSubject(h.id, heldToken)))
	return h.f.reached(began, err)
}
