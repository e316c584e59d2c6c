package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

var errBanned = errors.New("this account is banned")

// running runs the client, and returns where Run's error will be.
func (c *client) running() (result chan error) {
	result = make(chan error, 1)
	go func() { result <- c.Run(c.t.Context()) }()
	return result
}

// Fail ends the client with its error from wherever it is called.
func TestFail(t *testing.T) {
	fail := func(c *client) { c.Fail(errBanned) }
	before := map[string]func(c *client){
		"in a callback": func(c *client) {
			wechatws.On(c.Client, "ban", func(context.Context, wechatws.Message) { fail(c) })
		},
		"in OnOpen": func(c *client) {
			c.OnOpen(func(context.Context, wechatws.OpenEvent) { fail(c) })
		},
		"in OnClose": func(c *client) {
			c.OnClose(func(context.Context, wechatws.CloseEvent) { fail(c) })
		},
		"in AfterConnect": func(c *client) {
			c.AfterConnect(time.Minute, func(ctx context.Context, _ *wechatws.Setup) error {
				fail(c)
				<-ctx.Done()
				return nil
			})
		},
	}
	for name, where := range map[string]func(w *world, c *client){
		"while open": func(w *world, c *client) {
			w.conn()
			w.sleep(time.Second)
			fail(c)
		},
		"in a callback": func(w *world, _ *client) {
			require.NoError(w, w.conn().Send(`{"msg_type":"ban"}`))
		},
		"in OnOpen":       func(*world, *client) {},
		"in AfterConnect": func(*world, *client) {},
		"in OnClose": func(w *world, _ *client) {
			conn := w.conn()
			w.sleep(time.Second) // it is open
			conn.Cut(wstest.RST)
		},
		"while waiting": func(w *world, c *client) {
			conn := w.conn()
			w.sleep(time.Second)
			conn.Cut(wstest.RST)
			w.sleep(time.Second)
			require.Equal(w, wechatws.StateWaiting, c.State())
			fail(c)
		},
		"during an attempt": func(w *world, c *client) {
			conn := w.conn()
			w.sleep(time.Second)
			w.srv.AnswerAlways(wstest.NoAnswer())
			conn.Cut(wstest.RST)
			w.sleep(4 * time.Second)
			require.Equal(w, wechatws.StateConnecting, c.State())
			fail(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				if register := before[name]; register != nil {
					register(c)
				}
				result := c.running()
				where(w, c)
				w.sleep(time.Second)
				require.Equal(t, errBanned, <-result)
				attempts := c.Stats().Attempts
				require.Equal(t, wechatws.StateFailed, c.State())
				require.Equal(t, errBanned, c.lastChange().Err)
				err := c.Send(t.Context(), 1)
				require.ErrorIs(t, err, wechatws.ErrClosed)
				require.ErrorIs(t, err, errBanned)
				<-c.Done()
				w.sleep(time.Hour)
				require.Equal(t, attempts, c.Stats().Attempts)
				require.Zero(t, w.srv.OpenConns())
			})
		})
	}
}

// Functions of an attempt that ignore their context do not hold Run up.
func TestFailDuringASlowFunctionOfAnAttempt(t *testing.T) {
	for _, name := range []string{"WithEndpoint", "WithLogin", "AfterConnect"} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var c *client
				slow := func() { c.Fail(errBanned); time.Sleep(time.Hour) }
				options := quiet()
				switch name {
				case "WithEndpoint":
					options = append(options, wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
						slow()
						return wechatws.Endpoint{}, nil
					}))
					c = w.clientOf("", options...)
				case "WithLogin":
					c = w.client(append(options, wechatws.WithLogin(func(context.Context) (any, error) { slow(); return nil, nil }))...)
				default:
					c = w.client(options...)
					c.AfterConnect(2*time.Hour, func(context.Context, *wechatws.Setup) error { slow(); return nil })
				}
				require.Equal(t, errBanned, c.Connect(t.Context()))
				require.Zero(t, w.since())
				require.Equal(t, wechatws.StateFailed, c.State())
				<-c.Done()
				require.Equal(t, time.Hour, w.since())
			})
		})
	}
}

// What is queued stays, and Close hands it back.
func TestFailLeavesTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		c.send("one", "two")
		c.Fail(errBanned)
		require.Equal(t, 2, c.Stats().Queued)
		undelivered := (*wechatws.UndeliveredError)(nil)
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &undelivered)
		require.Len(t, undelivered.Messages, 2)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

func TestFailAndConnectAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.Fail(errBanned) // before the first Connect
		require.Equal(t, wechatws.StateFailed, c.State())
		require.ErrorIs(t, c.Send(t.Context(), 1), errBanned)
		<-c.Done()
		for range 3 {
			c.connect()
			c.Fail(errBanned)
			w.sleep(0)
			require.Equal(t, wechatws.StateFailed, c.State())
			require.Equal(t, wechatws.Disconnects{Local: c.Stats().Opens}, c.Stats().Disconnects)
		}
		c.connect()
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
		c.Fail(errBanned) // it has ended
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

// A client that Close or Shutdown is ending is closed, not failed.
func TestFailWhileClosing(t *testing.T) {
	for name, end := range map[string]func(c *client) error{
		"Close":    func(c *client) error { return c.Close(wechatws.StatusNormalClosure, "") },
		"Shutdown": func(c *client) error { return c.Shutdown(c.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				result := c.running()
				w.conn().StopReading()
				c.send(string(make([]byte, 1<<20)))
				w.sleep(time.Second)
				ended := make(chan error, 1)
				go func() { ended <- end(c) }()
				w.sleep(time.Second)
				c.Fail(errBanned)
				w.srv.Conns()[0].ResumeReading()
				require.NoError(t, <-ended)
				require.NoError(t, <-result)
				require.Equal(t, wechatws.StateClosed, c.State())
			})
		})
	}
}

// Close while the client is failing closes it after that, and hands the queue back.
func TestCloseWhileFailing(t *testing.T) {
	for name, end := range map[string]struct {
		close func(c *client) error
		bound time.Duration
	}{
		"Close":    {func(c *client) error { return c.Close(wechatws.StatusNormalClosure, "") }, 2 * time.Second},
		"CloseNow": {func(c *client) error { return c.CloseNow() }, 0},
		"Shutdown": {func(c *client) error { return c.Shutdown(c.t.Context()) }, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				result := c.running()
				conn := w.conn()
				conn.StopReading()
				c.send(string(make([]byte, 1<<20)), "one")
				w.sleep(time.Second)
				c.Fail(&wechatws.CloseError{Code: 4001})
				w.sleep(0)
				began := time.Now()
				err := end.close(c)
				require.LessOrEqual(t, time.Since(began), end.bound)
				undelivered := (*wechatws.UndeliveredError)(nil)
				require.ErrorAs(t, err, &undelivered)
				require.Equal(t, "one", string(undelivered.Messages[len(undelivered.Messages)-1].Data))
				require.Equal(t, wechatws.StateClosed, c.State())
				code := (*wechatws.CloseError)(nil)
				require.ErrorAs(t, <-result, &code)
				require.Equal(t, wechatws.StatusCode(4001), code.Code)
			})
		})
	}
}

func TestFailWithNil(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		result := c.running()
		w.conn()
		c.Fail(nil)
		require.EqualError(t, <-result, "wechatws: Fail(nil): err must be an error")
	})
}

// The peer receives the code and the reason of the cause, at once, although callbacks block.
func TestDisconnectWithACode(t *testing.T) {
	cause := &wechatws.CloseError{Code: 4000, Reason: "resuming"}
	for name, tt := range map[string]struct {
		cause error
		text  string
	}{
		"plain":     {cause, "wechatws: connection ended: close code 4000"},
		"wrapped":   {fmt.Errorf("no acknowledgement: %w", cause), "wechatws: no acknowledgement: wechatws: connection ended: close code 4000"},
		"permanent": {wechatws.Permanent(cause), "wechatws: connection ended: close code 4000"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				result := c.running()
				release := make(chan struct{})
				wechatws.On(c.Client, "block", func(context.Context, wechatws.Message) { <-release })
				conn := w.conn()
				require.NoError(t, conn.Send(`{"msg_type":"block"}`))
				w.sleep(time.Second)
				require.NoError(t, c.Disconnect(1, tt.cause))
				w.sleep(0)
				<-conn.Done()
				code, reason := conn.CloseCode()
				require.Equal(t, []any{4000, "resuming"}, []any{code, reason})
				close(release)
				w.sleep(time.Second)
				end := c.lastClose()
				require.Equal(t, []any{wechatws.StatusCode(4000), "resuming", false}, []any{end.Code, end.Reason, end.Remote})
				require.ErrorIs(t, end.Err, cause)
				require.EqualError(t, end.Err, tt.text)
				require.Equal(t, 1, c.Stats().Disconnects.Local)
				if name == "permanent" {
					require.ErrorIs(t, <-result, cause)
					require.Equal(t, wechatws.StateFailed, c.State())
					return
				}
				require.Equal(t, wechatws.StateWaiting, c.State())
				w.sleep(3 * time.Second)
				require.Equal(t, wechatws.StateOpen, c.State())
				c.close()
			})
		})
	}
}

// A peer that does not answer the close frame, or does not read it, holds nothing up for long.
func TestDisconnectWithACodeIsBounded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().StopReading()
		c.send(string(make([]byte, 1<<20)))
		w.sleep(time.Second)
		require.NoError(t, c.Disconnect(1, &wechatws.CloseError{Code: 4000}))
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, wechatws.StatusCode(4000), c.lastClose().Code)
		w.sleep(3 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A code that must not be sent is an error; one that says that there was no close frame, and one of
// another peer, are not sent.
func TestDisconnectCodes(t *testing.T) {
	for name, tt := range map[string]struct {
		cause *wechatws.CloseError
		want  string
	}{
		"none":       {&wechatws.CloseError{}, ""},
		"1005":       {&wechatws.CloseError{Code: wechatws.StatusNoStatusRcvd}, ""},
		"1006":       {&wechatws.CloseError{Code: wechatws.StatusAbnormalClosure}, ""},
		"remote":     {&wechatws.CloseError{Code: 4001, Reason: "your token is 1234", Remote: true}, ""},
		"2000":       {&wechatws.CloseError{Code: 2000}, "wechatws: Disconnect(2000): this code must not be sent"},
		"the reason": {&wechatws.CloseError{Code: 4000, Reason: string(make([]byte, 124))}, "a reason has at most 123 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				conn := w.conn()
				err := c.Disconnect(1, tt.cause)
				w.sleep(0)
				if tt.want != "" {
					option := (*wechatws.OptionError)(nil)
					require.ErrorAs(t, err, &option)
					require.ErrorContains(t, err, tt.want)
					require.Equal(t, wechatws.StateOpen, c.State())
				} else {
					require.NoError(t, err)
					<-conn.Done()
					code, reason := conn.CloseCode()
					assert.Equal(t, []any{1006, ""}, []any{code, reason})
				}
				c.Fail(tt.cause) // with any of them
				w.sleep(0)
				require.Equal(t, wechatws.StateFailed, c.State())
			})
		})
	}
}

// A permanent cause ends the client also when the connection has just ended, unless a newer one is
// open.
func TestDisconnectOfAConnectionThatHasJustEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		after  time.Duration
		answer wstest.Answer
		cause  error
		want   wechatws.State
	}{
		"at once":           {0, wstest.Accept(), wechatws.Permanent(errBanned), wechatws.StateFailed},
		"in the wait":       {time.Second, wstest.Accept(), wechatws.Permanent(errBanned), wechatws.StateFailed},
		"in the attempt":    {4 * time.Second, wstest.NoAnswer(), wechatws.Permanent(errBanned), wechatws.StateFailed},
		"a newer one":       {4 * time.Second, wstest.Accept(), wechatws.Permanent(errBanned), wechatws.StateOpen},
		"a temporary cause": {time.Second, wstest.Accept(), errBanned, wechatws.StateWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				result := c.running()
				conn := w.conn()
				w.srv.AnswerAlways(tt.answer)
				conn.Cut(wstest.FIN)
				w.sleep(tt.after)
				err := c.Disconnect(1, tt.cause)
				w.sleep(0)
				require.Equal(t, tt.want, c.State())
				if tt.want != wechatws.StateFailed {
					require.ErrorIs(t, err, wechatws.ErrNotOpen)
					c.close()
					return
				}
				require.NoError(t, err)
				require.ErrorIs(t, <-result, errBanned)
				require.ErrorIs(t, c.Disconnect(1, tt.cause), wechatws.ErrNotOpen)
			})
		})
	}
}

// Disconnect ends a connection on which the AfterConnect functions run.
func TestDisconnectDuringSetup(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			if o.Connection == 1 {
				require.NoError(t, c.Disconnect(1, &wechatws.CloseError{Code: 4000}))
				_, err := o.Receive(ctx)
				return err
			}
			return nil
		})
		c.connect()
		require.Equal(t, 3*time.Second, w.since())
		<-w.srv.Conns()[0].Done()
		code, _ := w.srv.Conns()[0].CloseCode()
		require.Equal(t, 4000, code)
		dial := (*wechatws.DialError)(nil)
		require.ErrorAs(t, c.errors()[0], &dial)
		require.Equal(t, "setup", dial.Phase)
		c.close()
	})
}

func TestFailWithAnErrorWhoseMethodsPanic(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		c.Fail((*url.Error)(nil))
		w.sleep(0)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.ErrorAs(t, c.lastChange().Err, new(*wechatws.PanicError))
	})
}

func TestDisconnectAndReconnectAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.sleep(10 * time.Second)
		require.NoError(t, c.Disconnect(1, wechatws.ErrReconnect))
		w.sleep(0)
		assert.Equal(t, 2, c.Connection())
		require.ErrorIs(t, c.Disconnect(1, wechatws.ErrReconnect), wechatws.ErrNotOpen)
		assert.Equal(t, 2, c.Connection())
		c.close()
	})
}

// A callback that waits for the end of its context does not outlast the client.
func TestACallbackThatWaitsEndsWithTheClient(t *testing.T) {
	for name, end := range map[string]func(c *client) error{
		"Close":    func(c *client) error { return c.Close(wechatws.StatusNormalClosure, "") },
		"CloseNow": func(c *client) error { return c.CloseNow() },
		"Shutdown": func(c *client) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return c.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				c.OnMessage(func(ctx context.Context, _ wechatws.Message) { <-ctx.Done() })
				c.connect()
				require.NoError(t, w.conn().Send("{}"))
				w.sleep(time.Second)
				c.Fail(errors.New("no"))
				w.sleep(time.Minute)
				select {
				case <-c.Done():
					t.Fatal("a callback still runs")
				default:
				}
				_ = end(c)
				w.sleep(time.Second)
				select {
				case <-c.Done():
				default:
					t.Fatal("the callback still runs")
				}
			})
		})
	}
}

// A client that has failed is closed by one more event, and Done waits for its callbacks.
func TestDoneWaitsForTheCallbacksOfAFailedClientThatIsClosed(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"Close":    func(c *client) { _ = c.Close(wechatws.StatusNormalClosure, "") },
		"CloseNow": func(c *client) { _ = c.CloseNow() },
		"Shutdown": func(c *client) { _ = c.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				closed := false
				c := w.client(quiet()...)
				c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
					if e.To == wechatws.StateClosed {
						time.Sleep(time.Second)
						closed = true
					}
				})
				c.connect()
				c.Fail(errors.New("over"))
				<-c.Done()
				end(c)
				<-c.Done()
				assert.True(t, closed)
			})
		})
	}
}
