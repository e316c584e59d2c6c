package ws

import (
	"math/bits"
	"sync"
)

// A Message is a complete message.
type Message struct {
	Text bool // otherwise it is binary
	Data []byte
}

// A Batch holds messages that were read together: at most 256, of at most 64 KiB. A message that
// is larger, fragmented or compressed is alone in its Batch.
type Batch struct {
	Messages []Message
	// Skipped is the size of the only message, which was larger than ReadLimit, and whose Data is
	// nil; zero: none was.
	Skipped int64
	arena   []byte // holds their data; nil: it is not reused
}

// MaxBatch is how many messages a Batch holds at most.
const MaxBatch = 256

// Arenas have sizes of powers of two, so that batches which wait for a slow receiver take at
// most about twice the memory of their messages.
const minArena, maxArena = 9, 16 // exponents, of bytes

// perMessage is how many bytes of arena there are for each message of a Batch at least.
const perMessage = 32

// batches are the pools of batches, by size.
var batches [maxArena - minArena + 1]sync.Pool

// newBatch returns a Batch with room for a number of messages of size bytes together.
func newBatch(messages, size int) *Batch {
	size = max(size, perMessage*messages, 1<<minArena)
	class := bits.Len(uint(size-1)) - minArena
	if b, ok := batches[class].Get().(*Batch); ok {
		return b
	}
	size = 1 << (class + minArena)
	return &Batch{arena: make([]byte, 0, size), Messages: make([]Message, 0, size/perMessage)}
}

// Single returns a Batch of one message, whose data is not reused.
func Single(text bool, data []byte) *Batch {
	b := new(struct {
		Batch
		message [1]Message
	})
	b.message[0] = Message{text, data}
	b.Messages = b.message[:]
	return &b.Batch
}

// add appends a copy of a message.
func (b *Batch) add(text bool, data []byte) {
	at := len(b.arena)
	b.arena = append(b.arena, data...)
	b.Messages = append(b.Messages, Message{text, b.arena[at:len(b.arena):len(b.arena)]})
}

// Reused reports whether the memory of the messages is reused after Release. Otherwise they may
// be retained.
func (b *Batch) Reused() bool { return b.arena != nil }

// Part returns a Batch of message i alone. The memory is that of b, which is released instead of it.
func (b *Batch) Part(i int) *Batch {
	return &Batch{Messages: b.Messages[i : i+1 : i+1], Skipped: b.Skipped, arena: b.arena}
}

// Release gives the memory of the messages back, if it is reused. It is called once, when the
// messages and the Batch are no longer needed.
func (b *Batch) Release() {
	if b.arena == nil {
		return
	}
	class := bits.Len(uint(cap(b.arena)-1)) - minArena
	clear(b.Messages)
	b.Messages, b.arena = b.Messages[:0], b.arena[:0]
	batches[class].Put(b)
}
