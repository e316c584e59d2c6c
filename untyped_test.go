package wechatws_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// untyped is JSON without a type that messages could be routed by.
var untyped = []string{`{"id":1}`, `{"msg_type":null}`, `{"msg_type":{}}`, `{"msg_type":["x"]}`, `[1]`, `"x"`, `7`, `null`, `{}`}

func TestNumbersAndBooleansAreTypes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTypeField("op"))...)
		var got []string
		for _, typ := range []string{"4", "-1.50e+3", "true", "false", "9007199254740993"} {
			wechatws.On(c.Client, typ, func(_ context.Context, m wechatws.Message) { got = append(got, m.Type+" "+string(m.Data)) })
		}
		c.OnUnknown(func(_ context.Context, m wechatws.Message) { got = append(got, "unknown "+m.Type) })
		c.connect()
		conn := w.conn()
		for _, text := range []string{
			`{"op":4,"d":{}}`, `{"op":"4"}`, `{ "d":{"op":5} , "op" : 4 }`, `{"op":-1.50e+3}`, `{"op":true}`, `{"op":false}`,
			`{"op":9007199254740993}`, `{"op":5}`, `{"op":4.0}`,
		} {
			require.NoError(t, conn.Send(text))
		}
		w.sleep(0)
		assert.Equal(t, []string{
			`4 {"op":4,"d":{}}`, `4 {"op":"4"}`, `4 { "d":{"op":5} , "op" : 4 }`, `-1.50e+3 {"op":-1.50e+3}`, `true {"op":true}`, `false {"op":false}`,
			`9007199254740993 {"op":9007199254740993}`, "unknown 5", "unknown 4.0",
		}, got)
		assert.Empty(t, c.errors())
		c.close()
	})
}

func TestMessagesWithoutATypeAreTaken(t *testing.T) {
	for name, take := range map[string]func(c *client, take func(wechatws.Message)){
		"by OnUnknown": func(c *client, take func(wechatws.Message)) {
			c.OnUnknown(func(_ context.Context, m wechatws.Message) { take(m) })
		},
		"by OnMessage": func(c *client, take func(wechatws.Message)) {
			c.OnMessage(func(_ context.Context, m wechatws.Message) { take(m) })
		},
		"by Messages": func(c *client, take func(wechatws.Message)) {
			go func() {
				for m, err := range c.Messages(c.t.Context()) {
					if err == nil {
						take(m)
					}
				}
			}()
			synctest.Wait() // the loop has begun
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {})
				var got []string
				take(c, func(m wechatws.Message) {
					assert.Empty(t, m.Type)
					got = append(got, string(m.Data))
				})
				c.connect()
				conn := w.conn()
				for _, text := range untyped {
					require.NoError(t, conn.Send(text))
				}
				w.sleep(0)
				assert.Equal(t, untyped, got)
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
	t.Run("by nothing", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {})
			c.connect()
			conn := w.conn()
			for _, text := range untyped {
				require.NoError(t, conn.Send(text))
			}
			w.sleep(0)
			require.Len(t, c.errors(), len(untyped))
			for i, err := range c.errors() {
				var de *wechatws.DecodeError
				require.ErrorAs(t, err, &de)
				assert.ErrorIs(t, err, wechatws.ErrNoType)
				assert.Equal(t, untyped[i], string(de.Data))
			}
			c.close()
		})
	})
}

// OnUnknown takes JSON. What cannot be JSON is damage, unless something asks for it.
func TestOnUnknownDoesNotHideWhatIsNoJSON(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.OnUnknown(func(_ context.Context, m wechatws.Message) { t.Errorf("called with %q", m.Data) })
		c.connect()
		conn := w.conn()
		for _, text := range []string{`hello`, `{"msg_type":"x"`, `{"msg_type":{`, `{"id":1`, `{"msg_type":4x}`, `{"msg_type":12`} {
			require.NoError(t, conn.Send(text))
		}
		require.NoError(t, conn.SendBinary([]byte(`{"msg_type":"x"}`)))
		w.sleep(0)
		require.Len(t, c.errors(), 7)
		for _, err := range c.errors()[:6] {
			assert.ErrorIs(t, err, wechatws.ErrNotJSON)
		}
		assert.ErrorIs(t, c.errors()[6], wechatws.ErrBinary)
		c.close()
	})
}

// As in JSON-RPC: events have a type, answers have an id.
func TestAnAnswerThatARequestHasTakenIsNoError(t *testing.T) {
	for name, answer := range map[string]func(*wstest.Conn, int) error{
		"JSON":       func(c *wstest.Conn, n int) error { return c.Send(fmt.Sprintf(`{"id":%d}`, n)) },
		"other text": func(c *wstest.Conn, n int) error { return c.Send(fmt.Sprintf("id %d", n)) },
		"binary":     func(c *wstest.Conn, n int) error { return c.SendBinary(fmt.Appendf(nil, "id %d", n)) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				wechatws.On(c.Client, "event", func(context.Context, wechatws.Message) {})
				c.connect()
				conn := w.conn()
				is := func(n int) func(wechatws.Message) bool {
					return func(m wechatws.Message) bool { return slices.Contains(m.Data, byte('0'+n)) }
				}
				errs := make(chan error, 5)
				for n := range 3 { // each of them is shown all answers
					go func() { _, err := c.Request(t.Context(), n, is(n)); errs <- err }()
				}
				go func() { _, err := c.SendConfirmed(t.Context(), 3, is(3)); errs <- err }()
				go func() { // nobody answers
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					_, err := c.Request(ctx, 9, is(9))
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					errs <- nil
				}()
				w.sleep(0)
				for _, n := range []int{2, 0, 3, 1} {
					require.NoError(t, answer(conn, n))
					w.sleep(0)
				}
				w.sleep(time.Hour)
				for range 5 {
					assert.NoError(t, <-errs)
				}
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
}

// A request that is waiting does not hide what no request takes.
func TestAMessageThatNoRequestTakesIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan string)
		for range 2 {
			go func() {
				_, _ = c.Request(ctx, "x", func(m wechatws.Message) bool {
					select {
					case seen <- string(m.Data):
					case <-ctx.Done():
					}
					return false
				})
			}()
		}
		w.sleep(0)
		require.NoError(t, conn.Send(`{"id":1}`))
		require.NoError(t, conn.Send(`{"id":2}`))
		require.NoError(t, conn.Send(`{"id":3}`))
		w.sleep(0)
		assert.Empty(t, c.errors(), "neither request has looked at it")
		<-seen
		w.sleep(0)
		assert.Empty(t, c.errors(), "the other one may still take it")
		<-seen
		w.sleep(0)
		require.Len(t, c.errors(), 1)
		cancel() // no request looks at the others
		w.sleep(0)
		require.Len(t, c.errors(), 3)
		for i, err := range c.errors() {
			var de *wechatws.DecodeError
			require.ErrorAs(t, err, &de)
			assert.ErrorIs(t, err, wechatws.ErrNoType)
			assert.Equal(t, fmt.Sprintf(`{"id":%d}`, i+1), string(de.Data))
		}
		c.close()
	})
}

func TestOpeningReceivesMessagesWithoutAType(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithoutReconnect())...)
		var got []string
		c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			for range 4 {
				m, err := o.Receive(ctx)
				if err != nil {
					return err
				}
				got = append(got, fmt.Sprintf("%q %v %s", m.Type, m.Binary, m.Data))
			}
			return nil
		})
		w.srv.OnConn(func(conn *wstest.Conn) {
			_ = conn.Send(`{"id":-1}`)
			_ = conn.Send(`{"msg_type":10}`)
			_ = conn.Send("ready\xff") // is no text
			_ = conn.Send("ready")
			_ = conn.SendBinary([]byte("bytes"))
		})
		c.connect()
		w.sleep(0)
		assert.Equal(t, []string{`"" false {"id":-1}`, `"10" false {"msg_type":10}`, `"" false ready`, `"" true bytes`}, got)
		require.Len(t, c.errors(), 3, "and nothing but JSON is taken by being received")
		assert.ErrorIs(t, c.errors()[0], wechatws.ErrNotUTF8)
		assert.ErrorIs(t, c.errors()[1], wechatws.ErrNotJSON)
		assert.ErrorIs(t, c.errors()[2], wechatws.ErrBinary)
		c.close()
	})
}

func TestAHeartbeatMayBeAnsweredWithoutAType(t *testing.T) {
	for name, answer := range map[string]func(*wstest.Conn) error{
		"JSON":   func(c *wstest.Conn) error { return c.Send(`{}`) },
		"text":   func(c *wstest.Conn) error { return c.Send("pong") },
		"binary": func(c *wstest.Conn) error { return c.SendBinary([]byte("pong")) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(10 * time.Millisecond)
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = answer(conn) })
				pong := func(m wechatws.Message) bool {
					return m.Type == "" && (string(m.Data) == "{}" || string(m.Data) == "pong")
				}
				c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Pong: pong})).connect()
				w.conn()
				w.sleep(10 * time.Second)
				assert.Equal(t, 20*time.Millisecond, c.Stats().RTT)
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
}
