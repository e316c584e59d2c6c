// Package frames is a short cut for the messages that nearly all messages are: one
// unfragmented, uncompressed frame. A Stream stands between a WebSocket library and
// its connection, takes such frames out of what comes in, and puts some into what
// goes out; and so it does with pings of its user's and their pongs. Everything else
// passes through it as it is and in its place: other control frames, fragments,
// compression, and whatever breaks the rules. The library stays the judge of the
// protocol, and knows nothing of the Stream.
package frames

import (
	"io"
	"math"
	"math/rand/v2"
	"sync"
)

const (
	// bufferSize is what is read at a time while there is much to read, and the
	// largest frame that is taken.
	bufferSize = 64 << 10
	// smallRead is what says that there may be more to read.
	smallRead = 2 << 10
)

// MaxWrite is the largest payload that WriteMessage takes.
const MaxWrite = bufferSize - maxHeader

// A pooled buffer is held while it has something in it, so that an idle connection
// has none.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// A Stream is what a library takes for its connection.
type Stream struct {
	below io.ReadWriteCloser

	// All that follows belongs to who reads.
	to *Receiver // nil: the library

	buffer     *[bufferSize]byte // nil while it would be empty
	from, upTo int               // what has been read and not given away
	pass       int64             // bytes of a frame for the library that come next
	fragment   bool              // the library has got the beginning of a message
	busy       bool              // the last read was not a small one
	err        error             // of the connection, once it has come
}

// NewStream makes a Stream of a connection on which the handshake is over.
func NewStream(below io.ReadWriteCloser) *Stream { return &Stream{below: below} }

// A Receiver says what becomes of what a Stream takes. All of it is called by who
// reads.
type Receiver struct {
	Limit   int64                           // of a message's size; longer ones are the library's
	Message func(text bool, payload []byte) // payload is good until Idle is called
	Pong    func(payload []byte)            // payload is good until it returns
	Idle    func()                          // called each time before Read waits for the connection
}

// Take has Read give plain messages and pongs to a Receiver from now on, instead of
// to the library. It must be called by who reads, between two messages.
func (s *Stream) Take(to Receiver) { s.to = &to }

// Read is for the library. It returns only with something that is for it.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if s.pass > 0 {
			return s.give(p)
		}
		h, ok := parse(s.unread())
		switch {
		case !ok && s.err != nil:
			if s.from == s.upTo {
				s.release()
				return 0, s.err
			}
			s.pass = math.MaxInt64 // what is left of a frame that will never be whole
		case !ok:
			s.fill(p)
		case !s.takes(h):
			s.pass = int64(h.size) + h.length
			if h.length < 0 || s.pass < 0 {
				s.pass = math.MaxInt64 // the library will not read beyond the header
			}
			if !h.isControl() {
				s.fragment = !h.fin()
			}
		case int64(s.upTo-s.from) >= int64(h.size)+h.length:
			payload := s.unread()[h.size:][:h.length:h.length]
			s.from += h.size + int(h.length)
			if h.isControl() {
				s.to.Pong(payload)
			} else {
				s.to.Message(h.opcode() == opText, payload)
			}
		case s.err != nil:
			s.pass = math.MaxInt64
		default:
			s.fill(p)
		}
	}
}

// takes tells whether a frame is not for the library.
func (s *Stream) takes(h header) bool {
	if s.to == nil || h.length < 0 {
		return false
	}
	plain := h.isPlain() && !s.fragment && h.length <= s.to.Limit && h.length <= bufferSize-maxHeader
	return plain || h.isPong()
}

func (s *Stream) unread() []byte {
	if s.buffer == nil {
		return nil
	}
	return s.buffer[s.from:s.upTo]
}

// give passes on a part of a frame for the library.
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

// fill waits for more. With an empty buffer and little traffic it waits without one,
// in what the library has brought.
func (s *Stream) fill(p []byte) {
	if s.from == s.upTo && !s.busy && len(p) >= smallRead {
		s.release()
		n, err := s.below.Read(p)
		s.err = err
		s.busy = n >= smallRead
		if n > 0 {
			s.hold()
			s.from, s.upTo = 0, copy(s.buffer[:], p[:n])
		}
		return
	}
	s.idle()
	s.hold()
	s.upTo = copy(s.buffer[:], s.buffer[s.from:s.upTo])
	s.from = 0
	n, err := s.below.Read(s.buffer[s.upTo:])
	s.upTo += n
	s.err = err
	s.busy = n >= smallRead
}

// idle ends the life of the payloads.
func (s *Stream) idle() {
	if s.to != nil {
		s.to.Idle()
	}
}

func (s *Stream) hold() {
	if s.buffer == nil {
		s.buffer = buffers.Get().(*[bufferSize]byte)
		s.from, s.upTo = 0, 0
	}
}

func (s *Stream) release() {
	s.idle()
	if s.buffer != nil {
		buffers.Put(s.buffer)
		s.buffer, s.from, s.upTo = nil, 0, 0
	}
}

// Write is for the library, which writes whole frames at a time as long as they are
// no longer than a control frame may be.
func (s *Stream) Write(p []byte) (int, error) { return s.below.Write(p) }

// WriteMessage writes one message of up to MaxWrite bytes in one write. It must not
// be called while the library writes a data message.
func (s *Stream) WriteMessage(text bool, payload []byte) error {
	opcode := byte(opBinary)
	if text {
		opcode = opText
	}
	return s.write(opcode, payload)
}

// WritePing writes a ping with a payload of up to 125 bytes. It must not be called
// while the library writes a data message.
func (s *Stream) WritePing(payload []byte) error { return s.write(opPing, payload) }

func (s *Stream) write(opcode byte, payload []byte) error {
	b := outgoing.Get().(*[]byte)
	*b = appendFrame((*b)[:0], opcode, rand.Uint32(), payload)
	_, err := s.below.Write(*b)
	outgoing.Put(b)
	return err
}

// Close closes the connection.
func (s *Stream) Close() error { return s.below.Close() }
