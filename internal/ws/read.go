package ws

import (
	"io"
	"math"
	"unicode/utf8"
)

const (
	// smallBuffer is the buffer of an idle connection; with it a Conn has 760 bytes, which the
	// allocator with its own 8 rounds up to 768.
	smallBuffer = 472
	// smallRead is the size of a read after which more bytes may be waiting.
	smallRead = 2 << 10
	// directRead is the size from which a message is read without the buffer.
	directRead = 16 << 10
)

// MaxSkip is how many bytes a message may have above ReadLimit to be skipped. Without a bound,
// a message without end would be skipped for ever, and nothing be received.
const MaxSkip = 64 << 20

// An incoming is a message that is being read by pieces, since it is fragmented, compressed or
// larger than the buffer.
type incoming struct {
	begun      bool // otherwise there is none
	text       bool
	compressed bool
	skipped    bool  // it is larger than the limit, and discarded
	fin        bool  // the frame is its last one
	left       int64 // bytes of the frame's payload that have not been handled
	size       int64 // of the message up to the end of the frame; at its end, decompressed
}

// Receive blocks until at least one message is complete, and returns all messages whose bytes
// were read together with it. Control frames on the way are handled, see Conn.
//
// Its errors are final. A [*CloseError] is a close frame from the peer, a [*LimitError] a
// message that is too large, a [*ProtocolError] invalid data; all others are those of the
// connection, [io.EOF] if it has ended between two messages and [io.ErrUnexpectedEOF] in one.
// Messages that were complete before the error are returned first.
func (c *Conn) Receive() (b *Batch, err error) {
	for b == nil && c.readErr == nil {
		if b = c.take(); b == nil && c.readErr == nil {
			b = c.begin()
		}
		if b == nil && c.readErr == nil {
			c.readErr = c.fill()
		}
	}
	if c.setPartial(false); b != nil {
		return b, nil
	}
	c.releaseLarge()
	return nil, c.readErr
}

// begin reads the message that begins in the buffer, if that is one for assemble. Otherwise it
// returns nil.
func (c *Conn) begin() *Batch {
	h, ok := parse(c.unread())
	early := c.StrictText && h.opcode() == opText // it may fail before it is complete
	if !ok || h.isControl() || c.takes(h) && !early {
		return nil
	}
	var b *Batch
	if b, c.readErr = c.assemble(h); c.readErr != nil {
		return nil
	}
	return b
}

// Discard reads and discards what arrives, until the connection ends. It is for the time between
// an error of Receive and Abort: a connection that is closed with unread bytes is reset, and the
// peer may lose a close frame that it has not read yet. The caller must bound it with Abort.
func (c *Conn) Discard() { _, _ = io.Copy(io.Discard, c.rw) }

// Partial reports whether a part of a message or of a control frame has arrived, while Receive
// waits for the rest. It may be called from any goroutine.
func (c *Conn) Partial() bool { return c.partial.Load() }

func (c *Conn) setPartial(partial bool) {
	if c.partial.Load() != partial {
		c.partial.Store(partial)
	}
}

// takes reports whether take handles a data frame: a whole message that fits into the buffer.
func (c *Conn) takes(h header) bool {
	return h.isPlain() && h.length <= BufferSize-int64(h.size) && h.length <= c.limit()
}

// take handles the control frames and the plain messages in the buffer, until a frame that is
// incomplete, or is neither. It returns the messages, nil without one, and sets readErr after an
// invalid frame or a close frame.
func (c *Conn) take() (b *Batch) {
	n, size := c.measure()
	if n > 0 {
		b = newBatch(n, size)
	}
	for {
		h, ok := parse(c.unread())
		if !ok {
			return b
		}
		if c.readErr = c.check(h); c.readErr != nil || !h.within(c.unread()) {
			return b
		}
		switch {
		case h.isControl():
			if c.readErr = c.control(h); c.readErr != nil {
				return b
			}
		case !c.takes(h) || n == 0:
			return b
		default:
			n--
			text, p := h.opcode() == opText, c.payload(h)
			if c.StrictText && text && !utf8.Valid(p) {
				c.readErr = ErrNotText
				if len(b.Messages) == 0 {
					b.Release()
					b = nil
				}
				return b
			}
			b.add(text, p)
		}
	}
}

// measure returns how many messages take is going to return, and their size.
func (c *Conn) measure() (n, size int) {
	for p := c.unread(); n < MaxBatch; {
		h, ok := parse(p)
		if !ok || h.opcode() == opClose || c.check(h) != nil || !h.within(p) {
			break
		}
		if !h.isControl() {
			if !c.takes(h) {
				break
			}
			n++
			size += int(h.length)
		}
		p = p[h.size+int(h.length):]
	}
	return n, size
}

// check returns an error if a frame must not come now.
func (c *Conn) check(h header) error {
	opcode, m := h.opcode(), &c.message
	switch {
	case h.first&(rsvBits&^rsv1Bit) != 0:
		return protocolError("frame with a reserved bit")
	case h.compressed() && !(c.agreed.Compressed && (opcode == opText || opcode == opBinary)):
		return protocolError("frame with the bit of a compressed message where there is none")
	case opcode > opPong || opcode > opBinary && opcode < opClose:
		return invalidNumber("frame with a reserved opcode", int64(opcode))
	case h.masked:
		return protocolError("masked frame from a server")
	case h.length < 0:
		return protocolError("frame with a length of more than 63 bits")
	case h.isControl() && !h.fin():
		return protocolError("fragmented control frame")
	case h.isControl() && h.length > maxControl:
		return invalidNumber("control frame with a payload of more than 125 bytes", h.length)
	case h.isControl():
	case m.begun && opcode != opContinuation:
		return protocolError("new message before the end of a fragmented one")
	case !m.begun && opcode == opContinuation:
		return protocolError("continuation of no message")
	case h.length > c.bound(m.compressed || h.compressed())-m.size:
		return &LimitError{c.limit()}
	}
	return nil
}

// bound returns the size above which a message ends the connection. Compressed data may be larger
// than the message.
func (c *Conn) bound(compressed bool) int64 {
	limit := c.limit()
	if !c.SkipLarge && !compressed {
		return limit
	}
	return limit + min(MaxSkip, math.MaxInt64-limit)
}

// payload returns the payload of a frame at the beginning of the buffer, and skips the frame.
func (c *Conn) payload(h header) []byte {
	p := c.unread()[h.size:][:h.length:h.length]
	c.from += h.size + int(h.length)
	return p
}

// control handles a control frame at the beginning of the buffer. It returns a close frame as an
// error.
func (c *Conn) control(h header) error {
	p := c.payload(h)
	switch h.opcode() {
	case opPing:
		if c.OnPing != nil {
			c.OnPing(p)
		}
	case opPong:
		if c.OnPong != nil {
			c.OnPong(p)
		}
	default:
		return parseClose(p)
	}
	return nil
}

// assemble reads the message that begins with a frame, whose header is at the beginning of the
// buffer.
func (c *Conn) assemble(h header) (b *Batch, err error) {
	m := &c.message
	*m = incoming{begun: true, text: h.opcode() == opText, compressed: h.compressed()}
	c.enter(h)
	var data []byte
	if m.compressed {
		data, err = c.inflate()
	} else {
		data, err = c.join()
	}
	b = Single(m.text, data)
	if m.skipped {
		b.Skipped = m.size
	}
	*m = incoming{}
	return b, err
}

// enter begins a frame of the message.
func (c *Conn) enter(h header) {
	m := &c.message
	m.fin, m.left = h.fin(), h.length
	m.size += h.length
	c.from += h.size
}

// join returns the rest of an uncompressed message, or skips it. Its memory is never more than
// twice what has arrived.
func (c *Conn) join() (data []byte, err error) {
	m, valid := &c.message, 0
	for {
		more, err := c.more()
		switch {
		case err != nil:
			return nil, err
		case m.size > c.limit():
			return nil, c.skip()
		}
		if !more {
			_, err = c.checkText(data, valid, true)
			return data, err
		}
		if len(data) == cap(data) {
			room := max(len(data), c.upTo-c.from, smallBuffer)
			if m.fin {
				room = int(min(int64(room), m.left))
			}
			data = append(make([]byte, 0, len(data)+room), data...)
		}
		room := data[len(data):cap(data)]
		if int64(len(room)) > m.left {
			room = room[:m.left]
		}
		n, err := c.readPayload(room)
		data = data[:len(data)+n]
		if err == nil {
			valid, err = c.checkText(data, valid, false)
		}
		if err != nil {
			return nil, err
		}
	}
}

// more blocks until more of the message's payload follows, or its end. It reports which.
func (c *Conn) more() (bool, error) {
	m := &c.message
	for m.left == 0 && !m.fin {
		h, ok := parse(c.unread())
		if ok {
			if err := c.check(h); err != nil {
				return false, err
			}
		}
		var err error
		switch {
		case ok && !h.isControl():
			c.enter(h)
		case ok && h.within(c.unread()):
			err = c.control(h)
		default:
			err = c.fill()
		}
		if err != nil {
			return false, err
		}
	}
	return m.left > 0, nil
}

// skip discards the rest of an uncompressed message.
func (c *Conn) skip() error {
	m := &c.message
	m.skipped = true
	for {
		if more, err := c.more(); !more {
			return err
		}
		if c.from == c.upTo {
			if err := c.fill(); err != nil {
				return err
			}
		}
		n := min(m.left, int64(c.upTo-c.from))
		c.from += int(n)
		m.left -= n
	}
}

// checkText returns an error if the message is a text that has to be UTF-8, and its data, of
// which the first valid bytes were checked, is not. It returns how many bytes are valid: less
// than all if they end inside a character, and the message is not whole yet.
func (c *Conn) checkText(data []byte, valid int, whole bool) (int, error) {
	if !c.StrictText || !c.message.text {
		return 0, nil
	}
	upTo := len(data)
	if !whole {
		upTo -= incomplete(data[valid:])
	}
	if !utf8.Valid(data[valid:upTo]) {
		return 0, ErrNotText
	}
	return upTo, nil
}

// incomplete returns how many bytes at the end of p are the beginning of a character.
func incomplete(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if end := p[len(p)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return n
		}
	}
	return 0
}

// readPayload reads some of the frame's payload, of which there must be at least len(p) bytes.
func (c *Conn) readPayload(p []byte) (n int, err error) {
	if c.from == c.upTo && len(p) >= directRead && c.below == nil {
		c.setPartial(true)
		n, err = c.rw.Read(p)
		c.message.left -= int64(n)
		return n, c.arrived(n, err)
	}
	if c.from == c.upTo {
		err = c.fill()
	}
	n = copy(p, c.unread())
	c.from += n
	c.message.left -= int64(n)
	return n, err
}

func (c *Conn) buffer() []byte {
	if c.large != nil {
		return (*c.large)[:BufferSize]
	}
	return c.small[:]
}

func (c *Conn) unread() []byte { return c.buffer()[c.from:c.upTo] }

// fill reads more bytes into the buffer. It blocks until some arrive.
func (c *Conn) fill() error {
	if c.below != nil {
		return c.ended()
	}
	return c.filled(c.rw.Read(c.room()))
}

// room returns the part of the buffer to read into. A large buffer is used while many bytes
// arrive, or a frame that is larger than the small one.
func (c *Conn) room() []byte {
	busy := c.busy || c.message.left >= smallRead
	if c.from == c.upTo && !busy {
		c.releaseLarge()
	} else if c.large == nil && (busy || c.from == 0 && c.upTo == smallBuffer) {
		large := buffers.Get().(*[]byte)
		c.upTo = copy((*large)[:BufferSize], c.unread())
		c.large, c.from = large, 0
	} else if c.from > 0 {
		c.upTo = copy(c.buffer(), c.unread())
		c.from = 0
	}
	c.setPartial(c.message.begun || c.from < c.upTo)
	return c.buffer()[c.upTo:]
}

// filled records what a read into the buffer has returned.
func (c *Conn) filled(n int, err error) error {
	c.upTo += n
	c.busy = n >= smallRead || n == smallBuffer && c.large == nil
	return c.arrived(n, err)
}

// arrived records the error of a read, and returns it unless there were bytes along with it.
func (c *Conn) arrived(n int, err error) error {
	if c.below = err; n == 0 && err != nil {
		return c.ended()
	}
	return nil
}

// ended returns the error of the connection, after which nothing is read.
func (c *Conn) ended() error {
	err := c.below
	if err == io.EOF && (c.message.begun || c.from < c.upTo) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// releaseLarge returns the large buffer to the pool.
func (c *Conn) releaseLarge() {
	if c.large != nil {
		release(c.large)
	}
	c.large, c.from, c.upTo = nil, 0, 0
}
