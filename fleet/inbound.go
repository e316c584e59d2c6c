package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
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
	headerShard      = "Fleet-Shard"    // of markers
)

// heldToken stands in place of a partition in the subjects of markers: see lane.
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

// inbound is what a holding needs for publishing. Callbacks of its client may run at the same time.
type inbound struct {
	ctx     context.Context    // of publications; it outlasts the holding's if the room is given up by plan
	end     context.CancelFunc // ends both
	failing atomic.Bool        // the last attempt has failed, and another one follows

	count atomic.Uint64 // of messages, for their ids

	mu     sync.Mutex // guards the fields below
	budget budget
	missed missed
}

// publishing is the timeout of one attempt to publish.
const publishing = 2 * time.Second

// publish puts a message from the room into the stream. It retries while NATS cannot be reached: the
// client's next messages wait, and its heartbeat goes on. ctx is that of callbacks: it ends when the client
// is closed.
func (h *holding) publish(ctx context.Context, m wechatws.Message) {
	if !h.published(m) {
		return
	}
	count := h.inbound.count.Add(1)
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
	id := names.Token(h.id) + "." + fence + "." + h.t.s.id + "." + strconv.FormatInt(h.since.UnixNano(), 36) + "." + strconv.FormatUint(count, 10)
	var waits error // why it is not published yet
	for began, told := time.Now(), false; ; {
		if h.inbound.ctx.Err() != nil || ctx.Err() != nil && h.ctx.Err() == nil { // the program has closed the client
			h.miss(waits)
			return
		}
		err := h.tryPublish(msg, id)
		switch {
		case err == nil:
			h.worker.counters.in.Add(1)
			h.inbound.failing.Store(false)
			return
		case errors.Is(err, ErrLeaseLost):
			h.miss(waits)
			if errors.Is(err, errFenced) {
				h.lost(err)
			}
			return
		case h.inbound.ctx.Err() != nil: // the error may be that of the context
		case isInProcess(err): // a message of another worker with rooms of the shard
			pause(h.inbound.ctx, inProcessFor)
		case isWrongRevision(err): // there is another marker
		case temporary(err):
			waits = err
			h.inbound.failing.Store(true)
			if h.ctx.Err() != nil { // the room is being given up
				h.inbound.end()
			}
			if !told && time.Since(began) > 2*publishing {
				told = true
				h.f.log.Warn("messages of a room wait to be published", "room", h.id, "err", err)
			}
			pause(h.inbound.ctx, 100*time.Millisecond)
		default:
			h.worker.counters.unpublished.Add(1)
			h.worker.report(h.id, fmt.Errorf("a message of type %s, %d bytes, cannot be published: %w", printable.Quote(m.Type), len(m.Data), err))
			return
		}
	}
}

func (h *holding) tryPublish(msg *nats.Msg, id string) error {
	ctx, cancel := context.WithTimeout(h.inbound.ctx, publishing)
	defer cancel()
	done, err := h.lane.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	if h.sealed {
		return ErrLeaseLost
	}
	if h.lane.marker == 0 {
		if err := h.lane.find(ctx, false); err != nil {
			return err
		}
	}
	if err := h.guard(); err != nil {
		return err
	}
	began := time.Now()
	_, err = h.f.js.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithExpectLastSequenceForSubject(h.lane.marker, h.lane.subject))
	switch {
	case err == nil:
	case isInProcess(err):
	case isWrongRevision(err):
		h.lane.marker = 0
	default:
		var refused *jetstream.APIError
		h.lane.unsettled = h.lane.unsettled || !errors.As(err, &refused)
	}
	return h.f.reachedStream(ctx, "-in", began, err)
}
