package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A puller reads messages of the stream from rooms in order, and acknowledges nothing. Its consumer has no
// state that matters: when it is lost, another one continues behind the last message that was read.
type puller struct {
	f        *Fleet
	consumer string
	next     string // the subject of requests
	sub      *nats.Subscription
	messages chan *nats.Msg
	received uint64 // messages of the consumer
	pending  uint64 // messages behind the last one that was received
}

// A pull is one request for messages. It ends when there are so many, or so many bytes, or after the wait.
type pull struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
}

// A pull must not ask for more messages than fit into the channel, together with heartbeats.
const largestPull = 256

// newPuller makes a puller of the messages with a subject from a sequence on.
func (f *Fleet) newPuller(ctx context.Context, subject string, from uint64) (*puller, error) {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	began := time.Now()
	c, err := f.js.CreateConsumer(ctx, f.name+"-in", jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1), FilterSubject: subject,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if f.reached(began, err) != nil {
		return nil, err
	}
	info := c.CachedInfo()
	p := &puller{f: f, consumer: info.Name, pending: info.NumPending, messages: make(chan *nats.Msg, 2*largestPull)}
	p.next = f.api("CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name)
	if p.sub, err = f.nc.ChanSubscribe(f.nc.NewInbox(), p.messages); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// close removes the consumer, and does not wait for that.
func (p *puller) close() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe()
	}
	_ = p.f.nc.Publish(p.f.api("CONSUMER.DELETE."+p.f.name+"-in."+p.consumer), nil)
}

var errTooLarge = errors.New("the next message is larger than the request permits")

// fetch makes one request, and calls take with each message, in order and without gaps. After an error
// but errTooLarge, which may be that of ctx or of take, the puller must be closed.
func (p *puller) fetch(ctx context.Context, request pull, take func(m *nats.Msg, meta *nats.MsgMetadata) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := p.f.nc.PublishRequest(p.next, p.sub.Subject, body); err != nil {
		return err
	}
	silent := time.NewTimer(silence)
	defer silent.Stop()
	for n := 0; n < request.Batch; {
		var m *nats.Msg
		select {
		case m = <-p.messages:
			silent.Reset(silence)
		case <-silent.C:
			return fmt.Errorf("%w: no message from NATS for %v", errInterrupted, silence)
		case <-ctx.Done():
			return ctx.Err()
		}
		if m == nil {
			return nats.ErrConnectionClosed
		}
		if m.Reply == "" { // not a message of the stream
			switch status, text := m.Header.Get("Status"), m.Header.Get("Description"); {
			case status == "100":
				continue
			case strings.Contains(text, "Batch Completed"):
				if n > 0 {
					return nil
				}
				continue // of the request before
			case status == "404", status == "408":
				return nil
			case strings.Contains(text, "MaxBytes"):
				if n == 0 {
					return errTooLarge
				}
				return nil
			default:
				return fmt.Errorf("%w: %s %s", errInterrupted, status, text)
			}
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if p.received++; meta.Sequence.Consumer != p.received {
			return fmt.Errorf("%w: something was lost", errInterrupted)
		}
		n++
		p.pending = meta.NumPending
		if err := take(m, meta); err != nil {
			return err
		}
	}
	return nil
}
