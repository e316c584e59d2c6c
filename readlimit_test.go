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
					assert.Equal(t, wechatws.StateOpen, c.State())
					if !whole {
						assert.Empty(t, c.texts())
						assert.Equal(t, []error{&wechatws.ReadLimitError{Limit: limit, Size: size, Connection: 1}}, c.errors())
						return
					}
					require.Len(t, c.texts(), 1)
					assert.True(t, text == c.texts()[0], "%d bytes of %d", len(c.texts()[0]), size)
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

// readers are the transports that read, and so skip.
var readers = map[string][]wechatws.Option{
	"own":    nil,
	"coder":  {wechatws.WithDialer(coder.Dialer{})},
	"nhooyr": {wechatws.WithDialer(nhooyr.Dialer{})},
}

// A message above the read limit is skipped, and reported in its place among the callbacks. The
// messages around it arrive, on the same connection.
func TestAMessageAboveTheReadLimitIsSkipped(t *testing.T) {
	const limit, size = 1 << 20, 2 << 20
	large := strings.Repeat("x", size)
	for transport, options := range readers {
		for name, send := range map[string]func(c *wstest.Conn) error{
			"one frame":  func(c *wstest.Conn) error { return c.WriteRaw([]byte(frame(fin|1, large))) },
			"binary":     func(c *wstest.Conn) error { return c.SendBinary([]byte(large)) },
			"compressed": func(c *wstest.Conn) error { return c.Send(large) },
			"fragments":  func(c *wstest.Conn) error { return c.WriteRaw(fragments(large)) },
			"a ping in its midst": func(c *wstest.Conn) error {
				return c.WriteRaw([]byte(frame(1, large) + frame(fin|9, "p") + frame(fin, "")))
			},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
					c := w.client(append(append(quiet(), wechatws.WithCompression()), options...)...).record().connect()
					conn := w.conn()
					require.NoError(t, conn.Send("1"))
					require.NoError(t, send(conn))
					require.NoError(t, conn.Send("2"))
					w.sleep(0)
					assert.Equal(t, []string{"1", "2"}, c.texts())
					assert.Equal(t, []error{&wechatws.ReadLimitError{Limit: limit, Size: size, Connection: 1}}, c.errors())
					assert.EqualError(t, c.errors()[0], "wechatws: message of 2097152 bytes is larger than the read limit of 1048576 bytes; raise it with WithReadLimit")
					events := c.events()
					assert.Equal(t, []string{"open", "message 1", "error", "message 2"}, events[len(events)-4:])
					s := c.Stats()
					assert.Equal(t, []int64{3, size + 2, 1}, []int64{s.MessagesIn, s.BytesIn, s.Skipped})
					assert.Equal(t, wechatws.StateOpen, s.State)
					assert.Zero(t, s.Inbox)
					assert.Empty(t, c.ends())
					c.close()
				})
			})
		}
	}
}

// A server that sends a large message first is no outage.
func TestALargeFirstMessageIsNoOutage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(conn *wstest.Conn) {
			_ = conn.Send(strings.Repeat("x", 2_000_000))
			_ = conn.Send(`{"msg_type":"x"}`)
		})
		c := w.client().record().connect()
		w.sleep(time.Minute)
		assert.Len(t, w.srv.Conns(), 1)
		assert.Len(t, c.errors(), 1)
		assert.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		c.close()
	})
}

// With the option, it ends the connection, and the server receives why.
func TestAMessageAboveTheReadLimitEndsTheConnection(t *testing.T) {
	for transport, options := range readers {
		t.Run(transport, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				options := append(append(quiet(), options...), wechatws.WithReadLimit(1000), wechatws.WithStrict())
				c := w.client(options...).record().connect()
				conn := w.conn()
				require.NoError(t, conn.Send(strings.Repeat("x", 1000)))
				_ = conn.Send(strings.Repeat("x", 1001))
				w.sleep(2 * time.Second)
				assert.Len(t, c.texts(), 1)
				e := c.lastClose()
				assert.Equal(t, wechatws.StatusMessageTooBig, e.Code)
				assert.Equal(t, &wechatws.CloseError{Code: 1009, Err: &wechatws.ReadLimitError{Limit: 1000, Connection: 1}}, e.Err)
				assert.EqualError(t, e.Err, "wechatws: connection ended: close code 1009 (message too big): message is larger than the read limit of 1000 bytes; raise it with WithReadLimit")
				code, reason := conn.CloseCode()
				assert.Equal(t, 1009, code)
				assert.Equal(t, "message exceeds the read limit", reason)
				assert.Empty(t, c.errors())
				assert.Equal(t, 1, c.Stats().Disconnects.Protocol)
				w.sleep(3 * time.Second)
				assert.Equal(t, wechatws.StateOpen, c.State(), "a temporary failure")
				c.close()
			})
		})
	}
}

// No function but OnError's is called with a message that was skipped.
func TestASkippedMessageReachesNothingElse(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		heartbeat := wechatws.Heartbeat{Interval: time.Second, Pong: func(m wechatws.Message) bool {
			assert.NotEmpty(t, m.Data, "Pong")
			return string(m.Data) == "pong"
		}}
		c := w.client(wechatws.WithReadLimit(10), wechatws.WithHeartbeat(heartbeat)).record()
		c.OnUnknown(func(_ context.Context, m wechatws.Message) { assert.NotEmpty(t, m.Data, "OnUnknown") })
		large := strings.Repeat("x", 11)
		w.srv.OnConn(func(conn *wstest.Conn) {
			_ = conn.Send(large)
			_ = conn.Send("welcome")
		})
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			m, err := o.Receive(ctx)
			assert.Equal(t, "welcome", string(m.Data))
			return err
		})
		c.connect()
		w.sleep(0)
		require.Len(t, c.errors(), 1, "also during the setup")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn := w.conn()
		go func() {
			time.Sleep(500 * time.Millisecond)
			_ = conn.Send(large)
			_ = conn.Send("pong")
		}()
		_, err := c.Request(ctx, "ask", func(m wechatws.Message) bool {
			assert.NotEmpty(t, m.Data, "Request")
			return false
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"welcome"}, c.texts())
		assert.Len(t, c.errors(), 2)
		assert.Equal(t, int64(2), c.Stats().Skipped)
		c.close()
	})
}

// A function of AfterConnect that waits for a message above the limit fails, and the reason is reported.
func TestAMessageSkippedInAFailedAttemptIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(conn *wstest.Conn) {
			_ = conn.Send("welcome, " + strings.Repeat("x", 10))
			_ = conn.Send(strings.Repeat("x", 30))
		})
		c := w.client(append(quiet(), wechatws.WithReadLimit(10))...)
		attempt := 0
		c.AfterConnect(5*time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			if attempt++; attempt == 2 {
				return nil
			}
			_, err := o.Receive(ctx)
			return err
		})
		c.connect()
		w.sleep(time.Second)
		var errs []string
		for _, err := range c.errors() {
			errs = append(errs, err.Error())
		}
		const above = "wechatws: message of %d bytes is larger than the read limit of 10 bytes; raise it with WithReadLimit"
		assert.Equal(t, []string{
			fmt.Sprintf(above, 19), "wechatws: setup: not done within 5s: context deadline exceeded",
			fmt.Sprintf(above, 19), fmt.Sprintf(above, 30),
		}, errs)
		c.close()
	})
}

// The bytes of a message that is skipped are signs of life, as those of any other.
func TestASkippedMessageIsLife(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithReadLimit(1000)).record().connect()
		conn := w.conn()
		conn.IgnorePings(true)                                        // a pong would be a part of the frame
		require.NoError(t, conn.WriteRaw([]byte("\x81\x7e\x04\x00"))) // 1 KiB
		for range 128 {
			w.sleep(9 * time.Second)
			require.NoError(t, conn.WriteRaw([]byte("12345678")))
		}
		w.sleep(0)
		assert.Empty(t, c.ends())
		assert.Len(t, c.errors(), 1)

		require.NoError(t, conn.WriteRaw([]byte("\x81\x7e\x04\x00")))
		w.sleep(21 * time.Second)
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		c.close()
	})
}

// Errors about messages that were skipped wait for the callbacks as messages do: within bounds.
func TestAFloodOfLargeMessagesWaits(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithReadLimit(1))...)
		reports, goOn := 0, make(chan struct{})
		c.OnError(func(context.Context, error) { <-goOn; reports++ })
		c.connect()
		conn := w.conn()
		go func() { _ = conn.WriteRaw([]byte(strings.Repeat(frame(fin|1, "xx"), 100_000))) }()
		w.sleep(time.Minute)
		assert.Equal(t, 1024, c.Stats().Inbox)
		close(goOn)
		w.sleep(0)
		assert.Equal(t, 100_000, reports)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}
