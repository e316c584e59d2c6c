package wechatws

import (
	"bytes"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// inbound is a message as the reader hands it over.
type inbound struct {
	link *link
	typ  MessageType
	data []byte
	at   time.Time
	from *arena // that data is part of; nil: data is the message's own
}

// free lets the arena be used again.
func (in *inbound) free() {
	if in.from != nil {
		in.from.release()
	}
}

// keep has the message keep its data beyond the arena's life.
func (in *inbound) keep() {
	if in.from != nil {
		in.data = bytes.Clone(in.data)
		in.free()
		in.from = nil
	}
}

// read makes a Message of it. With an error, which is for a *DecodeError, the
// message cannot be routed by its type, but is whole.
func (in *inbound) read(c *Client) (m Message, err error) {
	m = Message{
		Data: in.data, Binary: in.typ == BinaryMessage, Received: in.at, Connection: in.link.number,
		codec: c.cfg.codec, borrowed: in.from != nil,
	}
	switch {
	case m.Binary:
		err = ErrBinary
	case !utf8.Valid(m.Data):
		err = ErrNotUTF8
	default:
		var name []byte
		name, err = peekType(m.Data, c.cfg.typeField)
		m.Type = c.types.intern(name)
	}
	return m, err
}

// An arena holds the data of messages that were read together. Most are decoded and
// forgotten, so that arenas are used again.
type arena struct {
	data []byte
	used atomic.Int32 // by so many messages
}

// Arenas come in sizes of powers of two, so that messages that wait for a slow
// callback hold no more than twice their own size.
const minArena, maxArena = 9, 16 // as exponents

var arenas [maxArena - minArena + 1]sync.Pool

// newArena makes an arena for so many messages with so many bytes, at most 64 KiB.
func newArena(messages, size int) *arena {
	class := max(bits.Len(uint(max(size, 1)-1)), minArena) - minArena
	a, ok := arenas[class].Get().(*arena)
	if !ok {
		a = &arena{data: make([]byte, 0, 1<<(class+minArena))}
	}
	a.used.Store(int32(messages))
	return a
}

// add copies p in.
func (a *arena) add(p []byte) []byte {
	at := len(a.data)
	a.data = append(a.data, p...)
	return a.data[at:len(a.data):len(a.data)]
}

// release is called for each message.
func (a *arena) release() {
	if a.used.Add(-1) == 0 {
		class := bits.Len(uint(cap(a.data)-1)) - minArena
		a.data = a.data[:0]
		arenas[class].Put(a)
	}
}
