package ws

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
)

// maxRecord is the most plaintext in one record of TLS.
const maxRecord = 16 << 10

// AppendMessage gathers one message. It does not block if the message, what was gathered before,
// and a header of at most 14 bytes for each frame fit into [BufferSize]. Otherwise it writes as
// Flush does. Its errors are final, as are those of the methods below; but a frame that must not
// be sent, such as a ping with a long payload, is refused without any effect.
func (c *Conn) AppendMessage(text bool, p []byte) error {
	first := byte(finBit | opBinary)
	if text {
		first = finBit | opText
	}
	if c.agreed.Compressed && len(p) >= minCompressed {
		d := deflaters.Get().(*deflater)
		defer d.release()
		if smaller := d.deflate(p); len(smaller) < len(p) {
			first, p = first|rsv1Bit, smaller
		}
	}
	return c.appendFrame(first, p)
}

// AppendPing gathers a ping with a payload of up to 125 bytes.
func (c *Conn) AppendPing(payload []byte) error { return c.appendControl(opPing, payload) }

// AppendPong gathers a pong, which has the payload of the ping.
func (c *Conn) AppendPong(payload []byte) error { return c.appendControl(opPong, payload) }

// AppendClose gathers a close frame; code 1005 makes one without a code. Nothing can be appended
// after it.
func (c *Conn) AppendClose(code int, reason string) error {
	p, err := closePayload(code, reason)
	if err != nil {
		return err
	}
	err = c.appendControl(opClose, p)
	c.closing = c.closing || err == nil
	return err
}

func (c *Conn) appendControl(opcode byte, p []byte) error {
	if len(p) > maxControl {
		return fmt.Errorf("control frame with a payload of %d bytes: at most %d", len(p), maxControl)
	}
	return c.appendFrame(finBit|opcode, p)
}

func (c *Conn) appendFrame(first byte, p []byte) error {
	if c.closing {
		return net.ErrClosed
	}
	if c.out != nil && len(*c.out)+maxHeader > BufferSize {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	if c.writeErr != nil {
		return c.writeErr
	}
	c.gather()
	key := rand.Uint32() // of a generator that cannot be predicted, as RFC 6455, section 10.3, demands
	before := len(*c.out)
	*c.out = appendHeader(*c.out, first, key, len(p))
	for {
		n := len(p)
		if room := BufferSize - len(*c.out); n > room {
			n = room &^ 3 // the next part begins with the first byte of the key
		}
		*c.out = appendMasked(*c.out, p[:n], key)
		c.appended += int64(len(*c.out) - before)
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		if err := c.Flush(); err != nil {
			return err
		}
		c.gather()
		before = 0
	}
}

// gather makes a buffer, unless there is one.
func (c *Conn) gather() {
	if c.out == nil {
		c.out, c.given = buffers.Get().(*[]byte), 0
	}
}

// Flush writes what was gathered. It blocks until the socket has taken all of it. Its errors are
// final.
func (c *Conn) Flush() error {
	for c.writeErr == nil {
		if c.writeErr = c.socket.flush(); c.out == nil || c.writeErr != nil {
			break
		}
		c.give()
	}
	if c.writeErr != nil {
		c.drop()
	}
	return c.writeErr
}

// TryFlush writes as much of what was gathered as the socket takes without blocking, and reports
// whether that was all. If not, the caller must call Flush, on any goroutine, before it appends
// more.
func (c *Conn) TryFlush() (done bool, err error) {
	for c.writeErr == nil && c.out != nil && c.socket.idle() {
		c.give()
	}
	accepted, taken := c.socket.progress()
	return c.writeErr == nil && c.out == nil && accepted == taken, c.writeErr
}

// give passes gathered bytes to the socket, which keeps what it does not take at once.
func (c *Conn) give() {
	p := (*c.out)[c.given:]
	if c.writeErr = c.socket.permitted(); c.writeErr != nil {
		return
	}
	c.socket.cleared.Store(true) // no lock is held while the fence runs: it may end the connection
	defer c.socket.cleared.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.place.direct { // Written is exact to the record
		p = p[:min(len(p), maxRecord)]
	}
	before, _ := c.socket.progress()
	_, c.writeErr = c.rw.Write(p)
	after, _ := c.socket.progress()
	c.place.move(int64(len(p)), before, after, c.writeErr == nil)
	if c.given += len(p); c.given == len(*c.out) {
		c.drop()
	}
}

// drop releases the buffer.
func (c *Conn) drop() {
	if c.out != nil {
		release(c.out)
	}
	c.out = nil
}

// A place maps the stream of the socket to that of the frames, which differ if TLS is between
// them.
type place struct {
	start, end int64 // the bytes of frames that were written last
	below      int64 // bytes given to the socket since, when end is reached
	direct     bool  // there is nothing between the streams
}

// move is called when n bytes of frames have been written, by which the socket was given the
// bytes from before to after.
func (p *place) move(n, before, after int64, ok bool) {
	p.start = p.end
	p.end += n
	switch {
	case !ok && !p.direct:
		p.below = math.MaxInt64 // not all was given to the socket
	case !ok:
		p.below = before + n // nor this, if it is after an error
	default:
		p.below = after
		p.direct = p.direct || after-before == n // TLS adds something to each record
	}
}

// taken returns the place in the stream of frames up to which the socket has taken it.
func (p *place) taken(below int64) int64 {
	switch {
	case below >= p.below:
		return p.end
	case p.direct:
		return p.end - (p.below - below)
	}
	return p.start
}

// Appended returns the place in the outgoing stream, in bytes of frames, after all that was
// appended. It is called on the goroutine that appends.
func (c *Conn) Appended() int64 { return c.appended }

// Written returns the place in the outgoing stream up to which the socket has taken it. With TLS
// that is the end of a record, since the peer cannot read a part of one. It is up to 16 KiB too
// low if the configuration of TLS does not have DynamicRecordSizingDisabled set, never too high.
func (c *Conn) Written() int64 {
	c.mu.Lock() // waits for give, which does not block
	defer c.mu.Unlock()
	_, taken := c.socket.progress()
	return c.place.taken(taken)
}

// Seal prevents any further write to the socket, and returns Written. That does not change any
// more, unless a write that may block is under way, see [NewSocket].
func (c *Conn) Seal() int64 {
	c.socket.seal()
	return c.Written()
}
