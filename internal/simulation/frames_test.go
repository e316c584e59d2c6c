package simulation

import (
	"bytes"
	"encoding/binary"
)

// The opcodes of frames.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// A stream is what a client writes: a handshake, and then frames.
type stream struct {
	buf       []byte
	upgraded  bool
	request   func(head []byte)
	frame     func(opcode byte, payload []byte)
	malformed func(why string)
	limit     int    // of the size of a payload; 0: none
	exceed    func() // is called once
	exceeded  bool   // nothing more is parsed
}

// write parses more bytes.
func (p *stream) write(b []byte) {
	p.buf = append(p.buf, b...)
	for !p.upgraded {
		i := bytes.Index(p.buf, []byte("\r\n\r\n"))
		if i < 0 {
			return
		}
		head := p.buf[:i]
		p.buf, p.upgraded = p.buf[i+4:], true
		if p.request != nil {
			p.request(head)
		}
	}
	for {
		opcode, payload, n := p.next()
		if n == 0 || p.exceeded {
			return
		}
		p.buf = p.buf[n:]
		p.frame(opcode, payload)
	}
}

// next returns the next frame and its length; 0: it is not complete.
func (p *stream) next() (opcode byte, payload []byte, n int) {
	b := p.buf
	if len(b) < 2 {
		return 0, nil, 0
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 == 0 {
		p.malformed("a frame that is a fragment, has reserved bits or no mask")
	}
	opcode, size, at := b[0]&0xf, int(b[1]&0x7f), 2
	switch size {
	case 126:
		if len(b) < 4 {
			return 0, nil, 0
		}
		size, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return 0, nil, 0
		}
		size, at = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	if p.limit > 0 && size > p.limit && !p.exceeded {
		p.exceeded = true
		p.exceed()
	}
	if n = at + 4 + size; len(b) < n {
		return 0, nil, 0
	}
	key, payload := b[at:at+4], bytes.Clone(b[at+4:n])
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return opcode, payload, n
}

// appendFrame appends a frame of a server.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
