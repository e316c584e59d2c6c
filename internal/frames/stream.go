// Package frames is a short cut past a WebSocket library for the most common messages: one
// unfragmented, uncompressed frame. A [Stream] is between the library and its connection. It
// takes such frames, pings and pongs out of the inbound bytes, and inserts some into the
// outbound bytes. All other frames pass through unchanged and in order: close frames,
// fragments, compression, and invalid ones. The library still checks the protocol, and does
// not depend on the Stream.
package frames

import (
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const (
	// bufferSize is the size of a read while many bytes arrive, and of the largest frame
	// that is taken.
	bufferSize = 64 << 10
	// smallBuffer is the buffer of an idle connection.
	smallBuffer = 512
	// smallRead is the size of a read after which more bytes may be waiting.
	smallRead = 2 << 10
)

// MaxWrite is the largest payload for [Stream.WriteMessage].
const MaxWrite = bufferSize - maxHeader

// buffers has the large buffers. A Stream holds one while many bytes arrive, or a frame that
// is larger than its small buffer.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// A Stream is the connection that a library reads from and writes to.
type Stream struct {
	below   io.ReadWriteCloser
	passing atomic.Bool // Pass was called
	partial atomic.Bool // see Partial

	// reading is full while a goroutine reads, and guards all following fields. A library's
	// Close reads, too, unless another read of the library runs; Await is none of those.
	reading chan struct{}

	to *Receiver // nil: all frames are for the library

	large      *[bufferSize]byte // nil: the small buffer is in use
	from, upTo int               // bytes that have been read and not passed on
	pass       int64             // the next bytes that belong to a frame for the library
	fragment   bool              // the library has read the beginning of a message
	busy       bool              // the last read was not a small one
	err        error             // of the connection
	small      [smallBuffer]byte
}

// NewStream makes a Stream of a connection whose handshake has been completed.
func NewStream(below io.ReadWriteCloser) *Stream {
	return &Stream{below: below, reading: make(chan struct{}, 1)}
}

// A Receiver receives the frames that a Stream takes. Its functions are called on the
// goroutine that reads.
type Receiver struct {
	Limit int64 // of a message's size; longer ones are for the library
	// Message receives a message. more reports whether it accepts another one before Idle or
	// Taken is called. payload is valid until then.
	Message    func(text bool, payload []byte) (more bool)
	Ping, Pong func(payload []byte) // payload is valid until it returns
	// Idle is called by Read before the payloads of messages become invalid.
	Idle func()
	// Taken is called by Await before it returns false. After that a Close of the library
	// may read, and the payloads of messages are invalid.
	Taken func()
}

// Take passes plain messages, pings and pongs to a [Receiver] from now on, instead of to the
// library. It must be called on the goroutine that reads, between two messages.
func (s *Stream) Take(to Receiver) {
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	s.to = &to
}

// Pass ends [Stream.Take]: all frames are for the library. It is called before the connection
// is closed, at any time and on any goroutine.
func (s *Stream) Pass() { s.passing.Store(true) }

// Await blocks until data arrives, and passes messages to the [Receiver] until that accepts
// no more or no more have arrived. It reports whether the next data is for the library, such
// as an error: then the library must read. It must not be called while the library is in the
// middle of a message.
func (s *Stream) Await() (library bool) {
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	for taken := false; ; {
		switch s.advance() {
		case forLibrary:
			if taken {
				s.to.Taken()
			}
			return !taken
		case enough:
			s.to.Taken()
			return false
		case message:
			taken = true
		case unfinished:
			if taken {
				s.to.Taken()
				return false
			}
			s.fill()
		}
	}
}

// Partial reports whether only a part of a frame for the [Receiver] has arrived. It may be
// called from any goroutine.
func (s *Stream) Partial() bool { return s.partial.Load() }

// Read is for the library. It blocks until there is data for the library, or an error.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	for {
		switch s.advance() {
		case forLibrary:
			s.idle()
			return s.give(p)
		case enough:
			s.idle()
		case unfinished:
			s.idle()
			s.fill()
		}
	}
}

// A progress is the result of advance.
type progress int

const (
	forLibrary progress = iota // the next data is for the library, or the end
	message                    // a message was taken
	enough                     // a message was taken, and no other may follow
	sign                       // a ping or a pong was taken
	unfinished                 // the next frame is incomplete
)

// advance is step, and updates partial.
func (s *Stream) advance() progress {
	p := s.step()
	if partial := p == unfinished && s.from < s.upTo; partial != s.partial.Load() {
		s.partial.Store(partial)
	}
	return p
}

// step handles the next frame of the bytes that have been read.
func (s *Stream) step() progress {
	if s.pass > 0 {
		return forLibrary
	}
	h, ok := parse(s.unread())
	whole := ok && int64(s.upTo-s.from) >= int64(h.size)+h.length
	switch {
	case ok && !s.takes(h):
		s.pass = int64(h.size) + h.length
		if h.length < 0 || s.pass < 0 {
			s.pass = math.MaxInt64 // the library does not read beyond the header
		}
		if !h.isControl() {
			s.fragment = !h.fin()
		}
		return forLibrary
	case !whole && s.err != nil:
		s.pass = math.MaxInt64 // the rest of a frame that stays incomplete, and the error
		return forLibrary
	case !whole:
		return unfinished
	}
	payload := s.unread()[h.size:][:h.length:h.length]
	s.from += h.size + int(h.length)
	switch h.opcode() {
	case opPing:
		s.to.Ping(payload)
	case opPong:
		s.to.Pong(payload)
	default:
		if !s.to.Message(h.opcode() == opText, payload) {
			return enough
		}
		return message
	}
	return sign
}

// takes reports whether a frame is for the Receiver.
func (s *Stream) takes(h header) bool {
	if s.to == nil || s.passing.Load() || h.length < 0 {
		return false
	}
	plain := h.isPlain() && !s.fragment && h.length <= s.to.Limit && h.length <= bufferSize-maxHeader
	return plain || h.isSign()
}

func (s *Stream) buffer() []byte {
	if s.large != nil {
		return s.large[:]
	}
	return s.small[:]
}

func (s *Stream) unread() []byte { return s.buffer()[s.from:s.upTo] }

// give copies a part of the data for the library.
func (s *Stream) give(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), s.pass)]
	if s.from < s.upTo {
		n = copy(p, s.unread())
		s.from += n
	} else if s.release(); s.err != nil {
		return 0, s.err
	} else {
		n, err = s.below.Read(p)
	}
	if s.pass != math.MaxInt64 {
		s.pass -= int64(n)
	}
	return n, err
}

// fill reads more bytes. It blocks until some arrive.
func (s *Stream) fill() {
	if s.from == s.upTo && !s.busy {
		s.release()
	} else if s.large == nil && (s.busy || s.from == 0 && s.upTo == smallBuffer) {
		s.enlarge()
	} else if s.from > 0 {
		s.upTo = copy(s.buffer(), s.unread())
		s.from = 0
	}
	room := s.buffer()[s.upTo:]
	n, err := s.below.Read(room)
	s.upTo += n
	s.err = err
	s.busy = n >= smallRead || n == smallBuffer && s.large == nil
}

func (s *Stream) enlarge() {
	large := buffers.Get().(*[bufferSize]byte)
	s.upTo = copy(large[:], s.unread())
	s.large, s.from = large, 0
}

// release returns the large buffer to the pool.
func (s *Stream) release() {
	if s.large != nil {
		buffers.Put(s.large)
	}
	s.large, s.from, s.upTo = nil, 0, 0
}

// idle reports that payloads become invalid.
func (s *Stream) idle() {
	if s.to != nil && !s.passing.Load() {
		s.to.Idle()
	}
}

// Write is for the library, which writes each frame that is no longer than a control frame
// may be in one call.
func (s *Stream) Write(p []byte) (int, error) { return s.below.Write(p) }

// WriteMessage writes one message of up to [MaxWrite] bytes in one write. It must not be
// called while the library writes a data message.
func (s *Stream) WriteMessage(text bool, payload []byte) error {
	opcode := byte(opBinary)
	if text {
		opcode = opText
	}
	return s.write(opcode, payload)
}

// WritePing writes a ping with a payload of up to 125 bytes. It must not be called while the
// library writes a data message.
func (s *Stream) WritePing(payload []byte) error { return s.write(opPing, payload) }

// WritePong is [Stream.WritePing] for the answer to a ping.
func (s *Stream) WritePong(payload []byte) error { return s.write(opPong, payload) }

func (s *Stream) write(opcode byte, payload []byte) error {
	b := outgoing.Get().(*[]byte)
	*b = appendFrame((*b)[:0], opcode, rand.Uint32(), payload)
	_, err := s.below.Write(*b)
	outgoing.Put(b)
	return err
}

// Close closes the connection.
func (s *Stream) Close() error { return s.below.Close() }
