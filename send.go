package wechatws

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/wechatws/wechatws/internal/outbox"
)

// Text is a text message that is sent as it is, without the codec. It must be valid UTF-8,
// or the error wraps [ErrNotUTF8].
//
// Text, [Binary] and [Outbound] may be used wherever a message is sent: in [Client.Send],
// [Client.Request], [Client.SendConfirmed] and [Setup.Send], and for [WithLogin],
// [WithLoginMessage] and [Heartbeat].
type Text string

// Binary is a binary message that is sent as it is, without the codec. The bytes are copied.
// It may be used wherever a [Text] may.
type Binary []byte

// An Outbound is an encoded message to be sent: one that was handed back in an
// [*UndeliveredError] or a [*DroppedError], or one made by hand. It may be used wherever a
// [Text] may, as a value or as a pointer. Data is copied.
//
// One that was handed back keeps its options when it is sent again: its deadline (see
// [ExpireAfter]), and its value to be encoded (see [EncodeOnWrite]), of which Data is the
// last encoding. Options of the new call replace them. To send the data without these
// options, convert it to a [Text] or a [Binary]. The deadline has no effect on messages that
// are written at once, such as the login.
//
// Printed and logged it shows its type and size but not its data, which may be secret. As
// JSON it has its data and its deadline, so that a program can save what was handed back and
// send it after a restart; the value of EncodeOnWrite is not saved.
type Outbound struct {
	Binary bool   // a binary message; otherwise text
	Data   []byte // of a text message: valid UTF-8

	shared  bool      // Data is the memory of a string, which is read-only
	late    bool      // value is encoded when the message is written
	value   any       // of which Data is the encoding; nil: unknown
	expires time.Time // zero: never
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

// GoString implements [fmt.GoStringer], with what [Outbound.String] returns.
func (o Outbound) GoString() string { return "wechatws.Outbound(" + o.String() + ")" }

// LogValue implements [slog.LogValuer]: a group of the attributes type and size, in bytes.
func (o Outbound) LogValue() slog.Value {
	return slog.GroupValue(slog.String("type", o.kind()), slog.Int("size", len(o.Data)))
}

// outboundJSON is an Outbound in JSON.
type outboundJSON struct {
	Binary  bool      `json:"binary,omitempty"`
	Data    []byte    `json:"data"`
	Expires time.Time `json:"expires,omitzero"`
}

// MarshalJSON implements [json.Marshaler]. The object has the members binary, which is left out
// if it is false; data, in base64; and expires, the deadline as in RFC 3339, which is left out if
// there is none.
func (o Outbound) MarshalJSON() ([]byte, error) {
	return json.Marshal(outboundJSON{o.Binary, o.Data, o.expires})
}

// UnmarshalJSON implements [json.Unmarshaler]. It accepts what MarshalJSON returns.
func (o *Outbound) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var saved outboundJSON
	if err := json.Unmarshal(data, &saved); err != nil {
		return err
	}
	*o = Outbound{Binary: saved.Binary, Data: saved.Data, expires: saved.Expires}
	return nil
}

// kind returns "text" or "binary".
func (o Outbound) kind() string {
	if o.Binary {
		return "binary"
	}
	return "text"
}

// asOutbound returns v as a message, and reports whether it is encoded. Only Text, Binary,
// Outbound and pointers to them that are not nil are; otherwise the codec must encode the
// value of the message.
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

// encode makes a message of v.
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

// A MessageOption is both a [SendOption] and a [ConfirmOption].
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

// ExpireAfter drops the message when it is not written within d, or, with
// [Client.SendConfirmed], not confirmed; by default it never expires. It is for messages
// that are worthless after some time, such as comments. If d is not above zero, the message
// expires at once.
//
// [Client.Send] checks nothing: an expired message is dropped when it would be written, or
// when the queue is full, and reported to [Client.OnError] in a [*DroppedError] with
// [ErrExpired]. [Client.Request] and SendConfirmed return ErrExpired after d.
func ExpireAfter(d time.Duration) MessageOption {
	return messageOption(func(m *outgoing) { m.expires = time.Now().Add(d) })
}

// FailFast makes [Client.Send] block until the message is written, or return an error that
// wraps [ErrNotOpen] if there is no open connection or it ends; by default the message is
// queued. It is [WithQueue] with zero messages, for one message. For [Client.Request] it
// only means that the message does not wait for a connection.
func FailFast() SendOption {
	return sendOption(func(m *outgoing) { m.direct = true })
}

// ConfirmTimeout sets how long [Client.SendConfirmed] waits for a confirmation before it
// sends the message again; the default is 10 s. It must be longer than zero. The time begins
// when the message is written, and on Linux when the peer has acknowledged it, of which the client
// takes notice once in d: a message that takes longer than d on a slow link is not sent again
// meanwhile.
func ConfirmTimeout(d time.Duration) ConfirmOption {
	return confirmOption(func(m *outgoing) { m.confirmTimeout = d })
}

// QueuePolicy is what [Client.Send] and [Client.Request] do when the outbound queue is
// full. See [WithQueue].
type QueuePolicy int

const (
	// QueueFail returns [ErrQueueFull]. It is the default.
	QueueFail QueuePolicy = iota
	// QueueWait waits for room until the context of Send ends.
	QueueWait
	// QueueDropOldest makes room by dropping the oldest messages, and reports them to
	// [Client.OnError] in a [*DroppedError]. A Request whose message is dropped returns
	// [ErrQueueFull] instead. Messages that are being written are not dropped, which are at
	// most 128 of together 64 KiB, or a larger one: when these fill the queue, one message
	// is accepted beyond the bound, so that no call waits.
	QueueDropOldest
)

var policyNames = []string{"fail", "wait", "drop_oldest"}

// String returns "fail", "wait" or "drop_oldest".
func (p QueuePolicy) String() string { return nameOf(p, "QueuePolicy", policyNames) }

// MarshalText implements [encoding.TextMarshaler], with what String returns.
func (p QueuePolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes what MarshalText returns.
func (p *QueuePolicy) UnmarshalText(text []byte) error {
	return setNamed(p, text, "queue policy", policyNames)
}

// An outgoing is the value of an item of the outbox. While the item is in flight, it belongs to
// the link that writes it.
type outgoing struct {
	Outbound
	confirmTimeout time.Duration // see ConfirmTimeout
	direct         bool          // see FailFast
	suspect        atomic.Bool   // the peer may have refused it, see refused.go; not set for tries
	of             *confirmation // the call that this is a try of
	request        *request      // the one that waits for the answer; nil: none
	traced         *traced       // nil: no trace function needs it
	start          int64         // its place in the stream of the connection
	end            atomic.Int64
}

type queued = outbox.Item[outgoing]

// traced is what [Trace.MessageSent] is called with, from when a message was accepted.
type traced struct {
	ctx      context.Context // never ends
	accepted time.Time
}

// newOutgoing makes the message that v and the options describe. verb is for its errors.
func newOutgoing[O interface{ apply(*outgoing) }](c *Client, verb string, v any, options []O) (*queued, error) {
	m, err := encode(c.cfg.codec, v)
	if err != nil {
		return nil, err
	}
	item := new(queued)
	o := &item.Value
	o.Outbound = m
	for _, option := range options {
		if any(option) == nil {
			return nil, &OptionError{Option: verb, Value: "nil", Want: "an option must not be nil"}
		}
		option.apply(o)
	}
	if o.late = o.late && o.value != nil; !o.late {
		o.value = nil
	}
	item.Size, item.Expires, item.Direct = len(o.Data), o.expires, o.direct
	item.Alone = o.late // others need not wait in flight for the codec
	return item, nil
}

// Send accepts v for delivery. The codec encodes it as a text message; a [Text], a [Binary]
// or an [Outbound] is sent as it is. After a nil error v is written, in the order of the
// calls, at once if the connection is open, otherwise on the next one; or else it is handed
// back by [Client.Close] in an [*UndeliveredError], or reported to [Client.OnError] in a
// [*DroppedError]. A nil error does not mean that the peer has read it, for which there are
// [Client.Request] and [Client.SendConfirmed].
//
// Send does not block, except as [WithQueue] and [FailFast] say. It returns the error of the
// codec; [ErrQueueFull], which also wraps [ErrMessageTooBig] if v is larger than the whole
// queue; [ErrNotOpen] and, after its [ExpireAfter], [ErrExpired] with FailFast or without a
// queue; [ErrClosed] after Close or a permanent failure; or the cause of ctx's end. It may be
// called from any goroutine.
//
// It mirrors the original's sendWebSocketMsg, whose fail callback is the error here.
func (c *Client) Send(ctx context.Context, v any, options ...SendOption) error {
	if err := needContext(ctx, "Send"); err != nil {
		return err
	}
	m, err := newOutgoing(c, "Send", v, options)
	if err != nil {
		return err
	}
	return c.push(ctx, m)
}

// Flush blocks until every message that was accepted before the call is written or dropped.
// It returns nil in every state if there is none; the cause of ctx's end; or [ErrClosed] if the
// client is closed or fails before that, or [Client.Close] has handed some of them back. It may be
// called from any goroutine.
func (c *Client) Flush(ctx context.Context) error {
	if err := needContext(ctx, "Flush"); err != nil {
		return err
	}
	defer c.waits(ctx)()
	return c.outbox.Flush(ctx)
}

// newOutbox returns the outbox of a client that is configured.
func (c *Client) newOutbox() *outbox.Outbox[outgoing] {
	return outbox.New(outbox.Config[outgoing]{
		Messages: c.cfg.queueMessages, Bytes: c.cfg.queueBytes, Policy: outbox.Policy(c.cfg.whenFull),
		Full: ErrQueueFull, TooBig: ErrMessageTooBig, Expired: ErrExpired, NotOpen: ErrNotOpen, Closed: ErrClosed,
		Accepted: func(m *queued) {
			if m.Value.request != nil {
				m.Value.request.accepted.Store(true)
			}
			if m.Value.traced != nil {
				m.Value.traced.accepted = time.Now()
			}
		},
		Dropped: func(m *queued, why error) {
			if m.Value.request != nil {
				m.Value.request.fail(why)
			} else if !m.Direct { // of a direct one the call returns the error
				c.dropped(m.Value.handedBack(), why)
			}
		},
	})
}

// push puts a message into the outbox and has it written. It blocks while the outbox is full,
// if the policy is [QueueWait], and until a direct message is written, unless it is a
// request.
func (c *Client) push(ctx context.Context, m *queued) error {
	if len(c.cfg.trace.messageSent) > 0 {
		m.Value.traced = &traced{ctx: context.WithoutCancel(ctx)}
	}
	small := m.Size <= maxLone && !m.Value.late // its next encoding may be large, and the codec slow
	if c.cfg.whenFull == QueueWait {
		defer c.waits(ctx)()
	}
	if err := c.outbox.Push(ctx, m); err != nil {
		return err
	}
	if l := c.attached.Load(); l != nil {
		l.messageAccepted(small)
	}
	if m.Direct && m.Value.request == nil {
		return c.outbox.Written(ctx, m)
	}
	return nil
}

// refuse refuses everything that is sent from now on, and ends the calls that wait for
// something, with err. If back is true, takeBack returns the messages of SendConfirmed.
func (c *Client) refuse(err error, back bool) {
	c.endConfirmations(err, back)
	c.outbox.Refuse(err)
	c.requests.endAll(err)
}

// finishSending accepts nothing new, and blocks until l has written everything and all of it is
// confirmed, l has ended, or ctx ends.
func (c *Client) finishSending(ctx context.Context, l *link) {
	c.confirmations.accept(ErrClosed)
	c.outbox.Finish()
	c.confirmations.wait(ctx, l)
	_ = c.outbox.Flush(ctx)
}

// takeBack returns the *[UndeliveredError] of what was in the outbox before refuse was called, and
// of what was not confirmed, or nil. It is called without a mutex, since there may be much.
func (c *Client) takeBack(err error) error {
	type place struct {
		Outbound
		n uint64
	}
	var left []place
	for _, m := range c.outbox.TakeBack(err) {
		if m.Value.request == nil { // otherwise Request has returned err
			left = append(left, place{m.Value.Outbound, m.Place()})
		}
	}
	for _, call := range c.confirmations.takeBack() {
		left = append(left, place{call.message, call.place})
	}
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b place) int { return cmp.Compare(a.n, b.n) })
	e := &UndeliveredError{Messages: make([]Outbound, len(left))}
	for i, m := range left {
		e.Messages[i] = m.handedBack()
	}
	return e
}

// drops are messages that were dropped and have not been passed to OnError yet.
type drops struct {
	mu    sync.Mutex // guards the field below, and the reports in it
	byWhy map[error]*dropReport
}

// A dropReport is a DroppedError that waits for the callback, and the size of its messages.
type dropReport struct {
	DroppedError
	bytes int
}

// dropped records a message that the queue has dropped. Those with the same reason are
// reported together, with a bound, so that a slow callback does not make them pile up. It is
// called with the outbox's mutex held, or the client's.
func (c *Client) dropped(m Outbound, why error) {
	c.droppedCount.Add(1)
	d := &c.drops
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.byWhy[why]
	if r == nil {
		r = &dropReport{DroppedError: DroppedError{Err: why}}
		if d.byWhy == nil {
			d.byWhy = map[error]*dropReport{}
		}
		d.byWhy[why] = r
		c.event(nil, func(ctx context.Context) {
			d.mu.Lock()
			delete(d.byWhy, why)
			d.mu.Unlock()
			trace(ctx, c, c.cfg.trace.dropped, &r.DroppedError)
			c.report(ctx, &r.DroppedError)
		})
	}
	n, size := len(r.Messages)+1, r.bytes+len(m.Data)
	if n > 1 && (n > c.cfg.queueMessages || size > c.cfg.queueBytes) {
		r.More++
		return
	}
	r.Messages, r.bytes = append(r.Messages, m), size
}
