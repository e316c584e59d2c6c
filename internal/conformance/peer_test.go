package conformance

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The opcodes and bits of a frame's first byte.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10

	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

// bound is how long a case may take. Only a case that fails takes so long.
const bound = time.Minute

// A peer is the server's side of one connection. It has no WebSocket library: it writes any
// bytes, and checks each frame that it reads.
type peer struct {
	conn    *net.TCPConn
	in      *bufio.Reader
	deflate *deflate // nil: no compression was negotiated

	// Of the message that is being read.
	opcode     byte // 0: none
	compressed bool
	data       []byte

	packed int // how many compressed messages were read
}

// accept performs the server's side of a handshake. It accepts the offer of compression that
// the rule chooses.
func accept(t *testing.T, l net.Listener, r rule) *peer {
	conn, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(bound)))
	p := &peer{conn: conn.(*net.TCPConn), in: bufio.NewReaderSize(conn, 64<<10)}
	request, err := http.ReadRequest(p.in)
	require.NoError(t, err)
	require.Equal(t, "13", request.Header.Get("Sec-Websocket-Version"))
	key := sha1.Sum([]byte(request.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(key[:]) + "\r\n"
	var extension string
	if p.deflate, extension = r.negotiate(request.Header.Get("Sec-Websocket-Extensions")); p.deflate != nil {
		answer += "Sec-WebSocket-Extensions: " + extension + "\r\n"
	}
	_, err = io.WriteString(conn, answer+"\r\n")
	require.NoError(t, err)
	return p
}

// frame returns a frame as a server sends it, or as it must not.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return string(b) + payload
}

// closeFrame returns a close frame.
func closeFrame(code int, reason string) string {
	return frame(fin|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// fragments returns the frames of one message, with up to size bytes of payload each; 0 is one
// frame. first has the opcode, and rsv1 for a compressed message.
func fragments(first byte, payload string, size int) []string {
	var frames []string
	for size > 0 && len(payload) > size {
		frames = append(frames, frame(first, payload[:size]))
		payload, first = payload[size:], 0
	}
	return append(frames, frame(fin|first, payload))
}

// How bytes are written, besides a number of bytes for each write.
const (
	atOnce  = 0
	byFrame = -1
	byOctet = 1
)

// write writes the frames. An error is that of a connection that the client has ended, which
// reading shows, too.
func (p *peer) write(frames []string, chop int) {
	pieces := frames
	if chop != byFrame {
		pieces = []string{strings.Join(frames, "")}
	}
	for _, piece := range pieces {
		for len(piece) > 0 {
			n := len(piece)
			if chop > 0 {
				n = min(chop, n)
			}
			if _, err := io.WriteString(p.conn, piece[:n]); err != nil {
				return
			}
			piece = piece[n:]
		}
	}
}

// show is how a message or a pong appears in an outcome.
func show(kind string, payload string) string {
	if len(payload) <= 64 {
		return fmt.Sprintf("%s %q", kind, payload)
	}
	return fmt.Sprintf("%s of %d bytes, %08x", kind, len(payload), crc32.ChecksumIEEE([]byte(payload)))
}

func text(payload string) string          { return show("text", payload) }
func binaryMessage(payload string) string { return show("binary", payload) }
func pong(payload string) string          { return show("pong", payload) }

// read reads up to the next message or control frame, and adds it to got. It returns false
// after a close frame, at the end, and after a frame that a client must not send.
func (p *peer) read(got *outcome) bool {
	for {
		first, payload, err := p.readFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			got.close = "none: the connection is still open"
		case errors.Is(err, io.ErrUnexpectedEOF):
			got.close = "none, inside a frame"
		case errors.As(err, new(invalid)):
			got.close = "none before a frame that is invalid: " + err.Error()
		case err != nil:
			got.close = "none"
		case first&0x0f == opClose:
			got.close = closeCode(payload)
		case first&0x0f >= opClose:
			got.frames = append(got.frames, show(map[byte]string{opPing: "ping", opPong: "pong"}[first&0x0f], string(payload)))
			return true
		case first&fin != 0:
			return p.message(got)
		default:
			continue
		}
		return false
	}
}

// message adds the message that has been read to got.
func (p *peer) message(got *outcome) bool {
	data := string(p.data)
	if p.compressed {
		p.packed++
		inflated, err := p.deflate.inflate(p.data)
		if err != nil {
			got.close = "none before a message that cannot be decompressed: " + err.Error()
			return false
		}
		data = inflated
	}
	got.frames = append(got.frames, show(map[byte]string{opText: "text", opBinary: "binary"}[p.opcode], data))
	p.opcode, p.data = 0, nil
	return true
}

// invalid describes a frame that a client must not send.
type invalid string

func (i invalid) Error() string { return string(i) }

// readFrame reads one frame, and checks it. It adds the payload of a data frame to the message.
func (p *peer) readFrame() (first byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(p.in, b[:2]); err != nil {
		return 0, nil, err
	}
	first, masked, length, least := b[0], b[1]&0x80 != 0, uint64(b[1]&0x7f), uint64(0)
	switch length {
	case 126:
		_, err = io.ReadFull(p.in, b[:2])
		length, least = uint64(binary.BigEndian.Uint16(b[:])), 126
	case 127:
		_, err = io.ReadFull(p.in, b[:8])
		length, least = binary.BigEndian.Uint64(b[:]), 1<<16
	}
	opcode := first & 0x0f
	switch {
	case err != nil:
		return 0, nil, inside(err)
	case !masked:
		return 0, nil, invalid("not masked")
	case length < least || length > 64<<20:
		return 0, nil, invalid(fmt.Sprintf("length %d", length))
	case first&(rsv2|rsv3) != 0, first&rsv1 != 0 && (p.deflate == nil || opcode != opText && opcode != opBinary):
		return 0, nil, invalid(fmt.Sprintf("reserved bits %#x, opcode %d", first&(rsv1|rsv2|rsv3), opcode))
	case opcode > opBinary && opcode < opClose, opcode > opPong:
		return 0, nil, invalid(fmt.Sprintf("opcode %d", opcode))
	case opcode >= opClose && (first&fin == 0 || length > 125):
		return 0, nil, invalid(fmt.Sprintf("control frame of %d bytes, final: %v", length, first&fin != 0))
	case opcode < opClose && (opcode == 0) != (p.opcode != 0):
		return 0, nil, invalid(fmt.Sprintf("opcode %d within a message of opcode %d", opcode, p.opcode))
	}
	if _, err := io.ReadFull(p.in, b[:4]); err != nil {
		return 0, nil, inside(err)
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return 0, nil, inside(err)
	}
	unmask(payload, binary.LittleEndian.Uint32(b[:4]))
	if opcode < opClose {
		if opcode != 0 {
			p.opcode, p.compressed = opcode, first&rsv1 != 0
		}
		p.data = append(p.data, payload...)
	}
	return first, payload, nil
}

// inside returns [io.ErrUnexpectedEOF] if a connection has ended inside a frame with err.
func inside(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return io.ErrUnexpectedEOF
}

func unmask(b []byte, key uint32) {
	for wide := uint64(key)<<32 | uint64(key); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}

// closeCode is how the payload of a close frame appears in an outcome. The reason is free.
func closeCode(payload []byte) string {
	switch {
	case len(payload) == 0:
		return "empty"
	case len(payload) == 1:
		return "of one byte"
	}
	code := fmt.Sprint(binary.BigEndian.Uint16(payload))
	if !utf8.Valid(payload[2:]) {
		code += " and a reason that is not UTF-8"
	}
	return code
}

// afterwards marks a close frame that is not the end of what the client sends.
const afterwards = ", and then more"

// finish ends the connection as a server does after the client's close frame, or after the
// client has ended it without one: it answers the close frame unless it has sent one itself,
// closes its half, and waits for the client to do the same.
func (p *peer) finish(got *outcome, answered bool) {
	if !answered && got.close == "empty" {
		p.write([]string{frame(fin|opClose, "")}, atOnce)
	} else if code := 0; !answered {
		if n, _ := fmt.Sscan(got.close, &code); n == 1 {
			p.write([]string{closeFrame(code, "")}, atOnce)
		}
	}
	_ = p.conn.CloseWrite()
	if n, err := io.Copy(io.Discard, p.in); n > 0 {
		got.close += afterwards
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		got.close += ", and the connection is still open"
	}
	p.conn.Close()
}
