package wechatws

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/internal/peek"
	"github.com/wechatws/wechatws/internal/printable"
)

// A Codec encodes and decodes messages; see [WithCodec]. Drop-in replacements of
// encoding/json, such as sonic.ConfigStd, implement it. It must be safe for concurrent use.
// Unmarshal must not retain data, and v must not refer to parts of it.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// A Message is an inbound message as it arrived.
type Message struct {
	// Type is the string in the message's type field, or the JSON text of a number or
	// boolean there, such as 4 or true. It is empty for a binary message, and for text
	// without such a field. [WithTypeField] and [WithTypePath] set which field that is,
	// [WithTypeFunc] sets another rule.
	Type string
	// Data is the message as it arrived. It is read-only. It may be retained, except in
	// callbacks of [Client.OnMessageNoCopy], in [Heartbeat.Pong], and in functions of options.
	Data []byte
	// Binary reports whether it is a binary message. Otherwise it is text, which is always
	// valid UTF-8.
	Binary bool
	// Received is when it had arrived in full.
	Received time.Time
	// Connection is the number of the connection: 1 for the client's first one, and so on.
	// Connections that have failed before they were open are counted too.
	Connection int

	codec    Codec
	borrowed bool // Data is used again after the callback
}

// own returns m with Data that may be retained.
func (m Message) own() Message {
	if m.borrowed {
		m.Data, m.borrowed = bytes.Clone(m.Data), false
	}
	return m
}

// Decode decodes the message into v with the client's [Codec], or with the default one if the
// message was not made by a client. A byte order mark in front of text is left out. Its error is a
// [*DecodeError].
func (m Message) Decode(v any) error {
	codec := m.codec
	if codec == nil { // made by hand, in a test
		codec = jsonCodec{}
	}
	data := m.Data
	if !m.Binary {
		data = peek.Text(data)
	}
	if err := codec.Unmarshal(data, v); err != nil {
		return &DecodeError{Type: m.Type, Data: m.own().Data, Err: err}
	}
	return nil
}

// On registers fn for messages of one type, decoded into a T by the client's [Codec]; T may
// also be [Message]. The empty type stands for JSON text without a type. Several functions for one type are called in the order of registration,
// each with a value of its own. If a message does not fit T, [Client.OnError] callbacks receive
// a [*DecodeError] instead. remove removes fn again.
//
// Callbacks of one client run one at a time and in order; see [WithParallel]. fn may block, and may call every
// method of the client. While it blocks, up to 1,024 messages or 4 MiB wait; then the client
// stops reading, and TCP slows the peer down. If fn panics, [Client.OnError] callbacks receive a
// [*PanicError]. The context of fn has the values of the context of [Client.Connect], and ends
// when [Client.Close] is called. After a failure it ends behind the callbacks of what had arrived.
//
// On does not block, and may be called at any time, from any goroutine and any callback. To
// receive the first message of a connection, register fn before Connect. A nil fn is an
// [*OptionError], which [Client.OnError] callbacks receive and the next [Client.Connect] returns.
//
// It is the typed form of the original's onReceivedMsg.
func On[T any](c *Client, msgType string, fn func(ctx context.Context, v T)) (remove func()) {
	name := "On[" + strings.ReplaceAll(reflect.TypeFor[T]().String(), "interface {}", "any") + "]"
	if fn == nil {
		return c.badCallback(name, msgType)
	}
	room := new(T) // reused if callbacks run one at a time; fn receives a copy
	handle := func(ctx context.Context, m Message) {
		v := room
		if c.cfg.key != nil {
			v = new(T)
		}
		defer func() { *v = *new(T) }()
		if err := m.Decode(v); err != nil {
			c.report(ctx, err)
			return
		}
		fn(ctx, *v)
	}
	if raw, ok := any(fn).(func(context.Context, Message)); ok {
		handle = func(ctx context.Context, m Message) {
			if m = m.own(); c.cfg.typeFunc == nil {
				err := uniqueNames(peek.Text(m.Data))
				if !peek.Valid(m.Data) {
					err = ErrNotJSON
				}
				if err != nil {
					c.report(ctx, &DecodeError{Type: m.Type, Data: m.Data, Err: err})
					return
				}
			}
			raw(ctx, m)
		}
	}
	return c.types.add(msgType, handle)
}

// registered are the callbacks.
type registered struct {
	onMessage, onUnknown hooks[Message]
	types                typeTable
	beforeConnect        hooks[*beginning]
	afterConnect         hooks[*Setup]
	onOpen               hooks[OpenEvent]
	onClose              hooks[CloseEvent]
	onError              hooks[error]
	onStateChange        hooks[StateChange]
	onNetworkChange      hooks[NetworkStatus]
}

// A typeTable has the callbacks of each message type. A type is added with its first callback,
// and remains. The first few short types without a callback are added too, so that their names
// are not allocated for each message.
type typeTable struct {
	mu     sync.Mutex                            // guards others, and writes of types
	types  atomic.Pointer[map[string]*typeHooks] // replaced, never changed in place
	others int                                   // types without a callback
}

// maxOthers is how many types without a callback a typeTable has.
const maxOthers = 32

type typeHooks struct {
	name string
	hooks[Message]
}

func (t *typeTable) all() map[string]*typeHooks {
	if types := t.types.Load(); types != nil {
		return *types
	}
	return nil
}

// of returns the callbacks of a type.
func (t *typeTable) of(name string) []*callbacks.Callback[Message] {
	if h := t.all()[name]; h != nil {
		return h.All()
	}
	return nil
}

// find returns a type's name as a string, and its callbacks.
func (t *typeTable) find(name []byte) (string, []*callbacks.Callback[Message]) {
	h := t.all()[string(name)]
	if h == nil && len(name) > printable.Limit {
		return string(name), nil
	}
	if h == nil {
		h = t.added(string(name), &t.others, maxOthers)
	}
	return h.name, h.All()
}

// add registers a callback for a type.
func (t *typeTable) add(name string, fn func(context.Context, Message)) (remove func()) {
	return t.added(name, new(int), 1).Add(fn)
}

// added returns the type of that name. A new one is added, and counted, if count is below most.
func (t *typeTable) added(name string, count *int, most int) *typeHooks {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.all()[name]; h != nil {
		return h
	}
	h := &typeHooks{name: name}
	if *count < most {
		*count++
		types := map[string]*typeHooks{name: h}
		maps.Copy(types, t.all())
		t.types.Store(&types)
	}
	return h
}

// OnMessage registers fn for every message: also those without a type, binary messages and text
// that is not JSON, which are then no errors. fn is called before the callbacks of [On]; it is
// not called with text that is not valid UTF-8. The rules of [On] apply: for the order and the
// context of callbacks, for remove, and for a nil fn.
func (c *Client) OnMessage(fn func(ctx context.Context, m Message)) (remove func()) {
	return register(c, "OnMessage", &c.onMessage, owned(fn))
}

// OnMessageNoCopy is [Client.OnMessage] without the copy of the message's data: Data is reused
// after fn has returned, and must be copied to be retained. It is for programs that read every
// message of a fast feed.
func (c *Client) OnMessageNoCopy(fn func(ctx context.Context, m Message)) (remove func()) {
	return register(c, "OnMessageNoCopy", &c.onMessage, fn)
}

// owned returns fn as a function of messages whose data may be reused.
func owned(fn func(context.Context, Message)) func(context.Context, Message) {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, m Message) { fn(ctx, m.own()) }
}

// OnUnknown registers fn for messages without an [On] callback: those of another type, and those
// without a type, such as binary messages and text that is not JSON. Without it messages of another
// type are ignored, and messages without one that nothing else takes are a [*DecodeError], which
// [Client.OnError] callbacks receive. The rules of On apply.
func (c *Client) OnUnknown(fn func(ctx context.Context, m Message)) (remove func()) {
	return register(c, "OnUnknown", &c.onUnknown, owned(fn))
}

// OnOpen registers fn for each connection that is open and logged in. It is called before the
// callbacks of the connection's first message. The rules of [On] apply. A protocol that must
// send or receive something before other messages does so in [Client.AfterConnect].
//
// It mirrors wx.onSocketOpen.
func (c *Client) OnOpen(fn func(ctx context.Context, e OpenEvent)) (remove func()) {
	return register(c, "OnOpen", &c.onOpen, fn)
}

// OnClose registers fn for the end of each connection that had been open. It is called after
// the callbacks of the connection's last message. The rules of [On] apply, but the context of
// fn has not ended after [Client.Close].
//
// It mirrors wx.onSocketClose, and the original's onSocketClosed.
func (c *Client) OnClose(fn func(ctx context.Context, e CloseEvent)) (remove func()) {
	return register(c, "OnClose", &c.onClose, fn)
}

// OnError registers fn for errors that no call returns: attempts that have failed
// ([*DialError]), inbound messages that could not be used ([*DecodeError]) or were skipped
// ([*ReadLimitError]), panics in the program's functions ([*PanicError]) and accepted messages
// that were dropped ([*DroppedError]). The end of a connection that had been open is no such error:
// [Client.OnClose] and [Client.OnStateChange] receive it with its cause. The rules of [On] apply. A
// panic in fn itself is ignored.
//
// It mirrors wx.onSocketError.
func (c *Client) OnError(fn func(ctx context.Context, err error)) (remove func()) {
	return register(c, "OnError", &c.onError, fn)
}

// OnStateChange registers fn for each change of the client's [State]. The rules of [On] apply:
// while other callbacks run, the client may have changed its state again; [Client.State] returns
// the current one.
func (c *Client) OnStateChange(fn func(ctx context.Context, change StateChange)) (remove func()) {
	return register(c, "OnStateChange", &c.onStateChange, fn)
}

// OnNetworkChange registers fn for each change that the network monitor reports, from
// [Client.Connect] to the end of the client; see [WithNetworkMonitor]. The rules of [On] apply.
//
// It mirrors wx.onNetworkStatusChange.
func (c *Client) OnNetworkChange(fn func(ctx context.Context, status NetworkStatus)) (remove func()) {
	return register(c, "OnNetworkChange", &c.onNetworkChange, fn)
}

func register[T any](c *Client, name string, h *hooks[T], fn func(context.Context, T)) (remove func()) {
	if fn == nil {
		return c.badCallback(name, "")
	}
	return h.Add(fn)
}

func (c *Client) badCallback(name, msgType string) (remove func()) {
	value := "nil"
	if msgType != "" {
		value = fmt.Sprintf("%q, nil", msgType)
	}
	return c.misuse(&OptionError{Option: name, Value: value, Want: "the callback must be a function"})
}

// misuse has the next Connect return err, and reports it to OnError.
func (c *Client) misuse(err error) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.misuses = append(c.misuses, err)
	c.reportLater(c.session, err)
	return func() {}
}

// report calls the OnError callbacks. It is called on the goroutine of the callbacks.
func (c *Client) report(ctx context.Context, err error) {
	c.onError.call(ctx, err, func(error) {})
}

// reporter returns report as a function.
func (c *Client) reporter(ctx context.Context) func(error) {
	return func(err error) { c.report(ctx, err) }
}

// reportLater is report for any other goroutine. It does not block.
func (c *Client) reportLater(s *session, err error) {
	c.event(s, func(ctx context.Context) { c.report(ctx, err) })
}
