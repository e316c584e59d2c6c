package wechatws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// each is an option of WithUnpack with a function without state.
func each(fn func(m wechatws.Message) ([]wechatws.Message, error)) wechatws.Option {
	return wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) { return fn })
}

func datas(messages []wechatws.Message) (out []string) {
	for _, m := range messages {
		out = append(out, string(m.Data))
	}
	return out
}

// What the function returns is in order, whatever becomes of single messages, and every message
// has one fate.
func TestUnpackedMessagesAreInOrder(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var numbers []int
		c := w.client(append(quiet(), wechatws.WithReadLimit(100), wechatws.WithUnpack(func(connection int) func(wechatws.Message) ([]wechatws.Message, error) {
			numbers = append(numbers, connection)
			return func(m wechatws.Message) ([]wechatws.Message, error) {
				assert.Equal(t, connection, m.Connection)
				assert.Equal(t, time.Now(), m.Received)
				assert.Empty(t, m.Type)
				switch string(m.Data) {
				case "panic":
					panic("oops")
				case "Goexit":
					runtime.Goexit()
				case "none":
					return nil, nil
				case "large":
					return []wechatws.Message{{Data: []byte("before")}, {Data: bytes.Repeat([]byte("x"), 101)}, {Data: bytes.Repeat([]byte("y"), 100)}}, nil
				case "not text":
					return []wechatws.Message{{Data: []byte("\xff")}, {Data: []byte("\xff"), Binary: true}}, nil
				}
				return []wechatws.Message{{Data: m.Data, Binary: m.Binary, Type: "ignored", Connection: 77}}, nil
			}
		}))...)
		c.OnError(func(_ context.Context, err error) {
			c.note(func() {
				var (
					de    *wechatws.DecodeError
					pe    *wechatws.PanicError
					limit *wechatws.ReadLimitError
				)
				text := fmt.Sprint(err)
				switch {
				case errors.As(err, &de):
					text = fmt.Sprintf("%s: %v", de.Data, de.Err)
				case errors.As(err, &pe):
					text = fmt.Sprint(pe.Value)
				case errors.As(err, &limit):
					text = fmt.Sprintf("%d > %d on %d", limit.Size, limit.Limit, limit.Connection)
				}
				c.messages = append(c.messages, wechatws.Message{Data: []byte("error: " + text)})
			}, "")
		})
		c.record().connect()
		conn := w.conn()
		transmit(t, conn, "one", "Goexit", "Goexit", "two", "none", "panic", "large", "not text", "Goexit", "text\xff", []byte("three"))
		w.sleep(0)
		want := []string{
			"one", "error: runtime.Goexit", "error: runtime.Goexit", "two", "error: oops",
			"before", "error: 101 > 100 on 1", strings.Repeat("y", 100), "error: \xff: text is not valid UTF-8", "\xff",
			"error: runtime.Goexit", "error: text\xff: text is not valid UTF-8", "three",
		}
		assert.Equal(t, want, datas(c.messages))
		for _, m := range c.messages {
			assert.Empty(t, m.Type)
			if !strings.HasPrefix(string(m.Data), "error: ") {
				assert.Equal(t, 1, m.Connection)
			}
		}
		s := c.Stats()
		assert.Equal(t, int64(len(want)), s.MessagesIn, "what comes out is counted")
		assert.Equal(t, int64(1), s.Skipped)
		assert.Zero(t, s.Inbox)
		require.NoError(t, conn.Close(1000, ""))
		w.sleep(3 * time.Second)
		assert.Equal(t, []int{1, 2}, numbers, "one function for each connection")
		c.close()
	})
}

// An error is the cause of the connection's end, behind what was unpacked before.
func TestAnErrorOfUnpackEndsTheConnection(t *testing.T) {
	errBroken := errors.New("broken stream")
	code := &wechatws.CloseError{Code: 4001, Reason: "broken stream", Err: errBroken}
	for name, err := range map[string]error{"temporary": errBroken, "permanent": wechatws.Permanent(errBroken), "with a code": code} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), each(func(m wechatws.Message) ([]wechatws.Message, error) {
					if string(m.Data) == "bad" {
						return []wechatws.Message{m}, err
					}
					return []wechatws.Message{m}, nil
				}))...)
				var closed error
				c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { closed = e.Err })
				c.record().connect()
				conn := w.conn()
				require.NoError(t, conn.WriteRaw([]byte("\x81\x04good\x81\x03bad\x81\x04late"))) // in one write: bad ends the connection
				w.sleep(0)
				assert.Equal(t, []string{"good"}, datas(c.messages))
				if name == "with a code" {
					received, reason := conn.CloseCode()
					assert.Equal(t, "4001 broken stream", fmt.Sprint(received, " ", reason))
				}
				require.ErrorIs(t, closed, errBroken)
				if name == "permanent" {
					assert.Equal(t, wechatws.StateFailed, c.State())
				} else {
					assert.Equal(t, wechatws.StateWaiting, c.State())
				}
				c.close()
			})
		})
	}
}

// All of 1,000 messages of one can be received, matched, taken and counted.
func TestManyMessagesOfOne(t *testing.T) {
	const many = 1000
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithUnpack(unpackLines))...)
		setup, matched := 0, 0
		c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			for ; setup < many; setup++ {
				if m, err := o.Receive(ctx); err != nil || string(m.Data) != fmt.Sprintf(`{"a":%d}`, setup) {
					return fmt.Errorf("%s: %w", m.Data, err)
				}
			}
			return nil
		})
		var text strings.Builder
		for i := range many {
			fmt.Fprintf(&text, "{\"a\":%d}\n", i)
		}
		w.srv.OnConn(func(conn *wstest.Conn) { transmit(t, conn, text.String()) })
		c.connect()
		w.sleep(0)
		go func() { time.Sleep(time.Millisecond); transmit(t, w.conn(), text.String()) }()
		_, err := c.Request(t.Context(), "go", func(m wechatws.Message) bool {
			matched++
			return matched == many
		})
		require.NoError(t, err)
		w.sleep(0)
		assert.Equal(t, int64(2*many), c.Stats().MessagesIn)
		assert.Len(t, c.errors(), many-1, "the answer was taken, and so was all that Setup has received")
		c.close()
	})
}

// A buffer of the function may be used again, and OnMessage may retain what it receives.
func TestUnpackMayUseItsBufferAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var buffer []byte
		c := w.client(append(quiet(), each(func(m wechatws.Message) ([]wechatws.Message, error) {
			buffer = append(buffer[:0], m.Data...)
			return []wechatws.Message{{Data: buffer[:1]}, {Data: buffer[1:]}, {Data: m.Data}}, nil
		}))...)
		c.record().connect()
		conn := w.conn()
		var want []string
		for i := range 100 {
			text := fmt.Sprintf("x%d", i)
			transmit(t, conn, text)
			want = append(want, "x", text[1:], text)
		}
		w.sleep(0)
		transmit(t, conn, strings.Repeat("z", 1000))
		w.sleep(0)
		assert.Equal(t, want, datas(c.messages)[:300])
		c.close()
	})
}

// What comes out counts in the inbox, whose bounds hold: the reader waits. Messages of which
// nothing comes out take no room.
func TestUnpackedMessagesAreBounded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		calls, release := 0, make(chan struct{})
		c := w.client(append(quiet(), wechatws.WithoutLiveness(), each(func(m wechatws.Message) ([]wechatws.Message, error) {
			calls++
			switch string(m.Data) {
			case "none":
				return nil, nil
			case "first":
				return []wechatws.Message{m}, nil
			}
			return []wechatws.Message{{Data: bytes.Repeat([]byte("x"), 1<<19), Binary: true}}, nil
		}))...)
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		conn := w.conn()
		transmit(t, conn, "first")
		w.sleep(0)
		for range 5000 {
			transmit(t, conn, "none")
		}
		w.sleep(0)
		assert.Equal(t, 1, c.Stats().Inbox)
		assert.Equal(t, 5001, calls)
		go func() {
			for range 1000 {
				_ = conn.Send("large")
			}
		}()
		w.sleep(time.Minute)
		assert.LessOrEqual(t, c.Stats().Inbox, 600, "4 MiB, and one batch")
		assert.GreaterOrEqual(t, c.Stats().Inbox, 8)
		close(release)
		w.sleep(0)
		c.close()
	})
}

// During setup messages of which nothing comes out neither end the attempt nor are kept.
func TestSetupReceivesWhatWasUnpacked(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), each(func(m wechatws.Message) ([]wechatws.Message, error) {
			if string(m.Data) == "none" {
				return nil, nil
			}
			return []wechatws.Message{{Data: append([]byte("unpacked "), m.Data...)}}, nil
		}), wechatws.WithoutReconnect())...)
		var got string
		c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			m, err := o.Receive(ctx)
			got = string(m.Data)
			return err
		})
		w.srv.OnConn(func(conn *wstest.Conn) {
			for range 3000 {
				transmit(t, conn, "none")
			}
			transmit(t, conn, "hello")
		})
		c.connect()
		assert.Equal(t, "unpacked hello", got)
		c.close()
	})
}

// A function that fails while a connection is set up is the attempt's failure; one without a
// function to unpack with as well.
func TestUnpackFailsAnAttempt(t *testing.T) {
	for name, tt := range map[string]struct {
		fn   func(int) func(wechatws.Message) ([]wechatws.Message, error)
		want string
	}{
		"nil":    {func(int) func(wechatws.Message) ([]wechatws.Message, error) { return nil }, "wechatws: setup: function of WithUnpack: it returned nil instead of a function"},
		"panic":  {func(int) func(wechatws.Message) ([]wechatws.Message, error) { panic("oops") }, "wechatws: setup: function of WithUnpack: panic in a function of the program: oops"},
		"Goexit": {func(int) func(wechatws.Message) ([]wechatws.Message, error) { runtime.Goexit(); return nil }, "wechatws: setup: function of WithUnpack: panic in a function of the program: runtime.Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				calls := 0
				c := w.client(append(quiet(), wechatws.WithUnpack(func(n int) func(wechatws.Message) ([]wechatws.Message, error) {
					if calls++; calls == 1 {
						return tt.fn(n)
					}
					return unpackLines(n)
				}))...)
				c.connect()
				require.Len(t, c.errors(), 1)
				var de *wechatws.DialError
				require.ErrorAs(t, c.errors()[0], &de)
				assert.Equal(t, "setup", string(de.Phase))
				t.Log(de)
				assert.Equal(t, 3*time.Second, w.since())
				c.close()
			})
		})
	}
}

// A function of WithTypeFunc that panics costs a message its type, and nothing else.
func TestAPanicOfTypeFuncCostsTheType(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		calls := 0
		c := w.client(append(quiet(), wechatws.WithTypeFunc(func(m wechatws.Message) string {
			calls++
			switch string(m.Data) {
			case "panic":
				panic("oops")
			case "Goexit":
				runtime.Goexit()
			}
			return string(m.Data)
		}))...)
		var unknown []string
		remove := c.OnUnknown(func(_ context.Context, m wechatws.Message) { unknown = append(unknown, m.Type+":"+string(m.Data)) })
		c.connect()
		conn := w.conn()
		texts := []any{"a", "panic", "Goexit", "Goexit", "b", "panic", "text\xff", []byte{0xff}}
		transmit(t, conn, texts...)
		w.sleep(0)
		assert.Equal(t, []string{"a:a", ":panic", ":Goexit", ":Goexit", "b:b", ":panic", "\xff:\xff"}, unknown)
		assert.Equal(t, 7, calls, "once with each message, and not with text that is none")
		require.Len(t, c.errors(), 5)
		remove()
		transmit(t, conn, texts...)
		w.sleep(0)
		assert.Len(t, c.errors(), 10, "a panic is reported once, also if nothing takes the message")
		c.close()
	})
}

// What comes out waits for room in the inbox, one message that has arrived at a time.
func TestUnpackedMessagesWaitForTheInbox(t *testing.T) {
	const each = 500
	virtual(t, func(t *testing.T, w *world) {
		out := make([]wechatws.Message, each)
		for i := range out {
			out[i].Data = []byte(`{}`)
		}
		unpacked := 0
		c := w.client(append(quiet(), wechatws.WithUnpack(func(int) func(wechatws.Message) ([]wechatws.Message, error) {
			return func(wechatws.Message) ([]wechatws.Message, error) { unpacked++; return out, nil }
		}))...)
		release := make(chan struct{})
		received := 0
		c.OnMessage(func(context.Context, wechatws.Message) { <-release; received++ })
		c.connect()
		conn := w.conn()
		for range 200 {
			transmit(t, conn, "x")
		}
		w.sleep(time.Minute)
		assert.LessOrEqual(t, c.Stats().Inbox, 1024+each)
		assert.LessOrEqual(t, unpacked, 4)
		close(release)
		w.sleep(time.Minute)
		assert.Equal(t, 200*each, received)
		c.close()
	})
}
