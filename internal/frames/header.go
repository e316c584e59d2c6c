package frames

import "encoding/binary"

// The opcodes and bits of RFC 6455, section 5.2, that are used here.
const (
	opText   = 1
	opBinary = 2
	control  = 8 // the first opcode of control frames
	opPing   = 9
	opPong   = 10

	maxControl = 125 // bytes of payload

	finBit  = 0x80
	rsvBits = 0x70
	opBits  = 0x0f
	maskBit = 0x80
	lenBits = 0x7f

	maxHeader = 14
)

// A header is the header of a frame.
type header struct {
	first  byte // fin, reserved bits and opcode
	masked bool
	size   int   // of the header itself
	length int64 // of the payload; negative (invalid) if the most significant bit was set
}

// parse parses the header at the start of b. ok reports whether b contains all of it.
func parse(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	h = header{first: b[0], masked: b[1]&maskBit != 0, size: 2, length: int64(b[1] & lenBits)}
	switch h.length {
	case 126:
		h.size = 4
	case 127:
		h.size = 10
	}
	if len(b) < h.size {
		return h, false
	}
	switch h.size {
	case 4:
		h.length = int64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		h.length = int64(binary.BigEndian.Uint64(b[2:]))
	}
	if h.masked {
		h.size += 4
	}
	return h, true
}

func (h header) opcode() byte    { return h.first & opBits }
func (h header) fin() bool       { return h.first&finBit != 0 }
func (h header) isControl() bool { return h.opcode() >= control }

// isPlain reports whether the frame is a whole message that needs no decoding: not a
// fragment, not compressed, not masked.
func (h header) isPlain() bool {
	return h.first == finBit|opText && !h.masked || h.first == finBit|opBinary && !h.masked
}

// isSign reports whether the frame is a valid ping or pong.
func (h header) isSign() bool {
	return (h.first == finBit|opPing || h.first == finBit|opPong) && !h.masked && h.length <= maxControl
}

// appendFrame appends a client's frame: final, and masked with key.
func appendFrame(b []byte, opcode byte, key uint32, payload []byte) []byte {
	b = append(b, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, maskBit|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	b = binary.LittleEndian.AppendUint32(b, key)
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], key)
	return b
}

// mask masks or unmasks b.
func mask(b []byte, key uint32) {
	for wide := uint64(key)<<32 | uint64(key); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}
