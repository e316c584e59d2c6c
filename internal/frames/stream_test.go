package frames

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a connection whose peer has said all that it will say. It comes in
// pieces of at most so many bytes.
type script struct {
	incoming []byte
	piece    int
	written  bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.incoming) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.incoming)
	s.incoming = s.incoming[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return s.written.Write(p) }
func (s *script) Close() error                { return nil }

// handshake answers a handshake with body as the connection.
type handshake struct {
	body       io.ReadWriteCloser
	extensions string
}

func (h handshake) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	header := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])}}
	if h.extensions != "" {
		header.Set("Sec-WebSocket-Extensions", h.extensions)
	}
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: header, Body: h.body, Request: r}, nil
}

func dial(t require.TestingT, body io.ReadWriteCloser, extensions string) *websocket.Conn {
	o := &websocket.DialOptions{HTTPClient: &http.Client{Transport: handshake{body, extensions}}}
	if extensions != "" {
		o.CompressionMode = websocket.CompressionNoContextTakeover
	}
	c, _, err := websocket.Dial(context.Background(), "ws://server.test", o)
	require.NoError(t, err)
	c.SetReadLimit(-1)
	return c
}

const deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// How a client reads.
type how int

const (
	byLibrary how = iota // alone
	byRead               // the Stream takes what it can while the library reads
	byAwait              // and the library reads only when it must
)

// heard is all that a client gets out of what came in: messages, the error at the
// end, and how much it wrote back. Messages are taken up to three at a time.
func heard(t require.TestingT, incoming []byte, piece int, extensions string, limit int64, how how) (log []string) {
	s := &script{incoming: slices.Clone(incoming), piece: piece}
	note := func(text bool, payload []byte) { log = append(log, fmt.Sprintf("%v %q", text, payload)) }
	var body io.ReadWriteCloser = s
	stream := NewStream(s)
	var waiting [][]byte // payloads are good until they are asked for
	var kinds []bool
	handOver := func() {
		for i := range waiting {
			note(kinds[i], waiting[i])
		}
		kinds, waiting = nil, nil
	}
	if how != byLibrary {
		stream.Take(Receiver{
			Limit: limit,
			Message: func(text bool, payload []byte) bool {
				kinds, waiting = append(kinds, text), append(waiting, payload)
				return len(waiting) < 3
			},
			Ping:  func(payload []byte) { assert.NoError(t, stream.WritePong(payload)) },
			Pong:  func([]byte) {}, // which the library keeps to itself
			Idle:  handOver,
			Taken: handOver,
		})
		body = stream
	}
	c := dial(t, body, extensions)
	defer c.CloseNow()
	for {
		for how == byAwait && !stream.Await() {
		}
		typ, r, err := c.Reader(context.Background())
		var data []byte
		if err == nil {
			data, err = io.ReadAll(r)
		}
		handOver()
		if err != nil {
			return append(log, err.Error(), fmt.Sprintf("%d written", s.written.Len()))
		}
		note(typ == websocket.MessageText, data)
	}
}

func frame(first byte, payload string) string {
	b := appendFrame(nil, 0, 0, []byte(payload))
	b[0] = first
	at := len(b) - len(payload) - 4
	b[1] &^= maskBit
	return string(b[:at]) + payload
}

var conversations = map[string]string{
	"nothing":           "",
	"one message":       frame(0x81, "hello"),
	"an empty one":      frame(0x81, ""),
	"both kinds":        frame(0x82, "\x00\xff") + frame(0x81, "text") + frame(0x82, ""),
	"many":              strings.Repeat(frame(0x81, "hello"), 1000),
	"16-bit length":     frame(0x81, strings.Repeat("x", 300)) + frame(0x81, "after"),
	"64-bit length":     frame(0x81, strings.Repeat("x", 70_000)) + frame(0x81, "after"),
	"at the bound":      frame(0x81, strings.Repeat("x", bufferSize-maxHeader)) + frame(0x81, strings.Repeat("y", bufferSize-maxHeader+1)),
	"length not short":  "\x81\x7e\x00\x01x\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x01y",
	"ping between":      frame(0x81, "a") + frame(0x89, "ping") + frame(0x81, "b"),
	"pong between":      frame(0x81, "a") + frame(0x8a, "pong") + frame(0x8a, "") + frame(0x81, "b"),
	"pong in fragments": frame(0x01, "a") + frame(0x8a, "p") + frame(0x80, "b") + frame(0x82, "c"),
	"pong in pieces":    frame(0x81, "a") + frame(0x0a, "p") + frame(0x80, "b"),
	"long pong":         frame(0x8a, strings.Repeat("x", 126)) + frame(0x81, "c"),
	"reserved pong":     frame(0xca, "p") + frame(0x81, "c"),
	"fragments":         frame(0x01, "a") + frame(0x00, "b") + frame(0x80, "c") + frame(0x81, "d"),
	"ping in fragments": frame(0x01, "a") + frame(0x89, "p") + frame(0x80, "b") + frame(0x82, "c"),
	"text in fragments": frame(0x01, "a") + frame(0x81, "b") + frame(0x80, "c"),
	"close":             frame(0x81, "a") + frame(0x88, "\x03\xe8bye") + frame(0x81, "never"),
	"close, empty":      frame(0x88, ""),
	"close, bad":        frame(0x88, "\x00"),
	"reserved":          frame(0x81, "a") + frame(0xc1, "b") + frame(0x81, "c"),
	"unknown":           frame(0x81, "a") + frame(0x83, "b") + frame(0x81, "c"),
	"masked":            frame(0x81, "a") + string(appendFrame(nil, opText, 0x01020304, []byte("masked"))) + frame(0x81, "c"),
	"lone continuation": frame(0x80, "a"),
	"long ping":         frame(0x89, strings.Repeat("x", 126)) + frame(0x81, "c"),
	"half a header":     frame(0x81, "a") + "\x81",
	"half a length":     frame(0x81, "a") + "\x81\x7f\x00",
	"half a message":    frame(0x81, "a") + "\x81\x05hel",
	"half a big one":    frame(0x81, "a") + "\x81\x7f\x00\x00\x00\x00\x00\x02\x00\x00hel",
	"negative length":   frame(0x81, "a") + "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xffx",
	"longest length":    frame(0x81, "a") + "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xffx",
	"not UTF-8":         frame(0x81, "\xff"),
	"no WebSocket":      "HTTP/1.1 400 Bad Request\r\n\r\n",
	"compressed":        frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00") + frame(0x81, "plain") + frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"),
}

// The library alone is the oracle: the same bytes bring the same messages, the same
// answers and the same error.
func TestTheLibraryHearsTheSame(t *testing.T) {
	for name, conversation := range conversations {
		t.Run(name, func(t *testing.T) {
			for _, extensions := range []string{"", deflate} {
				for _, piece := range []int{1, 2, 3, 7, 1000, 4096, 1 << 20} {
					if len(conversation) > 10_000 && piece < 7 {
						continue
					}
					want := heard(t, []byte(conversation), piece, extensions, 0, byLibrary)
					for _, limit := range []int64{0, 4, 1 << 20} {
						for _, how := range []how{byRead, byAwait} {
							got := heard(t, []byte(conversation), piece, extensions, limit, how)
							assert.Equal(t, want, got, "pieces of %d, limit %d, %q, %d", piece, limit, extensions, how)
						}
					}
				}
			}
		})
	}
}

func FuzzStream(f *testing.F) {
	for _, conversation := range conversations {
		if len(conversation) < 10_000 {
			f.Add([]byte(conversation), uint16(1000), false)
			f.Add([]byte(conversation), uint16(3), true)
		}
	}
	f.Fuzz(func(t *testing.T, incoming []byte, piece uint16, compressed bool) {
		extensions := ""
		if compressed {
			extensions = deflate
		}
		n := max(int(piece), 1)
		want := heard(t, incoming, n, extensions, 0, byLibrary)
		require.Equal(t, want, heard(t, incoming, n, extensions, 1<<20, byRead))
		require.Equal(t, want, heard(t, incoming, n, extensions, 1<<20, byAwait))
	})
}

func TestPingsAndPongs(t *testing.T) {
	s := &script{incoming: []byte(frame(0x8a, "1") + frame(0x81, "a") + frame(0x01, "b") + frame(0x8a, "23") + frame(0x89, "4")), piece: 1 << 20}
	stream := NewStream(s)
	var log []string
	note := func(what string) func([]byte) {
		return func(payload []byte) { log = append(log, what+string(payload)) }
	}
	stream.Take(Receiver{
		Limit:   10,
		Message: func(_ bool, payload []byte) bool { note("message ")(payload); return true },
		Ping:    note("ping "),
		Pong:    note("pong "),
		Idle:    func() {},
	})
	rest, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.Equal(t, frame(0x01, "b"), string(rest))
	require.Equal(t, []string{"pong 1", "message a", "pong 23", "ping 4"}, log)
}

// When a user closes the connection, the library reads on while the messages that Await
// has taken are still being copied. It has to wait for that.
func TestCloseDoesNotReadOverWhatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{incoming: []byte(frame(0x81, "first") + frame(0x88, "\x03\xe8")), piece: len(frame(0x81, "first"))}
		stream := NewStream(s)
		var payload []byte
		var closing sync.WaitGroup
		stream.Take(Receiver{
			Limit:   10,
			Message: func(_ bool, p []byte) bool { payload = p; return true },
			Idle:    func() {},
			Taken: func() {
				stream.Pass()
				closing.Go(func() { _, _ = stream.Read(make([]byte, 10)) })
				synctest.Wait()
				require.Equal(t, "first", string(payload))
				clear(payload) // which the race detector minds if somebody reads
			},
		})
		require.False(t, stream.Await())
		closing.Wait()
	})
}

func TestWritePingAndPong(t *testing.T) {
	s := &script{}
	require.NoError(t, NewStream(s).WritePing([]byte("ping")))
	require.NoError(t, NewStream(s).WritePong([]byte("pong")))
	b := s.written.Bytes()
	for _, want := range []struct {
		first byte
		text  string
	}{{0x89, "ping"}, {0x8a, "pong"}} {
		require.Equal(t, []byte{want.first, 0x84}, b[:2])
		mask(b[6:10], binary.LittleEndian.Uint32(b[2:]))
		require.Equal(t, want.text, string(b[6:10]))
		b = b[10:]
	}
}

// What WriteMessage writes, a server reads.
func TestWriteMessage(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 125, 126, 127, 1000, 1<<16 - 1, 1 << 16, MaxWrite} {
		s := &script{}
		payload := []byte(strings.Repeat("0123456789", n/10+1)[:n])
		require.NoError(t, NewStream(s).WriteMessage(n%2 == 0, payload))
		b := s.written.Bytes()
		h, ok := parse(b)
		require.True(t, ok)
		require.True(t, h.fin() && h.masked)
		require.Equal(t, n%2 == 0, h.opcode() == opText)
		require.EqualValues(t, n, h.length)
		require.Len(t, b, h.size+n)
		got := b[h.size:]
		key := b[h.size-4 : h.size]
		for i := range got {
			got[i] ^= key[i%4]
		}
		require.Equal(t, payload, got)
	}
}

// An idle connection holds no buffer.
func TestIdleHoldsNothing(t *testing.T) {
	s := &script{incoming: []byte(strings.Repeat(frame(0x81, strings.Repeat("x", 100)), 1000)), piece: 1 << 20}
	stream := NewStream(s)
	n := 0
	stream.Take(Receiver{Limit: 1 << 20, Message: func(bool, []byte) bool { n++; return true }, Idle: func() {}})
	_, err := stream.Read(make([]byte, 4096))
	require.Equal(t, io.EOF, err)
	require.Equal(t, 1000, n)
	require.True(t, stream.large == nil)
}

func BenchmarkRead(b *testing.B) {
	text := []byte(strings.Repeat(frame(0x81, strings.Repeat("x", 130)), 400))
	for name, shortCut := range map[string]bool{"short cut": true, "library": false} {
		b.Run(name, func(b *testing.B) {
			s := &endless{text: text}
			n := 0
			var body io.ReadWriteCloser = s
			if shortCut {
				stream := NewStream(s)
				stream.Take(Receiver{Limit: 1 << 20, Idle: func() {}, Message: func(bool, []byte) bool {
					if n++; n >= b.N {
						s.over = true
					}
					return true
				}})
				body = stream
			}
			c := dial(b, body, "")
			defer c.CloseNow()
			b.ReportAllocs()
			b.ResetTimer()
			for n < b.N {
				_, r, err := c.Reader(context.Background())
				if err != nil {
					break
				}
				_, _ = io.ReadAll(r)
				n++
			}
		})
	}
}

type endless struct {
	text, rest []byte
	over       bool
}

func (s *endless) Read(p []byte) (int, error) {
	if s.over {
		return 0, io.EOF
	}
	if len(s.rest) == 0 {
		s.rest = s.text
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *endless) Write(p []byte) (int, error) { return len(p), nil }
func (s *endless) Close() error                { return nil }
