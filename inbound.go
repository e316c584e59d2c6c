package wechatws

import (
	"bytes"
	"math/bits"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/transport"
)

// An inbound is an incoming message that is not routed yet.
type inbound struct {
	link     *link
	typ      transport.MessageType
	data     []byte
	at       time.Time
	borrowed bool   // data is overwritten once the message is handled
	claim    *claim // nil: no request matches it
}

// own returns the message with data that is not overwritten, copied if necessary.
func (in inbound) own() inbound {
	if in.borrowed {
		in.data, in.borrowed = bytes.Clone(in.data), false
	}
	return in
}

// read returns the Message and the callbacks of its type. With an error, which is the Err of
// a [*DecodeError], it has no type, but is complete otherwise.
func (in inbound) read(c *Client) (m Message, typed []*callbacks.Callback[Message], err error) {
	m = Message{
		Data: in.data, Binary: in.typ == transport.BinaryMessage, Received: in.at, Connection: in.link.number,
		codec: c.cfg.codec, borrowed: in.borrowed,
	}
	switch {
	case m.Binary:
		err = ErrBinary
	case !utf8.Valid(m.Data):
		err = ErrNotUTF8
	default:
		var name []byte
		if name, err = peekType(m.Data, c.cfg.typeField); err == nil {
			m.Type, typed = c.types.find(name)
		}
	}
	return m, typed, err
}

// A batch holds messages that were read together. Its memory is reused, since most messages
// are decoded and not retained.
type batch struct {
	link     *link
	at       time.Time // when they were read
	messages []packed
	claims   []*claim // of the messages; nil: no request matches them
	arena    []byte   // holds their data; nil: it is not reused
}

// A packed is one message of a batch.
type packed struct {
	typ  transport.MessageType
	data []byte
}

// single returns a batch of one message, whose data is not reused.
func single(in inbound) *batch {
	b := &batch{link: in.link, at: in.at, messages: []packed{{in.typ, in.data}}}
	if in.claim != nil {
		b.claims = []*claim{in.claim}
	}
	return b
}

// message returns message i for the callbacks.
func (b *batch) message(i int) inbound {
	in := inbound{link: b.link, typ: b.messages[i].typ, data: b.messages[i].data, at: b.at, borrowed: b.arena != nil}
	if b.claims != nil {
		in.claim = b.claims[i]
	}
	return in
}

// offered returns message i for a request, which must call looked.
func (b *batch) offered(i int) inbound {
	if b.claims == nil {
		b.claims = make([]*claim, len(b.messages))
	}
	if b.claims[i] == nil {
		b.claims[i] = new(claim)
	}
	b.claims[i].offered()
	return b.message(i).own()
}

// size returns how many bytes the messages have.
func (b *batch) size() (bytes int) {
	for i := range b.messages {
		bytes += len(b.messages[i].data)
	}
	return bytes
}

// Arenas have sizes of powers of two, so that batches which wait for a slow callback take
// at most about twice the memory of their messages.
const minBatch, largestBatch = 9, 16 // exponents, of bytes

// perMessage is how many bytes of arena there are for each message of a batch at least.
const perMessage = 32

// batches are the pools of batches, by size.
var batches [largestBatch - minBatch + 1]sync.Pool

// newBatch returns a batch with copies of the messages, of at most 64 KiB together.
func newBatch(l *link, messages []packed) *batch {
	b := batch{messages: messages}
	size := max(b.size(), perMessage*len(messages), 1<<minBatch)
	class := bits.Len(uint(size-1)) - minBatch
	pooled, ok := batches[class].Get().(*batch)
	if !ok {
		size := 1 << (class + minBatch)
		pooled = &batch{arena: make([]byte, 0, size), messages: make([]packed, 0, size/perMessage)}
	}
	pooled.link, pooled.at = l, time.Now()
	for _, m := range messages {
		at := len(pooled.arena)
		pooled.arena = append(pooled.arena, m.data...)
		pooled.messages = append(pooled.messages, packed{m.typ, pooled.arena[at:len(pooled.arena):len(pooled.arena)]})
	}
	return pooled
}

// release puts b back into its pool. It is called when all messages have been handled.
func (b *batch) release() {
	if b.arena == nil {
		return
	}
	class := bits.Len(uint(cap(b.arena)-1)) - minBatch
	clear(b.messages)
	b.link, b.messages, b.claims, b.arena = nil, b.messages[:0], nil, b.arena[:0]
	batches[class].Put(b)
}
