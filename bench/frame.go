package main

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
)

// The opcodes of RFC 6455 that are used here.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// A frameReader reads whole frames from a stream, through one buffer. The raw floor and the
// server need no more.
type frameReader struct {
	stream   io.Reader
	buf      []byte
	from, to int // bytes that have been read and not returned yet
}

func newFrameReader(stream io.Reader, size int) *frameReader {
	return &frameReader{stream: stream, buf: make([]byte, size)}
}

var errFrameTooLarge = errors.New("a frame is larger than the buffer")

// next returns a frame. The payload is unmasked, and valid until the next call.
func (f *frameReader) next() (op byte, payload []byte, err error) {
	for {
		b := f.buf[f.from:f.to]
		if len(b) >= 2 {
			head, size := 2, int(b[1]&0x7f)
			switch {
			case size == 126 && len(b) >= 4:
				head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
			case size == 127 && len(b) >= 10:
				head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
			case size >= 126:
				head, size = 0, len(f.buf) // the length is incomplete
			}
			masked := b[1]&0x80 != 0
			if masked {
				head += 4
			}
			if end := head + size; size >= 0 && end <= len(b) {
				f.from += end
				payload = b[head:end]
				if masked {
					xor(payload, binary.LittleEndian.Uint32(b[head-4:]))
				}
				return b[0] & 0x0f, payload, nil
			}
		}
		if err := f.more(); err != nil {
			return 0, nil, err
		}
	}
}

// more reads more bytes, after it has moved those in the buffer to the front.
func (f *frameReader) more() error {
	f.to = copy(f.buf, f.buf[f.from:f.to])
	f.from = 0
	if f.to == len(f.buf) {
		return errFrameTooLarge
	}
	n, err := f.stream.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil
	}
	return err
}

// appendFrame appends one whole frame as a server sends it.
func appendFrame(to []byte, op byte, payload []byte) []byte {
	to = appendHead(to, op, len(payload), 0)
	return append(to, payload...)
}

// appendMasked appends one whole frame as a client sends it.
func appendMasked(to []byte, op byte, payload []byte) []byte {
	key := rand.Uint32()
	to = appendHead(to, op, len(payload), 0x80)
	to = binary.LittleEndian.AppendUint32(to, key)
	start := len(to)
	to = append(to, payload...)
	xor(to[start:], key)
	return to
}

func appendHead(to []byte, op byte, size int, mask byte) []byte {
	to = append(to, 0x80|op)
	switch {
	case size < 126:
		return append(to, mask|byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(to, mask|126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(to, mask|127), uint64(size))
	}
}

// xor masks and unmasks.
func xor(p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key >> (8 * (i % 4)))
	}
}
