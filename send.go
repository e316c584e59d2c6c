package wechatws

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/wechatws/wechatws/transport"
)

// Text is a text message that is sent as it is, without the codec. It must be valid
// UTF-8, or the error wraps [ErrNotUTF8].
//
// Text, [Binary] and [Outbound] may be given wherever a message to be sent is given:
// to [Client.Send], [Client.Request], [Client.SendConfirmed] and [Setup.Send], and by
// [WithLogin], [WithLoginMessage] and [Heartbeat].
type Text string

// Binary is a binary message that is sent as it is, without the codec. The bytes are
// copied. It may be given wherever a [Text] may.
type Binary []byte

// An Outbound is a message to be sent, as it is on the wire: one that was handed back
// in an [*UndeliveredError] or a [*DroppedError], or one made by hand. It may be given
// wherever a [Text] may, as a value or as a pointer. Data is copied.
//
// One that was handed back keeps its options when it is sent again: the deadline that
// [ExpireAfter] gave it, and, with [EncodeOnWrite], the value that is encoded when it is
// written, so that Data is only what was encoded last. Options of the new call override
// them. To keep nothing but the data, send a [Text] or a [Binary] of it. The deadline
// applies to messages that wait in the queue, and not to those that are written at
// once, such as the login.
//
// Printed and in a log it shows its type and its size, since messages hold secrets. As
// JSON it has its data.
type Outbound struct {
	Binary bool   // a binary message; otherwise text
	Data   []byte // of a text message: valid UTF-8

	shared  bool      // Data is the memory of a string, which must not be written to
	late    bool      // value is encoded when the message is written
	value   any       // what the codec made Data of
	expires time.Time // zero: never
}

func (o Outbound) messageType() transport.MessageType {
	if o.Binary {
		return transport.BinaryMessage
	}
	return transport.TextMessage
}

// handedBack returns the message with data that the user may write to.
func (o Outbound) handedBack() Outbound {
	if o.shared {
		o.Data, o.shared = bytes.Clone(o.Data), false
	}
	return o
}

// String returns the type and the size of the message, such as "text message of 12 bytes".
func (o Outbound) String() string {
	return fmt.Sprintf("%s message of %d bytes", o.kind(), len(o.Data))
}

// GoString implements fmt.GoStringer, with what String returns.
func (o Outbound) GoString() string { return "wechatws.Outbound(" + o.String() + ")" }

// LogValue implements slog.LogValuer: a group of the attributes type and size.
func (o Outbound) LogValue() slog.Value {
	return slog.GroupValue(slog.String("type", o.kind()), slog.Int("size", len(o.Data)))
}

func (o Outbound) kind() string {
	if o.Binary {
		return "binary"
	}
	return "text"
}

// asOutbound returns the message that v is, and false when its value is yet to be encoded
// by the codec: that of all but Text, Binary and Outbound, nil pointers to these included.
func asOutbound(v any) (m Outbound, encoded bool) {
	switch v := v.(type) {
	case Text:
		return Outbound{Data: unsafe.Slice(unsafe.StringData(string(v)), len(v)), shared: true}, true
	case Binary:
		return Outbound{Binary: true, Data: bytes.Clone(v)}, true
	case Outbound:
		if !v.late {
			v.Data, v.shared = bytes.Clone(v.Data), false
		}
		return v, !v.late
	case *Text:
		if v != nil {
			return asOutbound(*v)
		}
	case *Binary:
		if v != nil {
			return asOutbound(*v)
		}
	case *Outbound:
		if v != nil {
			return asOutbound(*v)
		}
	}
	return Outbound{value: v}, false
}

// encode makes a message of anything that can be sent.
func encode(codec Codec, v any) (Outbound, error) {
	m, encoded := asOutbound(v)
	var err error
	if !encoded {
		m.Data, err = codec.Marshal(m.value)
	}
	if err == nil && !m.Binary && !utf8.Valid(m.Data) {
		err = ErrNotUTF8
	}
	if err != nil {
		return Outbound{}, fmt.Errorf("wechatws: cannot encode %T: %w", v, err)
	}
	return m, nil
}

// A SendOption is an option of [Client.Send] and [Client.Request], for one message.
type SendOption interface {
	apply(*outgoing)
	forSend()
}

// A ConfirmOption is an option of [Client.SendConfirmed], for one message.
type ConfirmOption interface {
	apply(*outgoing)
	forConfirm()
}

// A MessageOption is both a [SendOption] and a [ConfirmOption]: an option of whatever
// sends a message.
type MessageOption interface {
	SendOption
	ConfirmOption
}

type (
	sendOption    func(*outgoing)
	confirmOption func(*outgoing)
	messageOption func(*outgoing)
)

func (o sendOption) apply(m *outgoing) { o(m) }
func (sendOption) forSend()            {}

func (o confirmOption) apply(m *outgoing) { o(m) }
func (confirmOption) forConfirm()         {}

func (o messageOption) apply(m *outgoing) { o(m) }
func (messageOption) forSend()            {}
func (messageOption) forConfirm()         {}

// ExpireAfter drops the message when it has not been written within d, or confirmed, with
// [Client.SendConfirmed]; by default it never expires. It is for messages that are
// worthless after a while, such as comments. If d is not above zero, the message is
// dropped.
//
// That an accepted message has expired is noticed when it would be written, or when the
// queue is full, and reported to [Client.OnError] in a [*DroppedError] with [ErrExpired].
// Request and SendConfirmed return ErrExpired when d is over.
func ExpireAfter(d time.Duration) MessageOption {
	return messageOption(func(m *outgoing) { m.expires = time.Now().Add(d) })
}

// EncodeOnWrite encodes the message once more right before it is written; by default
// it is encoded once, by the call that sends it. It is for values that hold something of
// the connection, such as an id that the server assigns: a message that waits through a
// reconnect is then right for the new connection.
//
// The value is encoded on the goroutine that writes, and must not call the client there.
// If that fails, the message is written as it was, and the error is reported to
// [Client.OnError]. EncodeOnWrite has no effect on a [Text], a [Binary], and an
// [Outbound] without a value to encode.
func EncodeOnWrite() MessageOption {
	return messageOption(func(m *outgoing) { m.late = true })
}

// FailFast does not queue the message; by default it waits for a connection. Without an
// open connection the error is [ErrNotOpen]. Otherwise Send returns when the message is
// written, or with the error of the write. It is [WithQueue] with zero messages, for one
// message.
func FailFast() SendOption {
	return sendOption(func(m *outgoing) { m.direct = true })
}

// ConfirmTimeout sets how long SendConfirmed waits for each confirmation before it sends
// the message again; the default is 10 s. It must be longer than zero.
func ConfirmTimeout(d time.Duration) ConfirmOption {
	return confirmOption(func(m *outgoing) { m.confirmTimeout = d })
}

// newOutgoing makes the message that a verb of the client sends.
func newOutgoing[O interface{ apply(*outgoing) }](c *Client, verb string, v any, options []O) (*outgoing, error) {
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return nil, err
	}
	o := &outgoing{Outbound: m}
	for _, option := range options {
		if any(option) == nil {
			return nil, &OptionError{Option: verb, Value: "nil", Want: "an option must not be nil"}
		}
		option.apply(o)
	}
	if o.late = o.late && o.value != nil; !o.late {
		o.value = nil
	}
	return o, nil
}

// Send accepts v for delivery, encoded by the codec as a text message; a [Text], a
// [Binary] or an [Outbound] is sent as it is. A nil error means accepted: v is written in
// the order of acceptance, at once if the connection is open, otherwise on the next one;
// or it is handed back by [Client.Close] in an [*UndeliveredError], or reported to
// [Client.OnError] in a [*DroppedError]. It does not mean that the peer has read it: see
// [Client.Request] and [Client.SendConfirmed].
//
// Send does not wait for the network, except as [WithQueue] and [FailFast] say. It
// returns the codec's error; [ErrQueueFull]; [ErrQueueFull] and [ErrMessageTooBig] if the
// message is larger than the whole queue; [ErrNotOpen] without a queue; [ErrClosed] after
// Close or a failure; or the cause of ctx's end. It may be called from any goroutine.
//
// It mirrors the original's sendWebSocketMsg, with its fail as the error.
func (c *Client) Send(ctx context.Context, v any, options ...SendOption) error {
	if err := needContext(ctx, "Send"); err != nil {
		return err
	}
	m, err := newOutgoing(c, "Send", v, options)
	if err != nil {
		return err
	}
	return c.queue.push(ctx, m)
}

// Flush waits until every message that was accepted before the call is written or
// dropped. It returns the cause of ctx's end, or [ErrClosed] if the client is closed or
// fails before that.
func (c *Client) Flush(ctx context.Context) error {
	if err := needContext(ctx, "Flush"); err != nil {
		return err
	}
	return c.queue.flush(ctx)
}
