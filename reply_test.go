package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// ack answers each message of type "work" with its text.
func ack(m wechatws.Message) (any, error) {
	if m.Type != "work" {
		return nil, nil
	}
	return wechatws.Text("ack " + string(m.Data)), nil
}

// A server wants each envelope to be acknowledged within 3 s, and sends one each 0.7 s. A callback
// takes 2 s.
func TestRepliesDoNotWaitForCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithReply(ack))...)
		handled := 0
		wechatws.On(c.Client, "work", func(context.Context, struct{}) { time.Sleep(2 * time.Second); handled++ })
		c.connect()
		conn := w.conn()
		sent := map[string]time.Time{}
		for n := range 10 {
			text := fmt.Sprintf(`{"msg_type":"work","n":%d}`, n)
			sent["ack "+text] = time.Now()
			require.NoError(t, conn.Send(text))
			w.sleep(700 * time.Millisecond)
		}
		w.sleep(time.Minute)
		require.Len(t, conn.Received(), 10)
		for _, m := range conn.Received() {
			assert.LessOrEqual(t, m.At.Sub(sent[m.Text()]), 3*time.Second, m.Text())
		}
		assert.Equal(t, 10, handled, "it reaches the callbacks as well")
		assert.Empty(t, c.errors())
		c.close()
	})
}

// A message that was replied to is no error if no callback takes it; any other one is.
func TestWhatIsRepliedTo(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var asked []string
		c := w.client(append(quiet(), wechatws.WithReply(func(m wechatws.Message) (any, error) {
			asked = append(asked, string(m.Data))
			switch string(m.Data) {
			case "text":
				return wechatws.Text("a text"), nil
			case "binary":
				return wechatws.Binary(m.Data), nil
			case "{}":
				return map[string]int{"a": 1}, nil
			case "[]":
				return make(chan int), nil // cannot be encoded
			}
			return nil, nil
		}))...).connect()
		conn := w.conn()
		w.net.SetLatency(time.Millisecond) // they arrive together
		for _, text := range []string{"text", "{}", "[]", "other"} {
			require.NoError(t, conn.Send(text))
		}
		require.NoError(t, conn.SendBinary([]byte("binary")))
		require.NoError(t, conn.WriteRaw([]byte("\x81\x01\xff"))) // not UTF-8
		require.NoError(t, conn.SendBinary([]byte("other")))
		w.sleep(time.Second)
		assert.Equal(t, []string{"text", "{}", "[]", "other", "binary", "other"}, asked)
		assert.Equal(t, []string{"a text", `{"a":1}`, "binary"}, received(conn))
		assert.True(t, conn.Received()[2].Binary)
		errs := c.errors()
		require.Len(t, errs, 4)
		assert.ErrorContains(t, errs[0], "cannot encode chan int")
		for i, want := range []error{wechatws.ErrNotJSON, wechatws.ErrNotUTF8, wechatws.ErrNoType} {
			assert.ErrorIs(t, errs[i+1], want)
		}
		c.close()
	})
}

// Messages are answered while an AfterConnect function waits, also for something else.
func TestRepliesDuringSetup(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(conn *wstest.Conn) {
			_ = conn.Send(`{"msg_type":"work"}`)
			_ = conn.Send(`{"msg_type":"ready"}`)
		})
		times := 0
		c := w.client(append(quiet(), wechatws.WithReply(func(m wechatws.Message) (any, error) {
			times++
			return ack(m)
		}))...).record()
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			for {
				if m, err := o.Receive(ctx); err != nil || m.Type == "ready" {
					time.Sleep(time.Second)
					assert.Equal(t, []string{`ack {"msg_type":"work"}`}, received(w.conn()), "before it is open")
					return err
				}
			}
		})
		c.connect()
		w.sleep(time.Second)
		assert.Equal(t, 2, times, "each message once")
		assert.Len(t, c.texts(), 2)
		assert.Len(t, w.srv.Conns()[0].Received(), 1)
		c.close()
	})
}

// Replies go ahead of the queue, in their order, and before the close frame.
func TestRepliesGoBeforeTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(1000, 10<<20, wechatws.QueueFail), wechatws.WithReply(ack))...).connect()
		conn := w.conn()
		conn.StopReading()
		for range 20 {
			c.send(strings.Repeat("x", 64<<10))
		}
		w.sleep(time.Second)
		var want []string
		for n := range 300 {
			text := fmt.Sprintf(`{"msg_type":"work","n":%d,"s":%q}`, n, strings.Repeat("y", 1000))
			require.NoError(t, conn.Send(text))
			want = append(want, "ack "+text)
		}
		w.sleep(time.Second)
		conn.ResumeReading()
		w.sleep(0)
		var replies []string
		at := 0
		for i, text := range received(conn) {
			if strings.HasPrefix(text, "ack") {
				replies = append(replies, text)
				at = i
			}
		}
		assert.Equal(t, want, replies)
		assert.Less(t, at, 300+10, "only what was being written is in front of them")

		conn.StopReading()
		for range 300 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"work","s":%q}`, strings.Repeat("y", 1000))))
		}
		w.sleep(0)
		time.AfterFunc(500*time.Millisecond, conn.ResumeReading)
		c.close()
		<-conn.Done()
		assert.Len(t, received(conn), 20+600)
		code, _ := conn.CloseCode()
		assert.Equal(t, 1000, code)
	})
}

// A peer that does not take replies gets no more than the bound later, in order, and on no other
// connection.
func TestRepliesThatThePeerDoesNotTake(t *testing.T) {
	for _, size := range []int{10, 8000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				most := min(1024, 4<<20/(size+10))
				n := 0
				c := w.client(append(quiet(), wechatws.WithQueue(1<<20, 1<<30, wechatws.QueueFail), wechatws.WithReply(func(m wechatws.Message) (any, error) {
					n++
					return wechatws.Text(fmt.Sprintf("%010d%s", n, strings.Repeat("x", size))), nil
				}))...).record().connect()
				conn := w.conn()
				conn.StopReading()
				c.send(strings.Repeat("x", 1<<20)) // it blocks the writer
				w.sleep(0)
				const sent = 3000
				for range sent {
					require.NoError(t, conn.Send(`{}`))
				}
				w.sleep(time.Second)
				assert.Len(t, c.texts(), sent)
				dropped := 0
				for _, err := range c.errors() {
					var drop *wechatws.DroppedError
					require.ErrorAs(t, err, &drop)
					assert.ErrorIs(t, err, wechatws.ErrQueueFull)
					dropped += len(drop.Messages) + drop.More
				}
				assert.Equal(t, sent-most, dropped)
				conn.ResumeReading()
				w.sleep(time.Second)
				texts := received(conn)[1:]
				require.Len(t, texts, most)
				for i, text := range texts {
					require.Equal(t, fmt.Sprintf("%010d", i+1), text[:10])
				}
				require.NoError(t, conn.Send(`{}`))
				w.sleep(time.Second)
				assert.Len(t, received(conn), 1+most+1, "there is room again")

				conn.StopReading()
				for range 100 {
					require.NoError(t, conn.Send(`{}`))
				}
				c.send(strings.Repeat("x", 1<<20), "last")
				w.sleep(time.Second)
				conn.Cut(wstest.RST)
				w.sleep(10 * time.Second)
				texts = received(w.conn())
				require.NotEmpty(t, texts)
				assert.Equal(t, "last", texts[len(texts)-1])
				for _, text := range texts {
					assert.NotRegexp(t, `^\d{10}`, text)
				}
				c.close()
			})
		})
	}
}

// An error ends the connection, and is the cause. fn is not called with the messages behind.
func TestAnErrorOfWithReplyEndsTheConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		errStop := errors.New("stop")
		var asked []string
		c := w.client(append(quiet(), wechatws.WithReply(func(m wechatws.Message) (any, error) {
			asked = append(asked, m.Type)
			if m.Type == "stop" {
				return nil, errStop
			}
			return nil, nil
		}))...).record().connect()
		conn := w.conn()
		w.net.SetLatency(time.Millisecond)
		require.NoError(t, conn.Send(`{"msg_type":"stop"}`))
		require.NoError(t, conn.Send(`{"msg_type":"behind"}`))
		w.sleep(time.Second)
		assert.Equal(t, []string{"stop"}, asked)
		assert.Equal(t, wechatws.StateWaiting, c.State())
		assert.ErrorIs(t, c.lastClose().Err, errStop)
		assert.False(t, c.lastClose().Remote)
		assert.Equal(t, 1, c.Stats().Disconnects.Local)
		assert.Equal(t, []string{`{"msg_type":"stop"}`, `{"msg_type":"behind"}`}, c.texts(), "what had arrived reaches the callbacks")
		w.sleep(3 * time.Second)
		require.NoError(t, w.conn().Send(`{"msg_type":"next"}`))
		w.sleep(time.Second)
		assert.Equal(t, []string{"stop", "next"}, asked)
		c.close()
	})
}

// Such an error is a panic of the function.
func TestAnErrorOfWithReplyWhoseMethodsPanic(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithReply(func(wechatws.Message) (any, error) { return nil, (*net.OpError)(nil) }))...).connect()
		require.NoError(t, w.conn().Send(`{}`))
		w.sleep(time.Second)
		var pe *wechatws.PanicError
		assert.ErrorAs(t, c.lastClose().Err, &pe)
		c.close()
	})
}

// A server says in its last message that the client must not come back, and closes the connection.
// Callbacks may be slow, fail, or reconnect meanwhile, and the order may come before the connection is
// open.
func TestAnOrderNotToComeBackIsObeyed(t *testing.T) {
	errGone := errors.New("account is gone")
	end := func(m wechatws.Message) (any, error) {
		if m.Type == "gone" {
			return nil, wechatws.Permanent(errGone)
		}
		return nil, nil
	}
	closing := func(conn *wstest.Conn) {
		_ = conn.Send(`{"msg_type":"work"}`)
		_ = conn.Send(`{"msg_type":"gone"}`)
		_ = conn.Close(1001, "")
	}
	for name, during := range map[string]func(w *world, c *client){
		"idle": func(*world, *client) {},
		"slow callbacks": func(_ *world, c *client) {
			wechatws.On(c.Client, "work", func(context.Context, struct{}) { time.Sleep(time.Hour) })
		},
		"callbacks that panic": func(_ *world, c *client) {
			c.OnMessage(func(context.Context, wechatws.Message) { panic("oops") })
		},
		"callbacks that reconnect": func(_ *world, c *client) {
			c.OnMessage(func(context.Context, wechatws.Message) { _ = c.Reconnect() })
		},
		"callbacks that disconnect": func(_ *world, c *client) {
			c.OnMessage(func(_ context.Context, m wechatws.Message) { _ = c.Disconnect(m.Connection, errors.New("by me")) })
		},
		"callbacks that send": func(_ *world, c *client) {
			c.OnMessage(func(ctx context.Context, _ wechatws.Message) { _ = c.Send(ctx, "x") })
		},
		"during setup": func(_ *world, c *client) {
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, _ = o.Receive(ctx)
				_, _ = o.Receive(ctx)
				return errors.New("another error")
			})
		},
		"during setup, which ignores it": func(_ *world, c *client) {
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, _ = o.Receive(ctx)
				return nil
			})
		},
		"during setup, which reconnects": func(_ *world, c *client) {
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, _ = o.Receive(ctx)
				return c.Reconnect()
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for n := range 150 {
				virtual(t, func(t *testing.T, w *world) {
					if n%2 == 1 {
						w.net.SetLatency(time.Millisecond) // they arrive together
					}
					c := w.client(append(quiet(), wechatws.WithReply(end))...)
					during(w, c)
					w.srv.OnConn(closing)
					err := c.Run(within(t, time.Minute))
					require.ErrorIs(t, err, errGone)
					require.Equal(t, wechatws.StateFailed, c.State())
					if attempts := c.Stats().Attempts; n%2 == 1 || attempts != 2 { // a callback may have ended the connection before
						require.Equal(t, 1, attempts)
					}
					w.sleep(2 * time.Hour)
				})
			}
		})
	}
}

// With faults in each of them, Pong and the function of WithReply see all messages, and each fault is
// reported once.
func TestAFaultOnTheReaderSkipsNothing(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var mu sync.Mutex
				var asked []string
				note := func(what string, m wechatws.Message) {
					mu.Lock()
					asked = append(asked, what+m.Type)
					mu.Unlock()
					if m.Type == "faulty" {
						fault.happen()
					}
				}
				c := w.client(wechatws.WithoutLiveness(),
					wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Hour, Pong: func(m wechatws.Message) bool { note("pong ", m); return m.Type == "pong" }}),
					wechatws.WithReply(func(m wechatws.Message) (any, error) { note("reply ", m); return wechatws.Text(m.Type), nil }),
				).record().connect()
				conn := w.conn()
				w.net.SetLatency(time.Millisecond)
				for _, typ := range []string{"first", "faulty", "pong", "last"} {
					require.NoError(t, conn.Send(`{"msg_type":"`+typ+`"}`))
				}
				w.sleep(time.Second)
				assert.Equal(t, []string{"pong first", "reply first", "pong faulty", "reply faulty", "pong pong", "reply pong", "pong last", "reply last"}, asked)
				assert.Equal(t, []string{"first", "pong", "last"}, received(conn))
				assert.Equal(t, []string{`{"msg_type":"first"}`, `{"msg_type":"faulty"}`, `{"msg_type":"last"}`}, c.texts())
				require.Len(t, c.errors(), 2)
				for _, err := range c.errors() {
					assert.ErrorContains(t, err, fault.value)
				}
				assert.Equal(t, 1, c.Stats().Opens)
				c.close()
			})
		})
	}
}

// The answer to a heartbeat does not wait for callbacks.
func TestAPongDoesNotWaitForCallbacks(t *testing.T) {
	for _, slow := range []time.Duration{2 * time.Second, 10 * time.Minute} {
		t.Run(slow.String(), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(50 * time.Millisecond)
				w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"pong"}`) })
				var answers atomic.Int32
				c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Pong: func(m wechatws.Message) bool {
					if m.Type != "pong" {
						return false
					}
					answers.Add(1)
					return true
				}})).record()
				wechatws.On(c.Client, "work", func(context.Context, struct{}) { time.Sleep(slow) })
				c.connect()
				require.NoError(t, w.conn().Send(`{"msg_type":"work"}`))
				w.sleep(slow - time.Second)
				assert.EqualValues(t, int((slow-time.Second)/(3*time.Second)), answers.Load())
				assert.LessOrEqual(t, c.Stats().Inbox, 1+int(answers.Load()))
				w.sleep(10 * time.Second)
				assert.Equal(t, 100*time.Millisecond, c.Stats().MaxRTT)
				assert.Equal(t, 1, c.Stats().Opens)
				assert.Equal(t, wechatws.StateOpen, c.State())
				assert.Equal(t, []string{`{"msg_type":"work"}`}, c.texts())
				c.close()
			})
		})
	}
}

func TestWithReplyNeedsAFunction(t *testing.T) {
	_, err := wechatws.New("ws://server.test", wechatws.WithReply(nil))
	assert.EqualError(t, err, "wechatws: WithReply(nil): must be a function")
}
