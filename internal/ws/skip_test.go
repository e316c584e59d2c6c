package ws

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noise returns bytes that cannot be compressed.
func noise(size int) string {
	random := seeded(uint64(size))
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return string(p)
}

// skipping returns a Conn that skips messages of more than limit bytes.
func skipping(rw io.ReadWriteCloser, limit int64, agreed Agreed) *Conn {
	c := NewConn(rw, nil, agreed)
	c.ReadLimit, c.SkipLarge = limit, true
	return c
}

// A message that is too large is skipped, however it arrives, and what is around it is received.
func TestALargeMessageIsSkipped(t *testing.T) {
	const limit = 1000
	large := noise(200_000)
	for name, incoming := range map[string][]byte{
		"one frame":        text(large),
		"one byte more":    text(large[:limit+1]),
		"fragments":        frames(frame(0x01, large[:5]), frame(0x00, large[5:100_000]), frame(0x89, "ping"), frame(0x80, large[100_000:])),
		"the last byte":    frames(frame(0x01, large[:limit]), frame(0x89, "ping"), frame(0x80, "x")),
		"and an empty one": frames(frame(0x01, large), frame(0x00, ""), frame(0x80, "")),
	} {
		for _, chunk := range []int{1, 7, 511, 1 << 20, 0} {
			t.Run(fmt.Sprintf("%s in chunks of %d", name, chunk), func(t *testing.T) {
				all := frames(text("first"), incoming, text("second"), incoming, frame(0x8a, "pong"), text(large[:limit]))
				got := receiveAll(skipping(inChunks(all, chunk), limit, Agreed{}))
				skipped := Message{Text: true}
				assert.Equal(t, slices.Concat(texts("first"), []Message{skipped}, texts("second"), []Message{skipped}, texts(large[:limit])), got.messages)
				size := int64(len(large))
				if name == "the last byte" || name == "one byte more" {
					size = limit + 1
				}
				assert.Equal(t, []int64{size, size}, got.skipped)
				assert.Equal(t, bytes.Count(all, []byte("\x89\x04ping")), len(got.pings))
				assert.Equal(t, []string{"pong"}, got.pongs)
				assert.Equal(t, io.EOF, got.err)
			})
		}
	}
}

// The messages behind a compressed one that is skipped are decompressed, also if they refer to it.
func TestALargeCompressedMessageIsSkipped(t *testing.T) {
	const limit = 20_000
	large := noise(100_000) + strings.Repeat("x", 3_000_000) + noise(90_001)
	for _, takeover := range []bool{false, true} {
		for _, chunk := range []int{1 << 20, 0} {
			for _, fragment := range []int{1 << 30, 60_000, 1} {
				t.Run(fmt.Sprintf("takeover %t in chunks of %d, fragments of %d", takeover, chunk, fragment), func(t *testing.T) {
					z := newCompressor(takeover)
					var incoming []byte
					add := func(s string) {
						p := z.compress(s)
						first := byte(0x42)
						for ; len(p) > fragment; p = p[fragment:] {
							incoming = append(incoming, frame(first, p[:fragment])...)
							first = 0
						}
						incoming = append(incoming, frame(0x80|first, p)...)
					}
					var want []Message
					for range 2 {
						add(large[len(large)-30_000:][:limit])
						add(large)
						add(large[len(large)-limit:]) // in the window
						add("small")
						want = append(want, Message{false, []byte(large[len(large)-30_000:][:limit])}, Message{},
							Message{false, []byte(large[len(large)-limit:])}, Message{false, []byte("small")})
					}
					got := receiveAll(skipping(inChunks(incoming, chunk), limit, Agreed{Compressed: true, ServerTakeover: takeover}))
					require.Equal(t, io.EOF, got.err)
					require.Equal(t, []int64{int64(len(large)), int64(len(large))}, got.skipped)
					require.Equal(t, want, got.messages)
				})
			}
		}
	}
	t.Run("final blocks", func(t *testing.T) {
		head := noise(50_000)
		tail := newCompressor(true)
		tail.compress(head)
		incoming := frames(frame(0xc2, finished(head)+tail.compress(head[40_000:])), frame(0xc2, newCompressor(false).compress("small")))
		got := receiveAll(skipping(inChunks(incoming, 0), limit, Agreed{Compressed: true}))
		assert.Equal(t, received{messages: []Message{{}, {false, []byte("small")}}, skipped: []int64{60_000}, err: io.EOF}, got)
	})
}

// A peer is what repeated says, after what is in begin.
type peer struct {
	begin    io.Reader
	repeated []byte
	at       int
	read     int64
}

func (p *peer) Read(b []byte) (n int, err error) {
	if n, _ = p.begin.Read(b); n == 0 {
		n = copy(b, p.repeated[p.at:])
		p.at = (p.at + n) % len(p.repeated)
	}
	p.read += int64(n)
	return n, nil
}

func (*peer) Write(p []byte) (int, error) { return len(p), nil }
func (*peer) Close() error                { return nil }

// A message without end ends the connection, when MaxSkip bytes more than the limit have arrived
// or are announced. That costs no memory, and bounded time.
func TestAMessageIsNotSkippedForEver(t *testing.T) {
	const limit = 1 << 20
	zeros := newCompressor(false).compress(strings.Repeat("\x00", 1<<20)) + "\x00\x00\xff\xff"
	nothing := strings.Repeat("\x00\x00\x00\xff\xff", 10_000)
	announced := func(first byte, length uint64) []byte {
		b := []byte{first, 127, 0, 0, 0, 0, 0, 0, 0, 0}
		for i := range 8 {
			b[9-i] = byte(length >> (8 * i))
		}
		return b
	}
	for name, tt := range map[string]struct {
		begin, repeated []byte
		most            int64 // bytes that are read
	}{
		"announced":             {announced(0x82, limit+MaxSkip+1), []byte("x"), BufferSize},
		"in two fragments":      {frames(frame(0x02, "x"), announced(0x80, limit+MaxSkip)), []byte("x"), BufferSize},
		"the largest length":    {frames(frame(0x02, "x"), announced(0x80, math.MaxInt64)), []byte("x"), BufferSize},
		"compressed, announced": {announced(0xc2, limit+MaxSkip+1), []byte("x"), BufferSize},
		"compressed, overflow":  {frames(frame(0x42, "\x00"), announced(0x80, math.MaxInt64)), []byte("x"), BufferSize},
		"fragments":             {frame(0x02, "x"), frame(0x00, strings.Repeat("x", 1000)), limit + MaxSkip + MaxSkip/100},
		"a bomb":                {frame(0x42, zeros), frame(0x00, zeros), 200 << 10},
		"a bomb in one frame":   {announced(0xc2, 1<<26), []byte(zeros), 200 << 10},
		"compressed, but empty": {frames(frame(0x42, nothing), announced(0x00, limit+MaxSkip)), []byte("x"), 100_000 + BufferSize},
	} {
		t.Run(name, func(t *testing.T) {
			p := &peer{begin: bytes.NewReader(tt.begin), repeated: tt.repeated}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := receiveAll(skipping(p, limit, Agreed{Compressed: true, ServerTakeover: true}))
			runtime.ReadMemStats(&after)
			assert.Equal(t, received{err: &LimitError{limit}}, got)
			assert.LessOrEqual(t, p.read, tt.most)
			if !raceEnabled {
				assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(6*limit), "doubling up to the limit")
			}
		})
	}
	t.Run("the largest one", func(t *testing.T) {
		p := &peer{begin: bytes.NewReader(announced(0x82, limit+MaxSkip)), repeated: make([]byte, 1<<16)}
		c := skipping(p, limit, Agreed{})
		b, err := c.Receive()
		require.NoError(t, err)
		assert.Equal(t, int64(limit+MaxSkip), b.Skipped)
	})
	t.Run("no limit", func(t *testing.T) {
		for _, largest := range []int64{0, math.MaxInt64, math.MaxInt64 - 1} {
			got := receiveAll(skipping(inChunks(text(noise(300_000)), 0), largest, Agreed{}))
			assert.Len(t, got.messages[0].Data, 300_000)
		}
	})
}

// What ends the connection inside a message that is skipped is what it is elsewhere.
func TestTheEndInsideASkippedMessage(t *testing.T) {
	large := noise(1000)
	begun := frame(0x01, large)
	z := newCompressor(false).compress(strings.Repeat("x", 100_000))
	for name, tt := range map[string]struct {
		incoming []byte
		want     error
	}{
		"the connection":   {begun, io.ErrUnexpectedEOF},
		"in a frame":       {text(large)[:500], io.ErrUnexpectedEOF},
		"a close frame":    {frames(begun, frame(0x88, "\x0f\xa0")), &CloseError{4000, ""}},
		"a new message":    {frames(begun, text("x")), protocolError("new message before the end of a fragmented one")},
		"compressed":       {frame(0x41, z), io.ErrUnexpectedEOF},
		"then a close":     {frames(frame(0x41, z), frame(0x88, "\x0f\xa0")), &CloseError{4000, ""}},
		"corrupt":          {frame(0xc1, z+"\xff\xff\xff\xff"), errTruncated},
		"truncated":        {frame(0xc1, z[:len(z)-2]), errTruncated},
		"then another":     {frames(frame(0x41, z), text("x")), protocolError("new message before the end of a fragmented one")},
		"a ping too large": {frames(begun, frame(0x89, large[:126])), invalidNumber("control frame with a payload of more than 125 bytes", 126)},
	} {
		t.Run(name, func(t *testing.T) {
			got := receiveAll(skipping(inChunks(tt.incoming, 0), 100, Agreed{Compressed: true}))
			assert.Empty(t, got.messages)
			if want, ok := tt.want.(*ProtocolError); ok {
				require.IsType(t, want, got.err)
				assert.Equal(t, want.Reason, got.err.(*ProtocolError).Reason)
				return
			}
			assert.Equal(t, tt.want, got.err)
		})
	}
}

// FuzzSkip compares what is received with a limit with what is received without.
func FuzzSkip(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, byte(seed), choices(seed, 100))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mode byte, choices []byte) {
		agreed := []Agreed{{}, {Compressed: true}, {Compressed: true, ServerTakeover: true}}[mode%3]
		limit := []int64{1, 10, 1000, 50_000}[mode/4%4]
		s := randomStream{choices: choices, agreed: agreed, z: newCompressor(agreed.ServerTakeover)}
		s.generate()
		r := seeded(seed)
		body := func() *script {
			return &script{incoming: s.bytes, chunk: func() int { return 1 + r.IntN(1<<r.IntN(17)) }}
		}
		all, got := receiveAll(NewConn(body(), nil, agreed)), receiveAll(skipping(body(), limit, agreed))
		if got.err != all.err {
			if kindOf(got.err).name != "limit" { // announced, and not sent
				require.Equal(t, all.err, got.err)
			}
		}
		var skipped []int64
		for i, m := range all.messages {
			if n := int64(len(m.Data)); n > limit {
				skipped = append(skipped, n)
				all.messages[i].Data = nil
			}
		}
		require.Equal(t, skipped, got.skipped)
		require.Equal(t, all.messages, got.messages)
		require.Equal(t, all.pings, got.pings)
		require.Equal(t, all.pongs, got.pongs)
	})
}
