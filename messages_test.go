package wechatws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

type comment struct {
	From    string `json:"from_name"`
	Content string `json:"content"`
}

func TestOnRoutesByType(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var got []string
		note := func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }
		wechatws.On(c.Client, "message", func(_ context.Context, m comment) { note("first %v", m) })
		wechatws.On(c.Client, "message", func(_ context.Context, m *comment) { note("pointer %v", *m) })
		wechatws.On(c.Client, "message", func(_ context.Context, m map[string]string) { note("map %s", m["content"]) })
		wechatws.On(c.Client, "message", func(_ context.Context, m wechatws.Message) { note("raw %s", m.Type) })
		wechatws.On(c.Client, "leave", func(_ context.Context, m json.RawMessage) { note("%s", m) })
		c.OnMessage(func(_ context.Context, m wechatws.Message) { note("any %s", m.Type) })
		c.OnUnknown(func(_ context.Context, m wechatws.Message) { note("unknown %s", m.Type) })
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"content":"\u4f60\u597d","from_name":"a\/b","msg_type":"message"}`))
		require.NoError(t, conn.Send(`{"msg_type":"leave"}`))
		require.NoError(t, conn.Send(`{"msg_type":"buy"}`))
		w.sleep(0)
		assert.Equal(t, []string{
			"any message", "first {a/b 你好}", "pointer {a/b 你好}", "map 你好", "raw message",
			"any leave", `{"msg_type":"leave"}`,
			"any buy", "unknown buy",
		}, got)
		assert.Empty(t, c.errors())
		c.close()
	})
}

// Messages that the server sends right after the handshake reach the callbacks, and in order.
func TestMessagesRightAfterTheHandshake(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(c *wstest.Conn) {
			for n := range 3 {
				_ = c.Send(fmt.Sprintf(`{"msg_type":"init","n":%d}`, n))
			}
			c.Cut(wstest.FIN)
		})
		c := w.client(quiet()...).record()
		c.connect()
		w.sleep(time.Second)
		assert.Equal(t, []string{
			"state connecting", "state open", "open",
			`message {"msg_type":"init","n":0}`, `message {"msg_type":"init","n":1}`, `message {"msg_type":"init","n":2}`,
			"close", "state waiting",
		}, c.events())
		c.close()
	})
}

func TestCallbacksCanBeAddedAndRemoved(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var got []string
		var removeSecond func()
		wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {
			got = append(got, "first")
			removeSecond()
		})
		removeSecond = wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { got = append(got, "second") })
		var removeOnce func()
		removeOnce = wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {
			got = append(got, "once")
			removeOnce()
			removeOnce()
			wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { got = append(got, "new") })
		})
		c.OnUnknown(func(context.Context, wechatws.Message) { got = append(got, "unknown") })
		removeLast := wechatws.On(c.Client, "y", func(context.Context, wechatws.Message) { got = append(got, "y") })
		removeLast()
		c.connect()
		conn := w.conn()
		for _, typ := range []string{"x", "x", "y"} {
			require.NoError(t, conn.Send(`{"msg_type":"`+typ+`"}`))
		}
		w.sleep(0)
		assert.Equal(t, []string{"first", "once", "first", "new", "unknown"}, got)
		c.close()
	})
}

func TestBadMessagesAreTypedErrorsAndTheLinkStaysUp(t *testing.T) {
	bad := []struct {
		name, data string
		binary     bool
		want       error
		text       string
	}{
		{"malformed", `{"msg_type":"x"`, false, wechatws.ErrNotJSON, "wechatws: cannot use message (15 bytes): not valid JSON; OnMessage and OnUnknown take any text, WithTypeFunc can give it a type"},
		{"empty", ``, false, wechatws.ErrNotJSON, "wechatws: cannot use message (0 bytes): not valid JSON; OnMessage and OnUnknown take any text, WithTypeFunc can give it a type"},
		{"no type", `{"a":1}`, false, wechatws.ErrNoType, "wechatws: cannot use message (7 bytes): no type: field \"msg_type\" is missing; WithTypeField, WithTypePath or WithTypeFunc set where it is, OnUnknown takes messages without one"},
		{"type is null", `{"msg_type":null}`, false, wechatws.ErrNoType, "wechatws: cannot use message (17 bytes): no type: field \"msg_type\" is null; WithTypeField, WithTypePath or WithTypeFunc set where it is, OnUnknown takes messages without one"},
		{"no object", `[1]`, false, wechatws.ErrNoType, "wechatws: cannot use message (3 bytes): no type: the message is an array; WithTypePath(\"0\") routes by its first element"},
		{"binary", "\x00\x01", true, wechatws.ErrNoType, "wechatws: cannot use message (2 bytes): no type: the message is binary; OnMessage and OnUnknown take it, WithTypeFunc and WithUnpack can give it a type"},
		{"empty binary", "", true, wechatws.ErrNoType, "wechatws: cannot use message (0 bytes): no type: the message is binary; OnMessage and OnUnknown take it, WithTypeFunc and WithUnpack can give it a type"},
		{"not UTF-8", "{\"msg_type\":\"\xff\"}", false, wechatws.ErrNotUTF8, "wechatws: cannot use message (16 bytes): text is not valid UTF-8"},
		{"does not fit", `{"msg_type":"message","content":7}`, false, nil, `wechatws: cannot use message of type "message" (34 bytes): json: cannot unmarshal JSON number into Go string within "/content"`},
	}
	send := func(t *testing.T, conn *wstest.Conn, data string, binary bool) {
		if binary {
			require.NoError(t, conn.SendBinary([]byte(data)))
		} else {
			require.NoError(t, conn.Send(data))
		}
	}
	t.Run("to OnError", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			wechatws.On(c.Client, "message", func(context.Context, comment) { t.Error("called with a message that does not fit") })
			c.connect()
			conn := w.conn()
			for i, tt := range bad {
				send(t, conn, tt.data, tt.binary)
				w.sleep(0)
				require.Len(t, c.errors(), i+1, tt.name)
				err := c.errors()[i]
				var de *wechatws.DecodeError
				require.ErrorAs(t, err, &de, tt.name)
				assert.Equal(t, tt.data, string(de.Data), tt.name)
				// The decoder chooses one of the two at random.
				text := strings.Replace(err.Error(), "json: unable to", "json: cannot", 1)
				assert.Equal(t, tt.text, text, tt.name)
				if tt.want != nil {
					assert.ErrorIs(t, err, tt.want, tt.name)
				}
			}
			assert.Equal(t, wechatws.StateOpen, c.State())
			assert.Equal(t, 1, c.Stats().Opens)
			c.close()
		})
	})
	t.Run("to the raw callback, but for text that is none", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...).record().connect()
			conn := w.conn()
			var want []string
			for _, tt := range bad {
				send(t, conn, tt.data, tt.binary)
				if tt.want != wechatws.ErrNotUTF8 {
					want = append(want, tt.data)
				}
			}
			w.sleep(0)
			assert.Equal(t, want, c.texts())
			require.Len(t, c.errors(), 1)
			assert.ErrorIs(t, c.errors()[0], wechatws.ErrNotUTF8)
			assert.True(t, c.messages[5].Binary)
			c.close()
		})
	})
}

func TestAPanicInACallbackIsReportedAndTheClientContinues(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		after := 0
		wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { panic("oops") })
		wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { after++ })
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { panic(fmt.Errorf("wrapped: %w", context.Canceled)) })
		c.OnError(func(context.Context, error) { panic("in OnError too") })
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(0)
		assert.Equal(t, 2, after, "the next callback runs")
		require.Len(t, c.errors(), 3)
		assert.ErrorIs(t, c.errors()[0], context.Canceled)
		var pe *wechatws.PanicError
		require.ErrorAs(t, c.errors()[1], &pe)
		assert.Equal(t, "oops", pe.Value)
		assert.Contains(t, string(pe.Stack), "TestAPanicInACallback", "its stack")
		assert.EqualError(t, pe, "wechatws: user function panicked: oops")
		c.close()
	})
}

// t.FailNow and t.Skip end the goroutine with runtime.Goexit. In a callback that is the
// inbox's, which must be replaced.
func TestGoexitInACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		n := 0
		c.OnMessage(func(context.Context, wechatws.Message) {
			n++
			runtime.Goexit()
		})
		c.connect()
		conn := w.conn()
		for range 500 { // more than the inbox holds
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		}
		w.sleep(0)
		assert.Equal(t, 500, n)
		c.close()
	})
}

func TestCallbacksOneAtATimeInOrder(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		running, next := 0, 0
		c.OnMessage(func(_ context.Context, m wechatws.Message) {
			running++
			assert.Equal(t, 1, running)
			var in struct{ N int }
			assert.NoError(t, m.Decode(&in))
			assert.Equal(t, next, in.N)
			next++
			time.Sleep(time.Duration(next%3) * time.Millisecond)
			running--
		})
		c.connect()
		conn := w.conn()
		for n := range 3000 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"n","n":%d}`, n)))
		}
		w.sleep(10 * time.Second)
		assert.Equal(t, 3000, next)
		c.close()
	})
}

func TestNoMessageReachesACallbackOnceCloseHasBegun(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		n := 0
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			n++
			<-ctx.Done() // which Close ends
		})
		c.connect()
		conn := w.conn()
		for range 10 {
			require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		}
		w.sleep(0)
		c.close()
		assert.Equal(t, 1, n)
		assert.Equal(t, []string{"state connecting", "state open", "open", "close", "state closed"}, c.events(), "but events do")
	})
}

// Memory remains bounded if the server is faster than the callbacks: reading stops, and the
// server's writes block.
func TestASlowCallbackSlowsTheServerDown(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		release := make(chan struct{})
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		conn := w.conn()
		sent := 0
		go func() {
			for ; sent < 10000; sent++ {
				if conn.Send(`{"msg_type":"x","pad":"`+strings.Repeat("x", 1000)+`"}`) != nil {
					return
				}
			}
		}()
		w.sleep(time.Minute)
		assert.Less(t, sent, 2000)
		assert.Equal(t, wechatws.StateOpen, c.State())
		close(release)
		w.sleep(0)
		assert.Equal(t, 10000, sent)
		c.close()
	})
}

func TestANilCallbackIsAClearError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		wechatws.On[comment](c.Client, "message", nil)()
		c.OnMessage(nil)
		c.OnUnknown(nil)
		c.OnOpen(nil)
		c.OnClose(nil)
		c.OnError(nil)
		c.OnStateChange(nil)
		c.OnNetworkChange(nil)
		want := []string{
			`wechatws: On[wechatws_test.comment]("message", nil): the callback must be a function`,
			"wechatws: OnMessage(nil): the callback must be a function",
			"wechatws: OnUnknown(nil): the callback must be a function",
			"wechatws: OnOpen(nil): the callback must be a function",
			"wechatws: OnClose(nil): the callback must be a function",
			"wechatws: OnError(nil): the callback must be a function",
			"wechatws: OnStateChange(nil): the callback must be a function",
			"wechatws: OnNetworkChange(nil): the callback must be a function",
		}
		assert.EqualError(t, c.Connect(t.Context()), strings.Join(want, "\n"))
		w.sleep(0)
		assert.Len(t, c.errors(), len(want))
		c.connect()
		c.close()
	})
}

type upperCodec struct{}

func (upperCodec) Marshal(v any) ([]byte, error) {
	return []byte(strings.ToUpper(fmt.Sprint(v))), nil
}

func (upperCodec) Unmarshal(data []byte, v any) error {
	*v.(*string) = strings.ToLower(string(data))
	return nil
}

func TestCodec(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithCodec(upperCodec{}), wechatws.WithTypeField("cmd"))...)
		got := ""
		wechatws.On(c.Client, "X", func(_ context.Context, s string) { got = s })
		c.connect()
		require.NoError(t, c.Send(t.Context(), "shout"))
		conn := w.conn()
		require.NoError(t, conn.Send(`{"cmd":"X"}`))
		w.sleep(0)
		assert.Equal(t, []string{"SHOUT"}, received(conn))
		assert.Equal(t, `{"cmd":"x"}`, got)
		c.close()
	})
}

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

func TestMessagesWithoutATypeAreDelivered(t *testing.T) {
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

// OnUnknown receives every message that no other callback is for. What nothing takes is an error.
func TestOnUnknownReceivesWhatIsNotJSON(t *testing.T) {
	texts := []string{`hello`, `{"msg_type":"x"`, `{"msg_type":{`, `{"id":1`, `{"msg_type":4x}`, `{"msg_type":12`}
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var got []string
		remove := c.OnUnknown(func(_ context.Context, m wechatws.Message) {
			got = append(got, fmt.Sprintf("%q %v %s", m.Type, m.Binary, m.Data))
		})
		c.connect()
		conn := w.conn()
		send := func() {
			for _, text := range texts {
				require.NoError(t, conn.Send(text))
			}
			require.NoError(t, conn.SendBinary([]byte(`{"msg_type":"x"}`)))
			w.sleep(0)
		}
		send()
		assert.Equal(t, []string{
			`"" false hello`, `"x" false {"msg_type":"x"`, `"" false {"msg_type":{`, `"" false {"id":1`, `"" false {"msg_type":4x}`,
			`"" false {"msg_type":12`, `"" true {"msg_type":"x"}`,
		}, got)
		assert.Empty(t, c.errors())
		remove()
		send()
		require.Len(t, c.errors(), 7)
		for _, err := range c.errors()[:6] {
			assert.ErrorIs(t, err, wechatws.ErrNotJSON)
		}
		assert.ErrorIs(t, c.errors()[6], wechatws.ErrNoType)
		c.close()
	})
}
