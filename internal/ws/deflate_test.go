package ws

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A compressor compresses as a server does.
type compressor struct {
	out      bytes.Buffer
	flate    *flate.Writer
	takeover bool
}

func newCompressor(takeover bool) *compressor {
	z := &compressor{takeover: takeover}
	z.flate, _ = flate.NewWriter(&z.out, flate.DefaultCompression)
	return z
}

func (z *compressor) compress(s string) string {
	z.out.Reset()
	if !z.takeover {
		z.flate.Reset(&z.out)
	}
	_, _ = io.WriteString(z.flate, s)
	_ = z.flate.Flush()
	return strings.TrimSuffix(z.out.String(), "\x00\x00\xff\xff")
}

// finished returns s as one stream with a final block.
func finished(s string) string {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func TestInflate(t *testing.T) {
	long := strings.Repeat("All work and no play makes Jack a dull boy. ", 5000)
	random := seeded(1)
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, takeover := range []bool{false, true} {
		for _, chunk := range []int{1, 100, 1 << 20, 0} {
			t.Run(fmt.Sprintf("takeover %t in chunks of %d", takeover, chunk), func(t *testing.T) {
				z := newCompressor(takeover)
				var incoming []byte
				var want []Message
				for _, s := range []string{"Hello", "", "Hello", long, "Hello", string(noise), long, long[:100]} {
					p := z.compress(s)
					switch random.IntN(3) {
					case 0:
						incoming = append(incoming, frame(0xc1, p)...)
					case 1:
						at := random.IntN(len(p) + 1)
						incoming = append(incoming, frames(frame(0x41, p[:at]), frame(0x89, "ping"), frame(0x80, p[at:]))...)
					default:
						incoming = append(incoming, frames(frame(0x41, ""), frame(0x00, p), frame(0x80, ""))...)
					}
					want = append(want, texts(s, "not compressed")...)
					incoming = append(incoming, text("not compressed")...)
				}
				got := receiveAll(NewConn(inChunks(incoming, chunk), nil, Agreed{Compressed: true, ServerTakeover: takeover}))
				require.Equal(t, io.EOF, got.err)
				require.Equal(t, want, got.messages)
			})
		}
	}
}

// The examples of RFC 7692, section 7.2.3.
func TestInflateExamples(t *testing.T) {
	for name, tc := range map[string]struct {
		agreed   Agreed
		incoming []byte
		want     []Message
	}{
		"one block":         {Agreed{Compressed: true}, frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), texts("Hello")},
		"fragments":         {Agreed{Compressed: true}, frames(frame(0x41, "\xf2\x48\xcd"), frame(0x80, "\xc9\xc9\x07\x00")), texts("Hello")},
		"shared window":     {Agreed{Compressed: true, ServerTakeover: true}, frames(frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), frame(0xc1, "\xf2\x00\x11\x00\x00")), texts("Hello", "Hello")},
		"no compression":    {Agreed{Compressed: true}, frame(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), texts("Hello")},
		"a final block":     {Agreed{Compressed: true}, frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), texts("Hello")},
		"two blocks":        {Agreed{Compressed: true}, frame(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), texts("Hello")},
		"empty":             {Agreed{Compressed: true}, frame(0xc1, "\x00"), texts("")},
		"nothing after it":  {Agreed{Compressed: true}, frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), texts("Hello")},
		"final blocks":      {Agreed{Compressed: true}, frame(0xc1, finished("Hello, ")+finished("Hello")+"\x00"), texts("Hello, Hello")},
		"in fragments":      {Agreed{Compressed: true}, frames(frame(0x41, finished("Hello, ")), frame(0x00, ""), frame(0x80, finished("Hello"))), texts("Hello, Hello")},
		"that share window": {Agreed{Compressed: true, ServerTakeover: true}, frames(frame(0xc1, finished("Hello")+"\x00"), frame(0xc1, "\xf2\x00\x11\x00\x00")), texts("Hello", "Hello")},
		"stripped":          {Agreed{Compressed: true}, frame(0xc1, strings.TrimSuffix(finished("Hello"), removed)), texts("Hello")},
		"stripped, empty":   {Agreed{Compressed: true}, frame(0xc1, "\x01"), texts("")},
		"within a message":  {Agreed{Compressed: true}, frame(0xc1, finished("Hello")+"\xf2\x00\x11\x00\x00"), texts("HelloHello")},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewConn(inChunks(tc.incoming, 3), nil, tc.agreed)
			got := receiveAll(c)
			require.Equal(t, io.EOF, got.err)
			assert.Equal(t, tc.want, got.messages)
			assert.Equal(t, tc.agreed.ServerTakeover, c.window != nil)
		})
	}
}

func TestInvalidDeflate(t *testing.T) {
	z := newCompressor(false)
	whole := z.compress(strings.Repeat("a message ", 100))
	for name, tc := range map[string]struct {
		incoming []byte
		code     int
	}{
		"corrupt":             {frame(0xc1, "\xff\xff\xff\xff"), 1007},
		"reserved block":      {frame(0xc1, "\x06"), 1007},
		"truncated":           {frame(0xc1, whole[:len(whole)/2]), 1007},
		"one byte less":       {frame(0xc1, whole[:len(whole)-1]), 1007},
		"empty":               {frame(0xc1, ""), 1007},
		"cut final block":     {frame(0xc1, "\x03"), 1007},
		"cut stored block":    {frame(0xc1, "\x00\x05\x00\xfa\xff\x48"), 1007},
		"far back":            {frame(0xc1, "\xf2\x00\x11\x00\x00"), 1007},
		"RSV1 inside":         {frames(frame(0x41, whole[:5]), frame(0xc0, whole[5:])), 1002},
		"RSV1 on a ping":      {frame(0xc9, ""), 1002},
		"text inside":         {frames(frame(0x41, whole[:5]), text(whole[5:])), 1002},
		"text at the end":     {frames(frame(0x41, whole), text("a")), 1002},
		"text after a final":  {frames(frame(0x41, finished("a")), text("a")), 1002},
		"bad ping in between": {frames(frame(0x41, whole[:5]), frame(0x09, ""), frame(0x80, whole[5:])), 1002},
	} {
		t.Run(name, func(t *testing.T) {
			got := receiveAll(NewConn(inChunks(frames(text("first"), tc.incoming, text("never")), 0), nil, Agreed{Compressed: true}))
			assert.Equal(t, texts("first"), got.messages)
			var pe *ProtocolError
			require.ErrorAs(t, got.err, &pe)
			assert.Equal(t, tc.code, pe.Code)
		})
	}
	for name, tc := range map[string]struct {
		incoming []byte
		want     error
	}{
		"the connection ends":  {frame(0x41, whole), io.ErrUnexpectedEOF},
		"in a frame":           {frame(0xc1, whole)[:10], io.ErrUnexpectedEOF},
		"a close in between":   {frames(frame(0x41, whole), frame(0x88, "\x0f\xa0")), &CloseError{4000, ""}},
		"also after the final": {frames(frame(0x41, finished("a")), frame(0x88, "")), &CloseError{1005, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got := receiveAll(NewConn(inChunks(tc.incoming, 0), nil, Agreed{Compressed: true}))
			assert.Equal(t, received{err: tc.want}, got)
		})
	}
}

func TestReadLimitOfCompressedMessages(t *testing.T) {
	bomb := newCompressor(false).compress(strings.Repeat("\x00", 8<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, incoming := range [][]byte{frame(0xc1, bomb), frames(frame(0x41, bomb[:10]), frame(0x80, bomb[10:]))} {
		c := NewConn(inChunks(incoming, 0), nil, Agreed{Compressed: true})
		c.ReadLimit = 1 << 20
		assert.Equal(t, received{err: &LimitError{1 << 20}}, receiveAll(c))
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10<<20))

	fits := newCompressor(false).compress(strings.Repeat("x", 1<<20))
	c := NewConn(inChunks(frame(0xc1, fits), 0), nil, Agreed{Compressed: true})
	c.ReadLimit = 1 << 20
	assert.Len(t, receiveAll(c).messages, 1)

	// The limit is that of the message, also where its compressed data is larger.
	larger := strings.Repeat("\x00\x00\x00\xff\xff", 100) + newCompressor(false).compress("hi") // empty blocks first
	for _, incoming := range [][]byte{frame(0xc1, larger), frames(frame(0x41, larger[:10]), frame(0x80, larger[10:]))} {
		c := NewConn(inChunks(incoming, 0), nil, Agreed{Compressed: true})
		c.ReadLimit = 100
		assert.Equal(t, texts("hi"), receiveAll(c).messages)
	}
}

// The window is never larger than what compressed data can refer to.
func TestWindow(t *testing.T) {
	random := seeded(1)
	var window, all []byte
	for range 300 {
		p := make([]byte, random.IntN(1<<random.IntN(17)))
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		all = append(all, p...)
		window = slide(window, p)
		require.True(t, bytes.Equal(all[max(0, len(all)-windowSize):], window))
		require.Equal(t, windowSize, cap(window))
		all = append([]byte{}, window...)
	}
}
