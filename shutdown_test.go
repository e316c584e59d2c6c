package wechatws_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func isReply(m wechatws.Message) bool { return m.Type == "reply" }

func TestShutdownIsGraceful(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			if m.Text() == `"ask"` {
				time.Sleep(time.Second)
				_ = c.Send(`{"msg_type":"reply"}`)
			}
		})
		c := w.client(quiet()...).record()
		var handled []string
		wechatws.On(c.Client, "work", func(ctx context.Context, m wechatws.Message) {
			time.Sleep(3 * time.Second)
			assert.NoError(t, ctx.Err(), "the context of a callback that runs has not ended")
			_, err := c.Request(ctx, "ask", isReply)
			assert.NoError(t, err, "answers are matched")
			assert.NoError(t, c.Send(ctx, wechatws.Text("done")), "it may send")
			handled = append(handled, string(m.Data))
		})
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"work"}`))
		w.sleep(time.Second)
		began := time.Now()
		time.AfterFunc(time.Second, func() { _ = conn.Send(`{"msg_type":"work"}`) })
		require.NoError(t, c.Shutdown(within(t, time.Minute)))
		assert.Equal(t, 3*time.Second, time.Since(began))
		assert.Len(t, handled, 1, "what arrives from then on reaches no callback")
		assert.Equal(t, []string{`{"msg_type":"work"}`}, c.texts(), "nor does the answer")
		assert.Equal(t, wechatws.StateClosed, c.State())
		assert.Equal(t, wechatws.StateClosed, c.lastChange().To, "the last callbacks have run")
		assert.Equal(t, wechatws.CloseEvent{Connection: 1, Code: 1000}, c.lastClose())
		assert.Equal(t, "done", received(conn)[len(received(conn))-1])
		<-conn.Done()
		code, _ := conn.CloseCode()
		assert.Equal(t, 1000, code)
		<-c.Done()
		assert.Equal(t, 3*time.Second, time.Since(began))
		require.NoError(t, c.Shutdown(within(t, time.Minute)), "once more")
		w.sleep(time.Hour)
		assert.Equal(t, 1, c.Stats().Opens, "no reconnect follows")
	})
}

func TestShutdownWaitsForConfirmations(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			time.Sleep(3 * time.Second)
			_ = c.Send(`{"msg_type":"reply"}`)
		})
		c := w.client(quiet()...).connect()
		confirmed := make(chan error, 1)
		go func() {
			_, err := c.SendConfirmed(t.Context(), "pay", isReply)
			confirmed <- err
		}()
		w.sleep(time.Second)
		require.NoError(t, c.Shutdown(within(t, time.Minute)))
		assert.NoError(t, <-confirmed)
		assert.Equal(t, 3*time.Second, w.since())
		<-c.Done()
	})
}

func TestShutdownDrainsForAsLongAsItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(10, 10<<20, wechatws.QueueFail))...).connect()
		conn := w.conn()
		conn.StopReading()
		c.send(string(make([]byte, 4<<20)), "x")
		time.AfterFunc(20*time.Second, conn.ResumeReading)
		require.NoError(t, c.Shutdown(within(t, time.Minute)), "the drain timeout is Close's")
		assert.Equal(t, 20*time.Second, w.since())
		assert.Len(t, received(conn), 2)
	})
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		wechatws.On(c.Client, "work", func(ctx context.Context, _ wechatws.Message) {
			assert.NoError(t, c.Send(ctx, wechatws.Text(make([]byte, 4<<20))))
			<-ctx.Done()
		})
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"work"}`))
		conn.StopReading()
		w.sleep(time.Second)
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, cause)
		defer cancel()
		began := time.Now()
		err := c.Shutdown(ctx)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.ErrorIs(t, err, cause)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left)
		assert.Len(t, left.Messages, 1)
		assert.Equal(t, wechatws.StateClosed, c.State())
		<-c.Done()
		assert.Equal(t, 5*time.Second, time.Since(began), "the callback's context has ended")
		conn.ResumeReading()
	})
}

// With nothing left to write, a close handshake that the peer does not answer is cut short too.
func TestShutdownEndsTheCloseHandshakeWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().StopReading()
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		require.ErrorIs(t, c.Shutdown(ctx), cause)
		require.Equal(t, time.Second, w.since())
		<-c.Done()
	})
}

func TestShutdownWithoutAConnection(t *testing.T) {
	for name, answer := range map[string]wstest.Answer{"connecting": wstest.NoAnswer(), "waiting": wstest.Status(500, nil, "")} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(answer)
				c := w.client(quiet()...)
				c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
					if e.To == wechatws.StateConnecting {
						time.Sleep(2 * time.Second)
					}
				})
				connected := make(chan error, 1)
				go func() { connected <- c.Connect(t.Context()) }()
				w.sleep(time.Second)
				c.send("x")
				var left *wechatws.UndeliveredError
				err := c.Shutdown(within(t, time.Minute))
				require.ErrorAs(t, err, &left)
				assert.Equal(t, error(left), err)
				assert.Len(t, left.Messages, 1)
				assert.Equal(t, 2*time.Second, w.since(), "the callback that runs finishes")
				assert.ErrorIs(t, <-connected, wechatws.ErrClosed)
				<-c.Done()
			})
		})
	}
	t.Run("never connected", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client()
			require.NoError(t, c.Shutdown(t.Context()))
			assert.Equal(t, wechatws.StateClosed, c.State())
			<-c.Done()
		})
	})
}

func TestShutdownIsCutShort(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"by CloseNow":         func(c *client) { _ = c.CloseNow() },
		"by another Shutdown": func(c *client) { _ = c.Shutdown(within(c.t, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				c.OnOpen(func(context.Context, wechatws.OpenEvent) { time.Sleep(time.Minute) })
				c.connect()
				over := make(chan error, 1)
				go func() { over <- c.Shutdown(within(t, time.Hour)) }()
				w.sleep(time.Second)
				end(c)
				assert.NoError(t, <-over)
				assert.Equal(t, time.Second, w.since())
				<-c.Done()
				assert.Equal(t, time.Minute, w.since())
			})
		})
	}
}

func TestShutdownInACallback(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, c *client) error{
		"itself":            func(ctx context.Context, c *client) error { return c.Shutdown(ctx) },
		"a derived context": func(ctx context.Context, c *client) error { return c.Shutdown(context.WithoutCancel(ctx)) },
		"a goroutine of it": func(ctx context.Context, c *client) error {
			over := make(chan error)
			go func() { over <- c.Shutdown(ctx) }()
			return <-over
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				var began, over time.Time
				wechatws.On(c.Client, "bye", func(ctx context.Context, _ wechatws.Message) {
					time.Sleep(time.Second)
					began = time.Now()
					assert.NoError(t, call(ctx, c))
					over = time.Now()
					time.Sleep(time.Second)
				})
				c.connect()
				conn := w.conn()
				c.send("x")
				require.NoError(t, conn.Send(`{"msg_type":"bye"}`))
				w.sleep(500 * time.Millisecond)
				// This call waits for the callback, but not while the callback waits: they would wait
				// for each other.
				require.NoError(t, c.Shutdown(within(t, time.Hour)))
				<-c.Done()
				assert.Equal(t, began, over)
				assert.Equal(t, 2*time.Second, w.since())
				assert.Equal(t, []string{"x"}, received(conn))
			})
		})
	}
}

// The context of a callback that has returned exempts no other callback.
func TestShutdownWithTheContextOfACallbackThatHasReturned(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		kept := make(chan context.Context, 1)
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { kept <- ctx })
		returned := false
		wechatws.On(c.Client, "work", func(context.Context, wechatws.Message) {
			time.Sleep(time.Minute)
			returned = true
		})
		c.connect()
		require.NoError(t, w.conn().Send(`{"msg_type":"work"}`))
		w.sleep(time.Second)
		require.NoError(t, c.Shutdown(<-kept))
		assert.True(t, returned)
	})
}

func TestClientsEndEachOther(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, c *client) error{
		"Close":    func(_ context.Context, c *client) error { return c.Close(1000, "") },
		"CloseNow": func(_ context.Context, c *client) error { return c.CloseNow() },
		"Shutdown": func(ctx context.Context, c *client) error { return c.Shutdown(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				a, b := w.client(quiet()...), w.client(quiet()...)
				meet := func(other *client) func(context.Context, wechatws.Message) {
					return func(ctx context.Context, _ wechatws.Message) {
						time.Sleep(time.Second)
						assert.NoError(t, end(ctx, other))
					}
				}
				a.OnMessage(meet(b))
				b.OnMessage(meet(a))
				a.connect()
				b.connect()
				require.NoError(t, w.conn().Send(`{"msg_type":"x"}`))
				require.NoError(t, w.conn().Send(`{"msg_type":"x"}`))
				<-a.Done()
				<-b.Done()
				assert.Equal(t, time.Second, w.since())
			})
		})
	}
}

// A callback that takes an hour does not delay the methods that end the client beyond their
// bounds.
func TestClosingDuringACallbackOfAnHour(t *testing.T) {
	for name, tt := range map[string]struct {
		end   func(c *client)
		bound time.Duration
	}{
		"Close":    {func(c *client) { _ = c.Close(1000, "") }, 0},
		"CloseNow": {func(c *client) { _ = c.CloseNow() }, 0},
		"Shutdown": {func(c *client) { _ = c.Shutdown(within(c.t, 5*time.Second)) }, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				c.OnOpen(func(context.Context, wechatws.OpenEvent) { time.Sleep(time.Hour) })
				c.connect()
				w.sleep(time.Second)
				began := time.Now()
				tt.end(c)
				assert.Equal(t, tt.bound, time.Since(began))
				assert.Equal(t, wechatws.StateClosed, c.State())
				select {
				case <-c.Done():
					t.Error("done, and the callback runs")
				default:
				}
				<-c.Done()
				assert.Equal(t, time.Hour, w.since())
				assert.Equal(t, []string{"state connecting", "state open", "open", "close", "state closed"}, c.events())
			})
		})
	}
}

func TestTheEndOfRun(t *testing.T) {
	t.Run("behind a callback", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			c.OnOpen(func(context.Context, wechatws.OpenEvent) { time.Sleep(time.Hour) })
			require.NoError(t, c.Run(within(t, time.Second)))
			assert.Equal(t, 4*time.Second, w.since(), "the drain timeout and 2 s")
			<-c.Done()
		})
	})
	t.Run("a callback that ends with its context", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) {
				<-ctx.Done()
				time.Sleep(time.Second)
			})
			require.NoError(t, c.Run(within(t, time.Second)))
			assert.Equal(t, 2*time.Second, w.since())
			assert.Equal(t, "state closed", c.events()[len(c.events())-1])
		})
	})
	t.Run("with what is left", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.srv.Stop(wstest.FIN)
			c := w.client(quiet()...)
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			w.sleep(time.Second)
			c.send("x")
			err := c.Close(1000, "")
			var left *wechatws.UndeliveredError
			require.ErrorAs(t, err, &left)
			assert.Same(t, err, <-over, "also when Close has returned it")
		})
	})
}

func TestDone(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		isDone := func(done <-chan struct{}) bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		}
		c := w.client(quiet()...)
		first := c.Done()
		assert.False(t, isDone(first))
		c.connect()
		assert.Equal(t, first, c.Done())
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Minute)
		assert.False(t, isDone(first), "it connects again")
		require.NoError(t, c.Close(1000, ""))
		<-first
		c.connect()
		assert.NotEqual(t, first, c.Done())
		assert.False(t, isDone(c.Done()))
		c.close()
	})
}

// Connect waits for the functions of the session before, except when one of them calls it.
func TestConnectInAFunctionOfTheSessionBefore(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		own := make(chan error, 1)
		attempts := 0
		c = w.clientOf("", append(quiet(), wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
			if attempts++; attempts == 1 {
				<-ctx.Done()
				own <- c.Connect(ctx)
				time.Sleep(time.Minute)
			}
			return wechatws.Endpoint{URL: w.srv.URL()}, nil
		}))...)
		go func() { _ = c.Run(t.Context()) }()
		w.sleep(time.Second)
		require.NoError(t, c.Close(1000, ""))
		assert.ErrorIs(t, <-own, wechatws.ErrAlreadyConnected)
		assert.ErrorIs(t, c.Connect(within(t, time.Second)), context.DeadlineExceeded)
		assert.Equal(t, 2*time.Second, w.since())
		c.connect()
		assert.Equal(t, 61*time.Second, w.since())
		c.close()
	})
}

// Shutdown lets a reader go on that waits for room in the inbox: an answer may be behind it.
func TestShutdownReadsPastAFullInbox(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		release := make(chan struct{})
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		conn := w.conn()
		for range 1500 {
			require.NoError(t, conn.Send("x"))
		}
		w.sleep(0)
		answered := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), "ask", isReply)
			answered <- err
		}()
		w.sleep(0)
		go func() { _ = conn.Send(`{"msg_type":"reply"}`) }()
		w.sleep(0)
		require.Empty(t, answered)
		down := make(chan error)
		go func() { down <- c.Shutdown(t.Context()) }()
		w.sleep(0)
		require.Len(t, answered, 1)
		require.NoError(t, <-answered)
		close(release)
		require.NoError(t, <-down)
		<-c.Done()
	})
}
