package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored is a message of a stream, read from its leader.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"` // when it was stored, by the server's clock
	Hdrs    []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Header  nats.Header
	badHdrs error // why Hdrs cannot be decoded
}

// lastMessage returns the last message with a subject.
func (f *Fleet) lastMessage(ctx context.Context, stream, subject string) (*stored, error) {
	return f.getMessage(ctx, stream, map[string]any{"last_by_subj": subject})
}

// lastInBucket returns the last message about a key, which may be the marker that it was deleted.
func (f *Fleet) lastInBucket(ctx context.Context, kv jetstream.KeyValue, key string) (*stored, error) {
	return f.lastMessage(ctx, "KV_"+kv.Bucket(), "$KV."+kv.Bucket()+"."+key)
}

// isMarker reports whether a message of a bucket with these headers is about the end of its key.
func isMarker(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// nextMessage returns the first message with a subject at a sequence or behind it.
func (f *Fleet) nextMessage(ctx context.Context, stream, subject string, from uint64) (*stored, error) {
	return f.getMessage(ctx, stream, map[string]any{"seq": from, "next_by_subj": subject})
}

// getMessage reads a message from the leader. The NATS client would read from any replica, which may be
// behind: not sufficient for finding out whether a write of this process was done. A request without an answer
// is repeated until ctx ends.
func (f *Fleet) getMessage(ctx context.Context, stream string, what map[string]any) (*stored, error) {
	request, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	var m *nats.Msg
	err = answered(ctx, func(ctx context.Context) (err error) {
		began := time.Now()
		if m, err = f.nc.RequestWithContext(ctx, f.api("STREAM.MSG.GET."+stream), request); errors.Is(err, context.DeadlineExceeded) {
			_ = f.reached(began, err)
		}
		return err
	})
	if err != nil {
		return nil, plain(err)
	}
	var answer struct {
		Message *stored             `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("fleet: the answer of NATS cannot be decoded: %w", err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, jetstream.ErrMsgNotFound
	}
	if len(answer.Message.Hdrs) > 0 {
		answer.Message.Header, answer.Message.badHdrs = nats.DecodeHeadersMsg(answer.Message.Hdrs)
	}
	return answer.Message, nil
}

// answered calls request again and again until there is an answer: one that was lost with a connection never
// comes. The connection that comes after that one is waited for, until ctx ends.
func answered(ctx context.Context, request func(ctx context.Context) error) error {
	for lost := false; ; pause(ctx, inProcessFor) {
		once, cancel := context.WithTimeout(ctx, publishing)
		err := request(once)
		cancel()
		lost = lost || errors.Is(err, context.DeadlineExceeded)
		if ctx.Err() != nil || !lost || !temporary(err) {
			return err
		}
	}
}
