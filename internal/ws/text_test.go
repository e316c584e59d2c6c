package ws

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// strict returns a Conn that accepts no text that is not UTF-8.
func strict(rw io.ReadWriteCloser, agreed Agreed) *Conn {
	c := NewConn(rw, nil, agreed)
	c.StrictText = true
	return c
}

// Text that is not UTF-8 ends the connection, and any other message is received.
func TestStrictText(t *testing.T) {
	const greek = "κόσμε\U0010ffff"
	long := strings.Repeat(greek, 10_000)
	z := func(s string) string { return newCompressor(false).compress(s) }
	split := func(s string) (all []byte) { // into fragments of one byte
		all = frame(0x01, "")
		for i := range len(s) {
			all = append(all, frame(0x00, s[i:i+1])...)
		}
		return append(all, frame(0x80, "")...)
	}
	for name, tt := range map[string]struct {
		incoming []byte
		want     []Message
		invalid  bool
	}{
		"valid":               {text(greek), texts(greek), false},
		"in fragments":        {split(greek), texts(greek), false},
		"long":                {text(long), texts(long), false},
		"compressed":          {frame(0xc1, z(long)), texts(long), false},
		"binary":              {frame(0x82, "\xff"), []Message{{false, []byte("\xff")}}, false},
		"binary, fragments":   {frames(frame(0x02, "\xff"), frame(0x80, "\xff")), []Message{{false, []byte("\xff\xff")}}, false},
		"binary, compressed":  {frame(0xc2, z("\xff")), []Message{{false, []byte("\xff")}}, false},
		"invalid":             {text("\xff"), nil, true},
		"at the end":          {text(greek + "\xce"), nil, true},
		"fragments":           {frames(frame(0x01, greek+"\xed"), frame(0x80, "\xa0\x80")), nil, true},
		"the last of them":    {frames(frame(0x01, greek+"\xce"), frame(0x00, ""), frame(0x80, "")), nil, true},
		"long and invalid":    {text(long + "\xff" + long), nil, true},
		"long, at the end":    {text(long + "\xce"), nil, true},
		"packed, invalid":     {frame(0xc1, z(long+"\xff"+long)), nil, true},
		"packed, at the end":  {frame(0xc1, z(long+"\xce")), nil, true},
		"packed, one byte":    {frame(0xc1, z("\xce")), nil, true},
		"empty, then invalid": {frames(text(""), text("\xff")), texts(""), true},
	} {
		for _, chunk := range []int{1, 3, 511, 1 << 20, 0} {
			t.Run(fmt.Sprintf("%s in chunks of %d", name, chunk), func(t *testing.T) {
				t.Parallel()
				got := receiveAll(strict(inChunks(frames(tt.incoming, text("after")), chunk), Agreed{Compressed: true}))
				if tt.invalid {
					assert.Equal(t, received{messages: tt.want, err: ErrNotText}, got)
				} else {
					assert.Equal(t, received{messages: slices.Concat(tt.want, texts("after")), err: io.EOF}, got)
				}
			})
		}
	}
}

// A peer learns at once that its text is invalid, and not when it ends the message.
func TestInvalidTextFailsBeforeItsEnd(t *testing.T) {
	z := newCompressor(false).compress("κόσμε\xf4\x90")
	for name, begin := range map[string][]byte{
		"a fragment":         frame(0x01, "κόσμε\xf4\x90"),
		"a frame":            append([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, "κόσμε\xf4\x90"...),
		"a small frame":      append([]byte{0x81, 100}, "κόσμε\xf4\x90"...),
		"the second byte":    frames(frame(0x01, "κόσμε\xf4"), frame(0x00, "\x90")),
		"compressed":         frame(0x41, z+"\x00\x00\xff\xff"),
		"more than a buffer": append([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, "\xff"+strings.Repeat("x", 60_000)...),
	} {
		t.Run(name, func(t *testing.T) {
			stalled := errors.New("it waits for more")
			c := strict(struct {
				io.Reader
				io.WriteCloser
			}{io.MultiReader(inChunks(begin, 0), failing{stalled}), &script{}}, Agreed{Compressed: true})
			assert.Equal(t, received{err: ErrNotText}, receiveAll(c))
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The end of what has arrived is the beginning of a character, or not.
func TestIncomplete(t *testing.T) {
	for tail, want := range map[string]int{
		"": 0, "a": 0, "ä": 0, "\xc3": 1, "\xe4": 1, "\xe4\xbd": 2, "\xf0": 1, "\xf0\x9f": 2, "\xf0\x9f\x98": 3, "\U0001f600": 0,
		"\xff": 0, "\xc0": 0, "\xed\xa0": 0, "\xf4\x90": 0, "\xe0\x80": 0, "\x80": 0, "\x80\x80\x80": 0, "\xf5": 0,
	} {
		for _, head := range []string{"", "x", "世"} {
			assert.Equal(t, want, incomplete([]byte(head+tail)), "%q", head+tail)
		}
	}
}

// FuzzStrictText compares what is received with and without the check.
func FuzzStrictText(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, byte(seed), choices(seed, 100))
	}
	f.Fuzz(func(t *testing.T, seed uint64, mode byte, choices []byte) {
		agreed := []Agreed{{}, {Compressed: true}, {Compressed: true, ServerTakeover: true}}[mode%3]
		s := randomStream{choices: choices, agreed: agreed, z: newCompressor(agreed.ServerTakeover)}
		s.generate()
		r := seeded(seed)
		body := func() *script {
			return &script{incoming: s.bytes, chunk: func() int { return 1 + r.IntN(1<<r.IntN(17)) }}
		}
		all, got := receiveAll(NewConn(body(), nil, agreed)), receiveAll(strict(body(), agreed))
		n := slices.IndexFunc(all.messages, func(m Message) bool { return m.Text && !utf8.Valid(m.Data) })
		switch {
		case n >= 0:
			require.Equal(t, ErrNotText, got.err)
			require.Equal(t, all.messages[:n:n], got.messages[:len(got.messages):len(got.messages)])
		case got.err == error(ErrNotText): // in a message that is not complete
			require.NotEqual(t, io.EOF, all.err)
			require.Equal(t, all.messages, got.messages)
		default:
			require.Equal(t, all, got)
		}
	})
}
