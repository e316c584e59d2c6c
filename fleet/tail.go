package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Tail returns an iterator over the messages that come from a room from now on, or from all rooms if
// room is empty. Unlike [Handlers] it acknowledges nothing, and takes no messages from a group. It
// ends with ctx, with the loop, or after an error, such as that the Fleet is closed, which is in the last pair.
func (f *Fleet) Tail(ctx context.Context, room string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		subject := f.name + ".in.>"
		if room != "" {
			token, err := token(room)
			if err != nil {
				yield(Message{}, err)
				return
			}
			subject = f.name + ".in." + strconv.Itoa(f.partition(room)) + "." + token + ".>"
		}
		c, err := f.in.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverNewPolicy,
		})
		var messages jetstream.MessagesContext
		if err == nil {
			messages, err = c.Messages(jetstream.PullHeartbeat(heartbeat))
		}
		if err != nil {
			yield(Message{}, fmt.Errorf("fleet: messages of room %q cannot be looked at: %w", room, plain(err)))
			return
		}
		defer messages.Stop()
		defer context.AfterFunc(ctx, messages.Stop)()
		for {
			jm, err := messages.Next()
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, jetstream.ErrMsgIteratorClosed): // with the connection
				err = nats.ErrConnectionClosed
				fallthrough
			case err != nil:
				yield(Message{}, fmt.Errorf("fleet: messages of room %q cannot be looked at: %w", room, plain(err)))
				return
			}
			if m, ok := f.tailed(jm); ok && !yield(m, nil) {
				return
			}
		}
	}
}

func (f *Fleet) tailed(jm jetstream.Msg) (Message, bool) {
	meta, err := jm.Metadata()
	if err != nil {
		return Message{}, false
	}
	return f.message(jm.Subject(), jm.Headers(), jm.Data(), meta.Sequence.Stream)
}
