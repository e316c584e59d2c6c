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

// inbound is a message as it came in.
type inbound struct {
	link     *link
	typ      transport.MessageType
	data     []byte
	at       time.Time
	borrowed bool // data is used again once the message is handled
	claim    *claim
}

// own makes data the message's own.
func (in inbound) own() inbound {
	if in.borrowed {
		in.data, in.borrowed = bytes.Clone(in.data), false
	}
	return in
}

// read makes a Message of it, and finds the callbacks of its type. With an error,
// which is for a *DecodeError, the message cannot be routed by its type, but is
// whole.
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

// A batch is messages that were read together. Most are decoded and forgotten, so
// that the memory that holds them is used again.
type batch struct {
	link     *link
	at       time.Time
	messages []packed
	claims   []*claim // of the messages; nil: nothing but a callback can take them
	arena    []byte   // what their data is part of; nil: it is their own
}

type packed struct {
	typ  transport.MessageType
	data []byte
}

// single is a batch of one message that owns its data.
func single(in inbound) *batch {
	b := &batch{link: in.link, at: in.at, messages: []packed{{in.typ, in.data}}}
	if in.claim != nil {
		b.claims = []*claim{in.claim}
	}
	return b
}

func (b *batch) message(i int) inbound {
	in := inbound{link: b.link, typ: b.messages[i].typ, data: b.messages[i].data, at: b.at, borrowed: b.arena != nil}
	if b.claims != nil {
		in.claim = b.claims[i]
	}
	return in
}

// offered is message for a request, which is going to look at it.
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

func (b *batch) size() (bytes int) {
	for i := range b.messages {
		bytes += len(b.messages[i].data)
	}
	return bytes
}

// Batches come in sizes of powers of two, so that those that wait for a slow callback
// hold little more than twice what they must.
const minBatch, largestBatch = 9, 16 // exponents, of bytes

// perMessage is how many bytes there are for one message in a batch, at least.
const perMessage = 32

var batches [largestBatch - minBatch + 1]sync.Pool

// newBatch copies messages, which hold no more than 64 KiB.
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

// release is called when all messages have been handled.
func (b *batch) release() {
	if b.arena == nil {
		return
	}
	class := bits.Len(uint(cap(b.arena)-1)) - minBatch
	clear(b.messages)
	b.link, b.messages, b.claims, b.arena = nil, b.messages[:0], nil, b.arena[:0]
	batches[class].Put(b)
}
