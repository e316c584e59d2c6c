package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReceive(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	for name, tc := range map[string]struct {
		incoming []byte
		want     received
	}{
		"nothing":        {nil, received{err: io.EOF}},
		"a message":      {text("hello"), received{messages: texts("hello"), err: io.EOF}},
		"an empty one":   {text(""), received{messages: texts(""), err: io.EOF}},
		"binary":         {frame(0x82, "\xff"), received{messages: []Message{{false, []byte("\xff")}}, err: io.EOF}},
		"several":        {frames(text("a"), text("b"), text("c")), received{messages: texts("a", "b", "c"), err: io.EOF}},
		"sizes":          {frames(text(large[:125]), text(large[:126]), text(large[:65535]), text(large[:65536])), received{messages: texts(large[:125], large[:126], large[:65535], large[:65536]), err: io.EOF}},
		"large":          {frames(text("before"), text(large), text("after")), received{messages: texts("before", large, "after"), err: io.EOF}},
		"two fragments":  {frames(frame(0x01, "Hel"), frame(0x80, "lo")), received{messages: texts("Hello"), err: io.EOF}},
		"empty ones":     {frames(frame(0x01, ""), frame(0x00, ""), frame(0x80, "")), received{messages: texts(""), err: io.EOF}},
		"large ones":     {frames(frame(0x01, large), frame(0x00, large), frame(0x80, "")), received{messages: texts(large + large), err: io.EOF}},
		"ping and pong":  {frames(frame(0x89, "ping"), frame(0x8a, "")), received{pings: []string{"ping"}, pongs: []string{""}, err: io.EOF}},
		"ping of 125":    {frame(0x89, large[:125]), received{pings: []string{large[:125]}, err: io.EOF}},
		"ping inside":    {frames(frame(0x01, "a"), frame(0x89, "1"), frame(0x89, "2"), frame(0x80, "b")), received{messages: texts("ab"), pings: []string{"1", "2"}, err: io.EOF}},
		"ping between":   {frames(text("a"), frame(0x89, "1"), text("b")), received{messages: texts("a", "b"), pings: []string{"1"}, err: io.EOF}},
		"long lengths":   {frames([]byte{0x81, 126, 0, 1, 'a'}, []byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'b'}), received{messages: texts("a", "b"), err: io.EOF}},
		"no UTF-8":       {text("\xff"), received{messages: texts("\xff"), err: io.EOF}},
		"a close":        {frames(text("a"), frame(0x88, "\x03\xe8bye"), text("b")), received{messages: texts("a"), err: &CloseError{1000, "bye"}}},
		"no code":        {frame(0x88, ""), received{err: &CloseError{1005, ""}}},
		"close inside":   {frames(frame(0x01, "a"), frame(0x88, "\x03\xe9")), received{err: &CloseError{1001, ""}}},
		"cut header":     {[]byte{0x81}, received{err: io.ErrUnexpectedEOF}},
		"cut payload":    {text("hello")[:4], received{err: io.ErrUnexpectedEOF}},
		"cut large":      {text(large)[:100_000], received{err: io.ErrUnexpectedEOF}},
		"cut fragments":  {frame(0x01, "Hel"), received{err: io.ErrUnexpectedEOF}},
		"cut after some": {frames(text("a"), []byte{0x81, 5, 'b'}), received{messages: texts("a"), err: io.ErrUnexpectedEOF}},
	} {
		for _, chunk := range []int{1, 2, 3, 7, 511, 1 << 20, 0} {
			t.Run(fmt.Sprintf("%s in chunks of %d", name, chunk), func(t *testing.T) {
				t.Parallel()
				c := NewConn(inChunks(tc.incoming, chunk), nil, Agreed{})
				assert.Equal(t, tc.want, receiveAll(c))
				_, err := c.Receive()
				assert.Equal(t, tc.want.err, err, "errors are final")
				assert.False(t, c.Partial())
			})
		}
	}
}

func TestInvalidFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		incoming []byte
		code     int
	}{
		"RSV1 without compression":   {frame(0xc1, "a"), 1002},
		"RSV2":                       {frame(0xa1, "a"), 1002},
		"RSV3":                       {frame(0x91, "a"), 1002},
		"RSV1 on a ping":             {frame(0xc9, ""), 1002},
		"opcode 3":                   {frame(0x83, "a"), 1002},
		"opcode 7":                   {frame(0x87, "a"), 1002},
		"opcode 11":                  {frame(0x8b, ""), 1002},
		"opcode 15":                  {frame(0x8f, ""), 1002},
		"masked":                     {[]byte{0x81, 0x81, 0, 0, 0, 0, 'a'}, 1002},
		"masked ping":                {[]byte{0x89, 0x80, 0, 0, 0, 0}, 1002},
		"ping of 126":                {frame(0x89, strings.Repeat("a", 126)), 1002},
		"fragmented ping":            {frame(0x09, ""), 1002},
		"fragmented close":           {frame(0x08, "\x03\xe8"), 1002},
		"continuation of nothing":    {frame(0x80, "a"), 1002},
		"and not the last":           {frame(0x00, "a"), 1002},
		"new text inside":            {frames(frame(0x01, "a"), text("b")), 1002},
		"new binary inside":          {frames(frame(0x01, "a"), frame(0x02, "b")), 1002},
		"RSV1 inside":                {frames(frame(0x01, "a"), frame(0xc0, "b")), 1002},
		"opcode 3 inside":            {frames(frame(0x01, "a"), frame(0x83, "b")), 1002},
		"length of 64 bits":          {[]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 1002},
		"close of one byte":          {frame(0x88, "\x03"), 1002},
		"close of 126":               {frame(0x88, "\x03\xe8"+strings.Repeat("a", 124)), 1002},
		"a message, and then a ping": {frame(0x09, strings.Repeat("a", 125)), 1002},
	} {
		for _, chunk := range []int{1, 1 << 20} {
			t.Run(fmt.Sprintf("%s in chunks of %d", name, chunk), func(t *testing.T) {
				got := receiveAll(NewConn(inChunks(frames(text("first"), tc.incoming, text("never")), chunk), nil, Agreed{}))
				assert.Equal(t, texts("first"), got.messages, "those before the error")
				var pe *ProtocolError
				require.ErrorAs(t, got.err, &pe)
				assert.Equal(t, tc.code, pe.Code)
				assert.NotEmpty(t, pe.Error())

				got = receiveAll(NewConn(inChunks(frames(tc.incoming, text("never")), chunk), nil, Agreed{}))
				assert.Empty(t, got.messages)
				assert.Equal(t, pe, got.err)
			})
		}
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	valid := func(code int) bool {
		switch code {
		case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
			return true
		}
		return 3000 <= code && code < 5000
	}
	for code := range 1 << 16 {
		err := receiveAll(NewConn(inChunks(frame(0x88, string([]byte{byte(code >> 8), byte(code)})), 10), nil, Agreed{})).err
		if valid(code) {
			require.Equal(t, &CloseError{code, ""}, err)
		} else {
			var pe *ProtocolError
			require.ErrorAs(t, err, &pe, code)
			require.Equal(t, 1002, pe.Code)
		}
		require.Equal(t, valid(code) || code == 1005, NewConn(inChunks(nil, 1), nil, Agreed{}).AppendClose(code, "") == nil, code)
	}
}

// A reader may return bytes and an error at once.
func TestBytesAlongWithAnError(t *testing.T) {
	last := iotest.DataErrReader(bytes.NewReader(text("the last message")))
	c := NewConn(struct {
		io.Reader
		io.WriteCloser
	}{last, &script{}}, nil, Agreed{})
	assert.Equal(t, received{messages: texts("the last message"), err: io.EOF}, receiveAll(c))
}

func TestReadLimit(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	for _, tc := range []struct {
		limit    int64
		incoming []byte
		fits     bool
	}{
		{5, text("12345"), true},
		{5, text("123456"), false},
		{5, frames(frame(0x01, "123"), frame(0x80, "45")), true},
		{5, frames(frame(0x01, "123"), frame(0x80, "456")), false},
		{5, frames(frame(0x01, "12345"), frame(0x80, "")), true},
		{199_999, text(large), false},
		{200_000, text(large), true},
		{math.MaxInt64, text(large), true},
		{math.MaxInt64, frames(frame(0x01, large), frame(0x80, large)), true},
		{0, text(large), true},
		{5, []byte{0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{5, frames(frame(0x01, "1"), []byte{0x80, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), false},
	} {
		c := NewConn(inChunks(tc.incoming, 0), nil, Agreed{})
		c.ReadLimit = tc.limit
		got := receiveAll(c)
		if tc.fits {
			assert.Equal(t, io.EOF, got.err)
			assert.Len(t, got.messages, 1)
		} else {
			assert.Equal(t, &LimitError{tc.limit}, got.err)
			assert.Empty(t, got.messages)
		}
	}
}

// A peer that announces much and sends little must not make the client allocate much.
func TestMemoryFollowsWhatHasArrived(t *testing.T) {
	for name, begin := range map[string][]byte{
		"one frame":   {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a fragment":  {0x02, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"no fragment": {0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			incoming := append(begin, make([]byte, 1<<20)...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := receiveAll(NewConn(inChunks(incoming, 4096), nil, Agreed{}))
			runtime.ReadMemStats(&after)
			assert.Equal(t, io.ErrUnexpectedEOF, got.err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(5<<20), "doubling: 2+1+1/2+…, and the buffers")
		})
	}
}

// Fragments of one byte take linear time and memory.
func TestManySmallFragments(t *testing.T) {
	incoming := frame(0x01, "")
	const n = 1 << 20
	for range n {
		incoming = append(incoming, 0x00, 1, 'x')
	}
	incoming = append(incoming, 0x80, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := receiveAll(NewConn(inChunks(incoming, 1<<20), nil, Agreed{}))
	runtime.ReadMemStats(&after)
	require.Len(t, got.messages, 1)
	assert.Len(t, got.messages[0].Data, n)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*n))
}

func TestBatches(t *testing.T) {
	var incoming []byte
	for range 1000 {
		incoming = append(incoming, text("")...)
	}
	incoming = append(incoming, text(strings.Repeat("x", 70_000))...)
	c := NewConn(inChunks(incoming, 1<<20), nil, Agreed{})
	total := 0
	for total < 1000 {
		b, err := c.Receive()
		require.NoError(t, err)
		assert.LessOrEqual(t, len(b.Messages), 256)
		assert.True(t, b.Reused())
		total += len(b.Messages)
		b.Release()
	}
	b, err := c.Receive()
	require.NoError(t, err)
	assert.False(t, b.Reused(), "a large message has memory of its own")
	assert.Len(t, b.Messages[0].Data, 70_000)
	b.Release()
	assert.Len(t, b.Messages[0].Data, 70_000)
}

// No buffer but the small one is held while nothing arrives.
func TestAnIdleConnectionHoldsNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := io.Pipe()
		c := NewConn(struct {
			io.Reader
			io.WriteCloser
		}{client, server}, nil, Agreed{})
		go func() {
			for b, err := c.Receive(); err == nil; b, err = c.Receive() {
				b.Release()
			}
		}()
		large := text(strings.Repeat("x", 60_000))
		for range 3 {
			_, err := server.Write(large)
			require.NoError(t, err)
		}
		_, err := server.Write(large[:1000])
		require.NoError(t, err)
		synctest.Wait()
		assert.NotNil(t, c.large, "in a message")
		_, err = server.Write(large[1000:])
		require.NoError(t, err)
		_, err = server.Write(text("a")) // a read that is a small one
		require.NoError(t, err)
		synctest.Wait()
		assert.Nil(t, c.large)
		server.Close()
		synctest.Wait()
	})
}

func TestPartial(t *testing.T) {
	client, server := io.Pipe()
	c := NewConn(struct {
		io.Reader
		io.WriteCloser
	}{client, server}, nil, Agreed{})
	received := make(chan error)
	go func() {
		for {
			_, err := c.Receive()
			received <- err
			if err != nil {
				return
			}
		}
	}()
	write := func(p []byte) {
		_, err := server.Write(p)
		require.NoError(t, err)
		_, err = server.Write(nil) // returns when the reader reads again
		require.NoError(t, err)
	}
	write(text("hello")[:3])
	assert.True(t, c.Partial(), "in a frame")
	go server.Write(text("hello")[3:])
	require.NoError(t, <-received)
	assert.False(t, c.Partial())
	write(frame(0x01, "a"))
	assert.True(t, c.Partial(), "between fragments")
	server.Close()
	require.True(t, errors.Is(<-received, io.ErrUnexpectedEOF))
	assert.False(t, c.Partial())
}
