package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A randomStream is a random stream of a server, made of the bytes of a fuzzer.
type randomStream struct {
	choices []byte
	agreed  Agreed
	z       *compressor
	bytes   []byte
	// odd is not empty when the stream ends with something that the libraries handle in another
	// way: why that is right. The error must be of the kind then.
	odd  string
	kind kind
}

func (s *randomStream) next() byte {
	if len(s.choices) == 0 {
		return 0
	}
	c := s.choices[0]
	s.choices = s.choices[1:]
	return c
}

// text returns a payload, mostly small.
func (s *randomStream) text() string {
	n := int(s.next())
	switch n % 16 {
	case 0:
		n *= 300
	case 1:
		n = 0
	}
	return strings.Repeat(string(rune('a'+n%26))+"bc", n/3+1)[:n]
}

func (s *randomStream) add(b ...[]byte) { s.bytes = append(s.bytes, frames(b...)...) }

// message adds a valid message in fragments, with control frames in between.
func (s *randomStream) message(first byte, p string) {
	for s.next()%4 == 1 {
		at := int(s.next()) * len(p) / 256
		s.add(frame(first, p[:at]))
		p, first = p[at:], 0
		if s.next()%4 == 1 {
			s.add(frame(finBit|opPing, "ping"))
		}
	}
	s.add(frame(finBit|first, p))
}

// generate makes the stream.
func (s *randomStream) generate() {
	for len(s.choices) > 0 && s.odd == "" {
		switch op := s.next(); op % 16 {
		case 0, 1, 2:
			s.message(opText+op/16%2, s.text())
		case 3, 4, 5:
			if !s.agreed.Compressed {
				continue
			}
			s.message(rsv1Bit|opText+op/16%2, s.z.compress(s.text()))
		case 6:
			s.add(frame(finBit|opPing, s.text()))
		case 7:
			s.add(frame(finBit|opPong, s.text()))
		case 8:
			s.add(frame(finBit|opClose, ""))
		case 9:
			s.add(frame(finBit|opClose, string([]byte{s.next() % 32, s.next()})+s.text()))
		case 10: // any header
			first := s.next()
			if first&rsv1Bit != 0 && s.agreed.Compressed && first&opBits <= opBinary {
				first &^= rsv1Bit // see corrupt
			}
			s.add(frame(first, s.text()))
		case 11: // a length in too many bytes
			s.add([]byte{finBit | opText, 127, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'})
		case 12: // any length
			s.add([]byte{finBit | opText, 127, s.next(), s.next(), s.next(), s.next(), s.next(), s.next(), s.next(), s.next()})
			s.choices = nil
		case 13:
			s.masked()
		case 14:
			s.corrupt()
		default: // the end
			s.bytes = s.bytes[:len(s.bytes)-min(len(s.bytes), int(s.next()))]
			s.choices = nil
		}
	}
}

// masked ends the stream with a masked frame, which they accept without unmasking it.
func (s *randomStream) masked() {
	s.add([]byte{finBit | opText, maskBit | 1, 1, 2, 3, 4, 'a'})
	s.odd, s.kind = "RFC 6455, section 5.1: a client must close a connection if it detects a masked frame", kind{name: "invalid"}
}

// corrupt ends the stream with a compressed message that is not whole, or whose blocks are final.
func (s *randomStream) corrupt() {
	if !s.agreed.Compressed {
		return
	}
	p := s.z.compress("x" + s.text())
	switch s.next() % 3 {
	case 0: // they return what there is of it
		s.add(frame(finBit|rsv1Bit|opText, p[:int(s.next())*len(p)/256]))
		s.odd, s.kind = "RFC 7692, section 7.2.2: the message cannot be decompressed", kind{name: "invalid"}
	case 1: // they return what comes before the second block
		s.add(frame(finBit|rsv1Bit|opText, finished("Hello, ")+finished("Hello")+"\x00"))
		s.odd, s.kind = "RFC 7692, section 7.2.1: blocks may follow a final one", kind{name: "end"}
	case 2: // the payload itself is made of the fuzzer's bytes
		s.add(frame(finBit|rsv1Bit|opText, string(s.choices)))
		s.odd = "as above; it may also be valid"
	}
}

// FuzzRead compares what is read of a stream with what the other libraries read of it.
func FuzzRead(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, byte(seed), choices(seed, 100))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mode byte, choices []byte) {
		agreed := []Agreed{{}, {Compressed: true}, {Compressed: true, ServerTakeover: true}}[mode%3]
		limit := []int64{1 << 40, 10, 1000, 50_000}[mode/4%4]
		s := randomStream{choices: choices, agreed: agreed, z: newCompressor(agreed.ServerTakeover)}
		s.generate()
		body := func() *script {
			r := seeded(seed)
			return &script{incoming: s.bytes, chunk: func() int { return 1 + r.IntN(1<<r.IntN(17)) }}
		}
		c := NewConn(body(), nil, agreed)
		c.ReadLimit = limit
		ours := receiveAll(c)
		got := kindOf(ours.err)
		if s.odd != "" && s.kind.name == "invalid" && got.name == "end" {
			require.Fail(t, "read to the end", s.odd)
		}
		for name, o := range clients(t, func() io.ReadWriteCloser { return body() }, agreed, limit) {
			var messages []Message
			m, err := o.read()
			for ; err == nil; m, err = o.read() {
				messages = append(messages, m)
			}
			theirs := o.kind(err)
			o.end()
			switch {
			case s.odd != "":
				n := min(len(messages), len(ours.messages), max(len(messages)-1, 0))
				requireSame(t, messages[:n], ours.messages[:n], "%s", name)
				continue
			case theirs.name == "end" && (got.name == "limit" || errors.Is(ours.err, io.ErrUnexpectedEOF)):
				// RFC 6455, section 5.4: a message ends with its last frame. If the connection ends
				// before, they may return what there is of it as a message. And of one above the
				// limit they read up to the limit, where we refuse it by its header.
				if len(messages) > len(ours.messages) {
					messages = messages[:len(ours.messages)]
				}
			case got.name == "limit" && theirs.name != "limit": // likewise
			case got.name == "invalid" && theirs.name == "close":
				// RFC 6455, section 8.1: the reason of a close frame must be UTF-8. They do not check it.
				require.Equal(t, codeInvalid, ours.err.(*ProtocolError).Code)
			default:
				require.Equal(t, theirs, got, "%s: %v, we: %v", name, err, ours.err)
			}
			requireSame(t, messages, ours.messages, "%s: %v, we: %v", name, err, ours.err)
		}
	})
}

// requireSame requires that messages are the same.
func requireSame(t *testing.T, want, got []Message, text string, args ...any) {
	same := slices.EqualFunc(want, got, func(a, b Message) bool { return a.Text == b.Text && bytes.Equal(a.Data, b.Data) })
	if !same {
		t.Fatalf("want %.500s\ngot %.500s\n"+text, append([]any{fmt.Sprint(want), fmt.Sprint(got)}, args...)...)
	}
}
