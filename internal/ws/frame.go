package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The opcodes and bits of RFC 6455, section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8 // the first opcode of control frames
	opPing         = 9
	opPong         = 10

	finBit  = 0x80
	rsv1Bit = 0x40 // a compressed message, see RFC 7692, section 6
	rsvBits = 0x70
	opBits  = 0x0f
	maskBit = 0x80
	lenBits = 0x7f

	maxControl = 125 // bytes of a control frame's payload
	maxHeader  = 14
)

// The close codes that this package uses.
const (
	codeProtocol = 1002
	codeNone     = 1005 // a close frame without a code
	codeInvalid  = 1007
)

// A header is the header of a frame.
type header struct {
	first  byte // fin, reserved bits and opcode
	masked bool
	size   int   // of the header itself
	length int64 // of the payload; negative (invalid) if the most significant bit was set
}

// parse parses the header at the start of b. ok reports whether b contains all of it. A length
// that is not encoded in as few bytes as possible is accepted.
func parse(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	h = header{first: b[0], masked: b[1]&maskBit != 0, size: 2, length: int64(b[1] & lenBits)}
	switch h.length {
	case 126:
		if len(b) < 4 {
			return h, false
		}
		h.size, h.length = 4, int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return h, false
		}
		h.size, h.length = 10, int64(binary.BigEndian.Uint64(b[2:]))
	}
	return h, true
}

func (h header) opcode() byte     { return h.first & opBits }
func (h header) fin() bool        { return h.first&finBit != 0 }
func (h header) compressed() bool { return h.first&rsv1Bit != 0 }
func (h header) isControl() bool  { return h.opcode() >= opClose }

// within reports whether the whole frame is at the start of b.
func (h header) within(b []byte) bool { return h.length <= int64(len(b)-h.size) }

// isPlain reports whether the frame is a whole message that needs no decoding.
func (h header) isPlain() bool {
	return (h.first == finBit|opText || h.first == finBit|opBinary) && !h.masked
}

// appendHeader appends the header of a client's frame.
func appendHeader(b []byte, first byte, key uint32, length int) []byte {
	b = append(b, first)
	switch {
	case length < 126:
		b = append(b, maskBit|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(length))
	}
	return binary.LittleEndian.AppendUint32(b, key)
}

// appendMasked appends p, masked with key.
func appendMasked(b, p []byte, key uint32) []byte {
	at := len(b)
	b = slices.Grow(b, len(p))[:at+len(p)]
	to := b[at:]
	for wide := uint64(key)<<32 | uint64(key); len(p) >= 8; p, to = p[8:], to[8:] {
		binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(p)^wide)
	}
	for i, c := range p {
		to[i] = c ^ byte(key>>(8*(i&3)))
	}
	return b
}

// closePayload returns the payload of a close frame.
func closePayload(code int, reason string) ([]byte, error) {
	switch {
	case code == codeNone && reason == "":
		return nil, nil
	case !validCode(code):
		return nil, fmt.Errorf("close code %d: must not be sent", code)
	case !utf8.ValidString(reason):
		return nil, errors.New("the reason of a close frame must be UTF-8")
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...), nil
}

// parseClose returns the error for a close frame of the peer.
func parseClose(payload []byte) error {
	switch {
	case len(payload) == 0:
		return &CloseError{Code: codeNone}
	case len(payload) == 1:
		return protocolError("close frame with a payload of one byte")
	}
	code := int(binary.BigEndian.Uint16(payload))
	if !validCode(code) {
		return invalidNumber("close frame with an invalid code", int64(code))
	}
	return &CloseError{Code: code, Reason: string(payload[2:])}
}

// validCode reports whether a close frame may contain the code: RFC 6455, section 7.4, and the
// codes registered since.
func validCode(code int) bool {
	switch {
	case code == 1004 || code == codeNone || code == 1006:
		return false
	}
	return 1000 <= code && code <= 1014 || 3000 <= code && code <= 4999
}
