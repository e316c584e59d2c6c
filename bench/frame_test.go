package main

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// Frames of every length form, masked and not, come out as they went in, however
// the stream is cut.
func TestFrames(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 127, 1000, 65535, 65536, 70000} {
		payload := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		stream = appendFrame(stream, opText, payload)
		stream = appendMasked(stream, opText, payload)
		want = append(want, payload, payload)
	}
	for name, r := range map[string]io.Reader{
		"whole":        bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"in halves":    iotest.HalfReader(bytes.NewReader(stream)),
	} {
		frames := newFrameReader(r, 70_100)
		for i, payload := range want {
			op, got, err := frames.next()
			require.NoError(t, err, name)
			require.EqualValues(t, opText, op)
			require.True(t, bytes.Equal(payload, got), "%s: frame %d", name, i)
		}
		_, _, err := frames.next()
		require.ErrorIs(t, err, io.EOF, name)
	}
}

func TestFrameTooLarge(t *testing.T) {
	_, _, err := newFrameReader(bytes.NewReader(appendFrame(nil, opText, make([]byte, 100))), 50).next()
	require.ErrorIs(t, err, errFrameTooLarge)
}

func TestOutboundNumbers(t *testing.T) {
	messages, want := outbound(1000)
	require.Len(t, messages[0], 59)
	require.Len(t, parcel, 60)
	sum := 0
	for _, m := range messages {
		n, ok := outboundNumber(m)
		require.True(t, ok)
		sum += n
	}
	require.Equal(t, want, sum)
	_, ok := outboundNumber([]byte(howMany))
	require.False(t, ok)
	_, ok = outboundNumber(heartbeat)
	require.False(t, ok)
}
