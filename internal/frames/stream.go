// Package frames is a short cut for the messages that nearly all messages are: one
// unfragmented, uncompressed frame. A Stream stands between a WebSocket library and
// its connection, takes such frames out of what comes in, and puts some into what
// goes out; and so it does with pings and pongs. Everything else passes through it as
// it is and in its place: close frames, fragments, compression, and whatever breaks
// the rules. The library stays the judge of the protocol, and knows nothing of the
// Stream.
package frames

import (
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const (
	// bufferSize is what is read at a time while there is much to read, and the
	// largest frame that is taken.
	bufferSize = 64 << 10
	// smallBuffer is what an idle connection waits with.
	smallBuffer = 512
	// smallRead is what says that there may be more to read.
	smallRead = 2 << 10
)

// MaxWrite is the largest payload that WriteMessage takes.
const MaxWrite = bufferSize - maxHeader

// A pooled buffer is held while there is much to read, or a frame that is larger than
// the small one.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// A Stream is what a library takes for its connection.
type Stream struct {
	below   io.ReadWriteCloser
	passing atomic.Bool // Pass was called
	partial atomic.Bool // see Partial

	// Full while somebody reads. A library's Close reads too, when nobody else does by
	// the library's count, which knows nothing of Await. It guards all that follows.
	reading chan struct{}

	to *Receiver // nil: the library

	large      *[bufferSize]byte // nil: the small one is in use
	from, upTo int               // what has been read and not given away
	pass       int64             // bytes of a frame for the library that come next
	fragment   bool              // the library has got the beginning of a message
	busy       bool              // the last read was not a small one
	err        error             // of the connection, once it has come
	small      [smallBuffer]byte
}

// NewStream makes a Stream of a connection on which the handshake is over.
func NewStream(below io.ReadWriteCloser) *Stream {
	return &Stream{below: below, reading: make(chan struct{}, 1)}
}

// A Receiver says what becomes of what a Stream takes. All of it is called by who
// reads.
type Receiver struct {
	Limit int64 // of a message's size; longer ones are the library's
	// Message takes a message, and tells whether it will take another one before Idle
	// or Taken is called. Until then payload is good.
	Message    func(text bool, payload []byte) (more bool)
	Ping, Pong func(payload []byte) // payload is good until it returns
	// Idle is called by Read before messages lose their payload.
	Idle func()
	// Taken is called by Await before it returns false. Once it has returned, a Close of
	// the library may read, and messages have lost their payload.
	Taken func()
}

// Take has plain messages, pings and pongs given to a Receiver from now on, instead of
// to the library. It must be called by who reads, between two messages.
func (s *Stream) Take(to Receiver) {
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	s.to = &to
}

// Pass ends what Take has begun. It is for who is going to close the connection, and
// may be called at any time.
func (s *Stream) Pass() { s.passing.Store(true) }

// Await waits for what comes, and gives messages to the Receiver until it wants no more
// or there are none for now.
// It reports true when something comes that is for the library, an error for instance,
// and the library has to read on. It must not be called while the library is in the
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

// Partial reports whether a part of a frame has been read that is not for the library,
// and the rest has not come yet. It may be called from any goroutine.
func (s *Stream) Partial() bool { return s.partial.Load() }

// Read is for the library. It returns only with something that is for it.
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

// What advance has come to.
type progress int

const (
	forLibrary progress = iota // something that is not to be taken, or the end
	message                    // it was taken
	enough                     // it was taken, and no other may follow
	sign                       // a ping or a pong was taken
	unfinished                 // a frame that is not there in full
)

// advance is step, and keeps partial.
func (s *Stream) advance() progress {
	p := s.step()
	if partial := p == unfinished && s.from < s.upTo; partial != s.partial.Load() {
		s.partial.Store(partial)
	}
	return p
}

// step deals with what has been read, one frame at a time.
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
			s.pass = math.MaxInt64 // the library will not read beyond the header
		}
		if !h.isControl() {
			s.fragment = !h.fin()
		}
		return forLibrary
	case !whole && s.err != nil:
		s.pass = math.MaxInt64 // what is left of a frame that will never be whole, and the error
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

// takes tells whether a frame is not for the library.
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

// give passes on a part of what is for the library.
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

// fill waits for more.
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

// release has the stream hold no more than an idle connection needs.
func (s *Stream) release() {
	if s.large != nil {
		buffers.Put(s.large)
	}
	s.large, s.from, s.upTo = nil, 0, 0
}

// idle ends the life of the payloads.
func (s *Stream) idle() {
	if s.to != nil && !s.passing.Load() {
		s.to.Idle()
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
// while the library writes a data message, and neither must WritePong.
func (s *Stream) WritePing(payload []byte) error { return s.write(opPing, payload) }

// WritePong is WritePing for the answer to a ping.
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
