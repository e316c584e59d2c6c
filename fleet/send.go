package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// Headers of messages in the stream to rooms.
const (
	headerMatch   = "Fleet-Match"
	headerExpires = "Fleet-Expires" // unix ms
)

// A SendOption is for one message.
type SendOption func(*sending)

type sending struct {
	match   *Match
	expire  time.Duration
	id      string
	errored error
}

// A Match recognises the message that confirms another one: it has this type, and its
// fields have these values, compared as JSON, and numbers by their digits.
type Match struct {
	// Type is the message's type, as in wechatws.Message.
	Type string `json:"type"`
	// Fields are top-level fields of the message.
	Fields map[string]any `json:"fields,omitempty"`
}

func (want Match) matches(m wechatws.Message) bool {
	if m.Binary || m.Type != want.Type {
		return false
	}
	var got map[string]json.RawMessage
	if len(want.Fields) > 0 && json.Unmarshal(m.Data, &got) != nil {
		return false
	}
	for name, value := range want.Fields {
		wanted, err := json.Marshal(value)
		if err != nil || !sameJSON(wanted, got[name]) {
			return false
		}
	}
	return true
}

// sameJSON compares numbers as they are written: an id may have more digits than a float64.
func sameJSON(a, b []byte) bool {
	var x, y any
	return decodeExactly(a, &x) == nil && decodeExactly(b, &y) == nil && reflect.DeepEqual(x, y)
}

func decodeExactly(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more behind the JSON value")
	}
	return nil
}

// ConfirmedBy has the message count as delivered when the room answers with a message
// that matches, such as the echo of a comment. Until then it is sent again, on every
// connection and by every holder, and what is behind it waits: give it an ExpireAfter as well.
// The message must be JSON: one that is not can never be delivered (see Send).
// Without ConfirmedBy it counts as delivered when it was written to the holder's socket.
func ConfirmedBy(match Match) SendOption {
	return func(s *sending) {
		if match.Type == "" {
			s.errored = wrong("ConfirmedBy", "no type", "must have the type of the message that confirms")
		}
		s.match = &match
	}
}

// ExpireAfter throws the message away when it has not been delivered within d. If a worker
// finds out, it tells its OnError.
func ExpireAfter(d time.Duration) SendOption {
	return func(s *sending) {
		if d <= 0 {
			s.errored = wrong("ExpireAfter", d, "must be longer than zero")
		}
		s.expire = d
	}
}

// WithID lets a Send be tried again by the caller: of several with the same id to the same room
// within two minutes only the first is stored.
func WithID(id string) SendOption {
	return func(s *sending) {
		if id == "" {
			s.errored = wrong("WithID", id, "must not be empty")
		}
		s.id = id
	}
}

// Send sends v to a room, whoever holds it, encoded by the codec. It returns when NATS has
// stored it; from then on it is delivered by the room's holder, in the order of Sends that
// came after each other, at least once, and waits for as long as nobody holds the room.
//
// A message that the room's client can never write, because it is larger than the client's
// whole queue for instance, is removed by the holder, which calls WorkerConfig.OnError.
//
// It returns ErrNoRoom, the codec's error, or why NATS could not store it, such as that messages
// of Config.MaxOut bytes wait already; after an error
// that is a timeout it may have been stored (see WithID). It is safe in callbacks and
// handlers.
func (f *Fleet) Send(ctx context.Context, room string, v any, options ...SendOption) error {
	data, err := f.cfg.Codec.Marshal(v)
	if err != nil {
		return fmt.Errorf("fleet: the message to room %q cannot be encoded: %w", room, err)
	}
	return f.SendText(ctx, room, string(data), options...)
}

// SendText is Send for text that is encoded already. It must be valid UTF-8.
func (f *Fleet) SendText(ctx context.Context, room, text string, options ...SendOption) error {
	var s sending
	for _, o := range options {
		o(&s)
	}
	switch {
	case s.errored != nil:
		return s.errored
	case !utf8.ValidString(text):
		return fmt.Errorf("fleet: the message to room %q: %w", room, wechatws.ErrNotUTF8)
	}
	token, err := token(room)
	if err != nil {
		return err
	}
	asked := time.Now()
	if _, err := f.rooms.Get(ctx, specPrefix+token); errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("%w: %q", ErrNoRoom, room)
	} else if err != nil {
		_ = f.reached(asked, err) // an answer says nothing: any replica gives one
		return fmt.Errorf("fleet: room %q cannot be looked up: %w", room, err)
	}
	m := nats.NewMsg(f.outSubject(room))
	m.Data = []byte(text)
	var publish []jetstream.PublishOpt
	if s.match != nil {
		match, err := json.Marshal(s.match)
		if err != nil {
			return fmt.Errorf("fleet: ConfirmedBy: %w", err)
		}
		m.Header.Set(headerMatch, string(match))
	}
	if s.expire > 0 {
		m.Header.Set(headerExpires, strconv.FormatInt(time.Now().Add(s.expire).UnixMilli(), 10))
	}
	if s.id != "" {
		publish = append(publish, jetstream.WithMsgID(token+"."+names.Token(s.id)))
	}
	began := time.Now()
	if _, err := f.js.PublishMsg(ctx, m, publish...); f.reached(began, err) != nil {
		return fmt.Errorf("fleet: the message to room %q is not stored: %w", room, err)
	}
	return nil
}
