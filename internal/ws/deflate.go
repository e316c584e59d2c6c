package ws

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

const (
	// minCompressed is the size from which messages are compressed. Shorter ones hardly become
	// smaller without the context of those before.
	minCompressed = 512
	// windowSize is how far back compressed data refers.
	windowSize = 32 << 10
)

// removed is the end of a compressed message, which is not sent, see RFC 7692, section 7.2.1. It
// is the length of an empty block. tail is what the decompressor reads after the payload: also a
// final block, without which the end would not differ from truncated data.
const (
	removed = "\x00\x00\xff\xff"
	tail    = removed + "\x01\x00\x00\xff\xff"
)

var errTruncated = invalidDeflate("truncated")

// An inflater decompresses a message.
type inflater struct {
	flate io.ReadCloser
	conn  *Conn // the payload is read from it
	tail  int   // bytes of the tail that have been read
	err   error // of reading the payload
	out   output
}

// An output is what has been decompressed of a message.
type output struct {
	data     []byte // of a message that is skipped: only what is not in the window yet
	inWindow int    // bytes of data that are in the window
	valid    int    // see Conn.checkText
	size     int64  // of the message up to now
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.flate = flate.NewReader(f)
	return f
}}

// inflate returns the message that has been begun, or skips it. Its memory is never more than
// about twice what it needs.
func (c *Conn) inflate() ([]byte, error) {
	f := inflaters.Get().(*inflater)
	defer func() {
		f.conn, f.out = nil, output{}
		inflaters.Put(f)
	}()
	f.conn, f.tail, f.err = c, 0, nil
	f.out.data = make([]byte, 0, smallBuffer)
	return f.inflate()
}

func (f *inflater) inflate() ([]byte, error) {
	c, o := f.conn, &f.out
	for {
		if err := f.flate.(flate.Resetter).Reset(f, c.window); err != nil {
			return nil, err
		}
		if err := f.stream(); err != nil {
			return nil, err
		}
		more, err := c.more()
		switch {
		case err != nil:
			return nil, err
		case more: // the block was a final one, see RFC 7692, section 7.2.1; others follow
			f.slide()
			continue
		case f.tail != 0 && f.tail != len(removed) && f.tail != len(tail): // the last block may be a final one without data
			return nil, errTruncated
		case c.agreed.ServerTakeover:
			f.slide()
		default:
			c.window = nil
		}
		if c.message.size = o.size; c.message.skipped {
			return nil, nil
		}
		_, err = c.checkText(o.data, o.valid, true)
		return o.data, err
	}
}

// stream decompresses up to a final block.
func (f *inflater) stream() error {
	o := &f.out
	for {
		f.makeRoom()
		n, err := f.flate.Read(o.data[len(o.data):cap(o.data)])
		o.data = o.data[:len(o.data)+n]
		o.size += int64(n)
		if n > 0 {
			if invalid := f.check(); invalid != nil {
				return invalid
			}
		}
		switch {
		case err == nil:
		case f.err != nil:
			return f.err
		case err == io.EOF:
			return nil
		default:
			return invalidDeflate(err.Error())
		}
	}
}

// makeRoom makes room for more data.
func (f *inflater) makeRoom() {
	o := &f.out
	switch {
	case len(o.data) < cap(o.data):
	case f.conn.message.skipped:
		f.slide()
		o.data, o.inWindow = o.data[:0], 0
	default:
		o.data = append(make([]byte, 0, 2*len(o.data)), o.data...)
	}
}

// check is called when there is more data. It begins to skip a message that is too large.
func (f *inflater) check() (err error) {
	c, o := f.conn, &f.out
	switch {
	case o.size > c.bound(false):
		return &LimitError{c.limit()}
	case f.tail > len(removed): // the decompressor returns all before the final block
		return errTruncated
	case c.message.skipped:
	case o.size > c.limit():
		c.message.skipped = true
		f.slide()
		o.data, o.inWindow = make([]byte, 0, windowSize), 0
	default:
		o.valid, err = c.checkText(o.data, o.valid, false)
	}
	return err
}

// slide slides the window over the data.
func (f *inflater) slide() {
	o := &f.out
	f.conn.window = slide(f.conn.window, o.data[o.inWindow:])
	o.inWindow = len(o.data)
}

// Read implements [io.Reader]: it reads from the payload of the message.
func (f *inflater) Read(p []byte) (n int, err error) {
	more, err := f.conn.more()
	switch {
	case err != nil:
	case more:
		n, err = f.conn.readPayload(p[:min(int64(len(p)), f.conn.message.left)])
	case f.tail < len(tail):
		n = copy(p, tail[f.tail:])
		f.tail += n
	default:
		return 0, io.EOF
	}
	f.err = err
	return n, err
}

// ReadByte implements [io.ByteReader]; with it, package flate reads no more than it needs.
func (f *inflater) ReadByte() (byte, error) {
	c := f.conn
	if c.message.left > 0 && c.from < c.upTo {
		b := c.buffer()[c.from]
		c.from++
		c.message.left--
		return b, nil
	}
	var one [1]byte
	_, err := f.Read(one[:])
	return one[0], err
}

// slide appends to a window what a decompressor has returned, and removes what is too far back.
func slide(window, data []byte) []byte {
	if window == nil {
		window = make([]byte, 0, windowSize)
	}
	if len(data) >= windowSize {
		return append(window[:0], data[len(data)-windowSize:]...)
	}
	if over := len(window) + len(data) - windowSize; over > 0 {
		window = window[:copy(window, window[over:])]
	}
	return append(window, data...)
}

// A deflater compresses messages.
type deflater struct {
	flate *flate.Writer
	out   bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.flate, _ = flate.NewWriter(&d.out, flate.BestSpeed)
	return d
}}

// deflate returns p compressed. The result is valid until the next call.
func (d *deflater) deflate(p []byte) []byte {
	d.out.Reset()
	d.flate.Reset(&d.out)
	_, _ = d.flate.Write(p) // a bytes.Buffer returns no errors
	_ = d.flate.Flush()
	return bytes.TrimSuffix(d.out.Bytes(), []byte(removed))
}

// release puts d back into the pool.
func (d *deflater) release() {
	if d.out.Cap() > BufferSize {
		d.out = bytes.Buffer{}
	}
	deflaters.Put(d)
}
