package wechatws_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

func TestTheLargestReadLimitIsNone(t *testing.T) {
	for name, options := range map[string][]wechatws.Option{"own": nil, "library": {wechatws.WithDialer(coder.Dialer{})}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				options := append(append(quiet(), options...), wechatws.WithReadLimit(math.MaxInt64))
				c := w.client(options...).record().connect()
				defer func() { _ = c.CloseNow() }()
				conn := w.conn()
				small := `{"msg_type":"x"}`
				large := `{"msg_type":"x","pad":"` + strings.Repeat("x", 3<<20) + `"}`
				_ = conn.Send(small)
				_ = conn.Send(large)
				w.sleep(time.Second)
				got := c.texts()
				require.Len(t, got, 2)
				assert.Equal(t, small, got[0])
				assert.True(t, large == got[1], "%d bytes of %d", len(got[1]), len(large))
				assert.Equal(t, wechatws.StateOpen, c.State())
			})
		})
	}
}

// A message is delivered whole up to the read limit, of which the largest is none: in one frame or
// in fragments, compressed or not, by each transport.
func TestTheReadLimitIsExact(t *testing.T) {
	const size = 100_025
	text := `{"msg_type":"x","pad":"` + strings.Repeat("x", size-25) + `"}`
	require.Len(t, text, size)
	compression := []wechatws.Option{wechatws.WithCompression()}
	for name, tt := range map[string]struct {
		options []wechatws.Option
		send    func(conn *wstest.Conn) error
	}{
		"one frame":          {nil, func(c *wstest.Conn) error { return c.Send(text) }},
		"compressed":         {compression, func(c *wstest.Conn) error { return c.Send(text) }},
		"coder":              {[]wechatws.Option{wechatws.WithDialer(coder.Dialer{})}, func(c *wstest.Conn) error { return c.Send(text) }},
		"coder, compressed":  {append(compression, wechatws.WithDialer(coder.Dialer{})), func(c *wstest.Conn) error { return c.Send(text) }},
		"nhooyr":             {[]wechatws.Option{wechatws.WithDialer(nhooyr.Dialer{})}, func(c *wstest.Conn) error { return c.Send(text) }},
		"a user's transport": {[]wechatws.Option{wechatws.WithDialer(enteringDialer{"", func(context.Context) {}})}, func(c *wstest.Conn) error { return c.Send(text) }},
		"fragments":          {nil, func(c *wstest.Conn) error { return c.WriteRaw(fragments(text)) }},
		"fragments, coder":   {[]wechatws.Option{wechatws.WithDialer(coder.Dialer{})}, func(c *wstest.Conn) error { return c.WriteRaw(fragments(text)) }},
	} {
		for limit, whole := range map[int64]bool{math.MaxInt64: true, math.MaxInt64 - 1: true, size: true, size - 1: false, 1: false} {
			t.Run(fmt.Sprint(name, "/", limit), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
					options := append(append(quiet(), tt.options...), wechatws.WithReadLimit(limit))
					c := w.client(options...).record().connect()
					defer func() { _ = c.CloseNow() }()
					go func() { _ = tt.send(w.conn()) }()
					w.sleep(time.Second)
					if !whole {
						assert.Empty(t, c.texts())
						assert.ErrorAs(t, c.lastClose().Err, new(*wechatws.ReadLimitError))
						return
					}
					require.Len(t, c.texts(), 1)
					assert.True(t, text == c.texts()[0], "%d bytes of %d", len(c.texts()[0]), size)
					assert.Equal(t, wechatws.StateOpen, c.State())
				})
			})
		}
	}
}

// fragments returns the frames of a text message in fragments of 1000 bytes.
func fragments(text string) (frames []byte) {
	for first := byte(1); text != ""; first = 0 {
		part := text[:min(1000, len(text))]
		if text = text[len(part):]; text == "" {
			first |= 0x80
		}
		frames = append(frames, first, 126, byte(len(part)>>8), byte(len(part)))
		frames = append(frames, part...)
	}
	return frames
}
