package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/names"
)

// Headers of messages in the stream to rooms.
const (
	headerTo      = "Fleet-To" // the room, as a token
	headerMatch   = "Fleet-Match"
	headerExpires = "Fleet-Expires" // how long after it was stored, as a time.Duration
)

// expiredKept is how long NATS keeps a message that has expired, for the holder of the room to report it.
const expiredKept = time.Minute

// NATS accepts 64 KiB of headers, in which a byte of an id may take three.
const (
	longestMessageID = 1024
	longestMatch     = 32 << 10
)

// A SendOption configures one call of [Fleet.Send]. A later option replaces an earlier one of the
// same name.
type SendOption func(*sending)

type sending struct {
	match  []byte        // a Match as JSON, or nil
	expire time.Duration // 0: never
	id     string

	mistakes mistakes
}

// A Match recognizes the message that confirms another one: it has this type, and its fields have
// these values, compared as JSON, and numbers by their digits.
type Match struct {
	// Type is the type of the message, as in [wechatws.Message].
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

// ConfirmedBy makes a message count as delivered when the room answers with one that matches, such
// as the echo of a comment; by default it does when it is written to the holder's socket. Until then
// it is sent again, on every connection and by every holder, and the messages behind it wait: use
// [ExpireAfter] as well.
//
// As JSON the match has at most 32 KiB.
func ConfirmedBy(match Match) SendOption {
	return func(s *sending) {
		err := users.Protect(func() (err error) { s.match, err = json.Marshal(match); return err })
		value, want := quoted(match.Type), ""
		switch {
		case match.Type == "":
			value, want = "no type", "must have the type of the message that confirms"
		case err != nil:
			want = fmt.Sprintf("must have fields with values that are JSON: %.150s", err)
		case len(s.match) > longestMatch:
			want = fmt.Sprintf("must be at most %d bytes as JSON, not %d", longestMatch, len(s.match))
		}
		s.mistakes.check("ConfirmedBy", value, want)
	}
}

// ExpireAfter drops the message when it has not been delivered within d after NATS has stored it, by
// the clock of NATS; by default it never expires. The worker that drops it calls the functions of
// [Worker.OnError]; if no worker has done so within a minute, NATS removes the message.
func ExpireAfter(d time.Duration) SendOption {
	return func(s *sending) {
		s.expire = d
		s.mistakes.check("ExpireAfter", d, unless(d > 0, "must be longer than zero"))
	}
}

// MessageID gives the message an id, so that a Send whose outcome is not known can be repeated: of
// several messages to one room with the same id within two minutes, or [WithKeepOut] if that is shorter,
// only the first is stored, also when the room was removed and added again meanwhile. By default each one
// is. An id must be 1 to 1024 bytes.
func MessageID(id string) SendOption {
	return func(s *sending) {
		s.id = id
		s.mistakes.check("MessageID", quoted(id), unless(id != "" && len(id) <= longestMessageID, "must be 1 to 1024 bytes"))
	}
}

// Send sends v to a room, encoded by the codec of the fleet as a text message, and returns when NATS
// has stored it. A [wechatws.Text], a [wechatws.Binary] or a [wechatws.Outbound] is sent as it is;
// the options that an Outbound was sent with before have no effect.
//
// The holder of the room delivers the message at least once, in the order of Sends that came after
// each other; while the room has no holder, the message waits. A message that the room's client can
// never write, for example because it is larger than the client's whole queue, becomes a dead letter
// (see [Control.DeadLetters]), and the holder calls the functions of [Worker.OnError].
//
// Send returns [ErrNoRoom], the error of the codec, [wechatws.ErrNotUTF8], a *wechatws.OptionError
// for each option that is wrong, joined, or the error of NATS, for example when as many bytes wait
// as [WithMaxOut] permits. After a timeout the message may have been stored; see [MessageID]. Send
// may be called in callbacks and handlers.
func (f *Fleet) Send(ctx context.Context, room string, v any, options ...SendOption) error {
	if ctx == nil {
		return wrong("Send", "nil", needsContext)
	}
	var s sending
	apply(&s, &s.mistakes, "Send", options)
	if len(s.mistakes) > 0 {
		return s.mistakes.err()
	}
	out, err := f.encode(v)
	if err != nil {
		return fmt.Errorf("fleet: the message to room %q cannot be encoded: %w", room, err)
	}
	if _, _, err := f.Control().existing(ctx, room); err != nil {
		return err
	}
	m := nats.NewMsg(f.outSubject(room))
	m.Data = out.Data
	m.Header.Set(headerTo, names.Token(room))
	if out.Binary {
		m.Header.Set(headerBinary, "1")
	}
	if s.match != nil {
		m.Header.Set(headerMatch, string(s.match))
	}
	id := ""
	if s.id != "" {
		id = names.Token(s.id)
	}
	if err := f.store(ctx, m, s.expire, id); err != nil {
		return fmt.Errorf("fleet: the message to room %q is not stored: %w", room, err)
	}
	return nil
}

// store puts a message into the stream to rooms, unless one to the room with the same id is there. Without an
// id it is always put there; without expire it does not expire.
func (f *Fleet) store(ctx context.Context, m *nats.Msg, expire time.Duration, id string) error {
	var publish []jetstream.PublishOpt
	if expire > 0 {
		m.Header.Set(headerExpires, expire.String())
		if expire < longestKeep {
			publish = append(publish, jetstream.WithMsgTTL((expire + expiredKept).Truncate(time.Second)))
		}
	}
	if id != "" {
		publish = append(publish, jetstream.WithMsgID(m.Header.Get(headerTo)+"."+id))
	}
	began := time.Now()
	_, err := f.js.PublishMsg(ctx, m, publish...)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == fullStream {
		return fmt.Errorf("as many bytes wait for rooms as WithMaxOut (%d) permits: %w", f.out.CachedInfo().Config.MaxBytes, err)
	}
	return plain(f.reachedStream(ctx, "-out", began, err))
}

// encode returns the message that is sent for v. A panic of the codec, or of a method of v's type,
// is an error.
func (f *Fleet) encode(v any) (out wechatws.Outbound, err error) {
	switch v := asValue(v).(type) {
	case wechatws.Outbound:
		out.Binary, out.Data = v.Binary, v.Data
	case wechatws.Binary:
		out.Binary, out.Data = true, v
	case wechatws.Text:
		out.Data = []byte(v)
	default:
		err = users.Protect(func() (err error) { out.Data, err = f.cfg.codec.Marshal(v); return err })
	}
	if err == nil && !out.Binary && !utf8.Valid(out.Data) {
		err = wechatws.ErrNotUTF8
	}
	return out, err
}

// asValue returns what a pointer to one of the types that are sent as they are points to, and any
// other v as it is.
func asValue(v any) any {
	switch p := v.(type) {
	case *wechatws.Outbound:
		if p != nil {
			return *p
		}
	case *wechatws.Binary:
		if p != nil {
			return *p
		}
	case *wechatws.Text:
		if p != nil {
			return *p
		}
	}
	return v
}
