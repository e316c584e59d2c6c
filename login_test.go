package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// hello waits for the server's first message and answers it.
func hello(ctx context.Context, o *wechatws.Setup) error {
	for {
		m, err := o.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Type == "init" {
			return o.Send(ctx, map[string]int{"hello": o.Connection})
		}
	}
}

// greet makes the server send the first message of every connection.
func greet(w *world) {
	w.srv.OnConn(func(c *wstest.Conn) {
		_ = c.Send(`{"msg_type":"before"}`)
		_ = c.Send(`{"msg_type":"init"}`)
		_ = c.Send(`{"msg_type":"after"}`)
	})
}

func TestAfterConnectRunsBetweenLoginAndQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		greet(w)
		c := w.client(append(quiet(), wechatws.WithLoginMessage("login"))...).record()
		c.AfterConnect(time.Second, hello)
		c.send("queued")
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		first := w.conn()
		require.Equal(t, []string{`"login"`, `{"hello":1}`, "queued"}, received(first))

		first.Cut(wstest.FIN)
		w.sleep(time.Millisecond)
		c.send("queued again")
		w.sleep(3 * time.Second)
		require.Equal(t, []string{`"login"`, `{"hello":2}`, "queued again"}, received(w.conn()))
		c.close()
	})
}

// The callbacks get the messages that were received during setup, in order.
func TestMessagesDuringAfterConnectReachCallbacksAfterOnOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		greet(w)
		c := w.client(quiet()...).record()
		c.AfterConnect(time.Second, hello)
		c.connect()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"state connecting", "state open", "open",
			`message {"msg_type":"before"}`, `message {"msg_type":"init"}`, `message {"msg_type":"after"}`}, c.events())
		require.Equal(t, 1, c.messages[0].Connection)
		require.Equal(t, 1, c.opens[0].Connection)
		c.close()
		require.Equal(t, 1, c.lastClose().Connection)
	})
}

// A server that accepts a connection and sends nothing: the schedule goes on.
func TestAfterConnectThatTimesOutIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record()
		c.AfterConnect(10*time.Second, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(12 * time.Second)
		require.Equal(t, []string{"connecting", "waiting"}, c.states())
		var de *wechatws.DialError
		require.ErrorAs(t, c.lastChange().Err, &de)
		require.Equal(t, "setup", de.Phase)
		require.ErrorIs(t, de, context.DeadlineExceeded)
		require.EqualError(t, de, "wechatws: setup: not done within 10s: context deadline exceeded")
		require.Zero(t, w.srv.OpenConns())

		greet(w)
		w.sleep(2 * time.Second)
		require.Equal(t, []string{"connecting", "waiting", "connecting", "open"}, c.states())
		require.Equal(t, 2, c.opens[0].Connection)
		c.close()
		require.Empty(t, c.closes[1:], "the one that never opened is not closed either")
	})
}

func TestAfterConnectErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		open  func(ctx context.Context, o *wechatws.Setup) error
		serve func(c *wstest.Conn)
		check func(t *testing.T, err error)
	}{
		"of its own": {
			open:  func(context.Context, *wechatws.Setup) error { return broken },
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, broken) },
		},
		"panic": {
			open: func(context.Context, *wechatws.Setup) error { panic("oh") },
			check: func(t *testing.T, err error) {
				var pe *wechatws.PanicError
				require.ErrorAs(t, err, &pe)
			},
		},
		"closed by the peer": {
			open:  hello,
			serve: func(c *wstest.Conn) { _ = c.Close(4001, "not today") },
			check: func(t *testing.T, err error) {
				var ce *wechatws.CloseError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, wechatws.StatusCode(4001), ce.Code)
				require.True(t, ce.Remote)
			},
		},
		"what a timed out Receive said is ignored": {
			open: func(ctx context.Context, o *wechatws.Setup) error {
				ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				_, _ = o.Receive(ctx)
				return nil
			},
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, context.DeadlineExceeded) },
		},
		"cannot be encoded": {
			open:  func(ctx context.Context, o *wechatws.Setup) error { return o.Send(ctx, func() {}) },
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "cannot encode func()") },
		},
		"a flood": {
			open: hello,
			serve: func(c *wstest.Conn) {
				for i := 0; c.Send(`{"msg_type":"noise"}`) == nil && i < 3000; i++ {
				}
			},
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "not open after 1024 messages") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				if tt.serve != nil {
					w.srv.OnConn(tt.serve)
				}
				c := w.client(append(quiet(), wechatws.WithoutReconnect())...)
				c.AfterConnect(time.Minute, tt.open)
				err := c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.Equal(t, "setup", de.Phase)
				tt.check(t, err)
				require.NotContains(t, c.states(), "open")
			})
		})
	}
}

func TestAPermanentErrorOfAfterConnectEndsTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(context.Context, *wechatws.Setup) error {
			return wechatws.Permanent(errors.New("banned"))
		})
		require.ErrorContains(t, c.Connect(t.Context()), "banned")
		require.Equal(t, wechatws.StateFailed, c.State())
	})
}

func TestAfterConnectRunsInOrderAndCanBeRemoved(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var ran []string
		note := func(name string, err error) func(context.Context, *wechatws.Setup) error {
			return func(context.Context, *wechatws.Setup) error { ran = append(ran, name); return err }
		}
		c.AfterConnect(time.Second, note("first", nil))
		remove := c.AfterConnect(time.Second, note("second", errors.New("no")))
		c.AfterConnect(time.Second, note("third", nil))
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		require.Equal(t, []string{"first", "second"}, ran)
		remove()
		w.sleep(3 * time.Second)
		require.Equal(t, []string{"first", "second", "first", "third"}, ran)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

func TestAfterConnectMisuse(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, nil)
		c.AfterConnect(-time.Second, hello)
		err := c.Connect(t.Context())
		require.ErrorContains(t, err, "AfterConnect(nil): the callback must be a function")
		require.ErrorContains(t, err, "AfterConnect(-1s): the timeout must be longer than zero")
	})
}

// After its function has returned, the methods of a Setup return an error.
func TestASetupEndsWhenItsFunctionReturns(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var kept *wechatws.Setup
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error { kept = o; return nil })
		c.connect()
		require.ErrorContains(t, kept.Send(t.Context(), "late"), "after its AfterConnect function has returned")
		_, err := kept.Receive(t.Context())
		require.ErrorContains(t, err, "after its AfterConnect function has returned")
		require.Empty(t, received(w.conn()))
		c.close()
	})
}

func TestCloseDuringAfterConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		c.close()
		require.Equal(t, time.Second, w.since())
		w.sleep(0)
		require.Zero(t, w.srv.OpenConns())
	})
}

func TestCloseInsideAfterConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, func(context.Context, *wechatws.Setup) error {
			return c.Close(wechatws.StatusNormalClosure, "")
		})
		require.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrClosed)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

// A change of the network restarts the attempt during setup too.
func TestReconnectDuringAfterConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Hour, hello)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		greet(w)
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		require.Equal(t, []string{"connecting", "connecting", "open"}, c.states())
		require.Equal(t, 1, c.lastChange().Attempt)
		c.close()
	})
}

// The schedule restarts when a connection has been open for a while; setup does not count.
func TestTimeInAfterConnectIsNotStability(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(c *wstest.Conn) {
			time.Sleep(8 * time.Second)
			_ = c.Send(`{"msg_type":"init"}`)
			time.Sleep(time.Second)
			c.Cut(wstest.FIN)
		})
		c := w.client(quiet()...)
		c.AfterConnect(time.Minute, hello)
		c.connect()
		w.sleep(2 * time.Second)
		require.Equal(t, 2, c.lastChange().Attempt)
		c.close()
	})
}

func TestDisconnectEndsOneConnectionAndTheScheduleContinues(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		cause := errors.New("thrown out of the room")
		require.ErrorIs(t, c.Disconnect(1, cause), wechatws.ErrNotOpen)
		c.connect()
		require.ErrorIs(t, c.Disconnect(2, cause), wechatws.ErrNotOpen)
		require.NoError(t, c.Disconnect(1, cause))
		w.sleep(0)
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, 3*time.Second, c.lastChange().RetryIn)
		require.ErrorIs(t, c.lastClose().Err, cause)
		require.False(t, c.lastClose().Remote)
		w.sleep(3 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.ErrorIs(t, c.Disconnect(1, cause), wechatws.ErrNotOpen, "that one is gone")
		require.NoError(t, c.Disconnect(2, cause))
		require.ErrorContains(t, c.Disconnect(2, nil), "cause must be an error")
		c.close()
		require.ErrorIs(t, c.Disconnect(2, cause), wechatws.ErrNotOpen)
	})
}

func TestEndpointFunction(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		type call struct {
			attempt int
			last    string
		}
		var calls []call
		w.srv.Answer(wstest.Status(401, nil, "expired"), wstest.Accept(), wstest.Status(500, nil, ""))
		c := w.clientOf("", append(quiet(), wechatws.WithHeader(http.Header{"X-App": {"bot"}}),
			wechatws.WithEndpoint(func(_ context.Context, attempt int, last error) (wechatws.Endpoint, error) {
				text := ""
				if last != nil {
					text = last.Error()
				}
				calls = append(calls, call{attempt, text})
				if attempt == 3 {
					return wechatws.Endpoint{}, errors.New("no token today")
				}
				return wechatws.Endpoint{
					URL:    fmt.Sprintf("http://server.test:80/ws?n=%d", len(calls)),
					Header: http.Header{"Authorization": {fmt.Sprint("token ", len(calls))}},
				}, nil
			}))...).connect()
		first := w.conn().Request()
		assert.Equal(t, "/ws?n=2", first.URL.RequestURI(), "a first 401 is retried with fresh credentials")
		assert.Equal(t, "token 2", first.Header.Get("Authorization"))
		assert.Equal(t, "bot", first.Header.Get("X-App"))
		w.srv.Conns()[0].Cut(wstest.FIN)
		w.sleep(0)
		w.sleep(20 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, []call{
			{1, ""},
			{2, `wechatws: handshake server.test:80: server answered 401 Unauthorized`},
			{3, "wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF"},
			{4, "wechatws: endpoint: no token today"},
			{5, "wechatws: handshake server.test:80: server answered 500 Internal Server Error"},
		}, calls)
		c.close()
	})
}

func TestAPermanentErrorOfTheEndpointOrLoginEndsTheClient(t *testing.T) {
	revoked := errors.New("account closed")
	virtual(t, func(t *testing.T, w *world) {
		c := w.clientOf("", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, wechatws.Permanent(revoked)
		}))
		err := c.Connect(t.Context())
		assert.ErrorIs(t, err, revoked)
		assert.EqualError(t, err, "wechatws: endpoint: account closed")

		c = w.client(wechatws.WithLogin(func(context.Context) (any, error) { return nil, wechatws.Permanent(revoked) }))
		err = c.Connect(t.Context())
		assert.ErrorIs(t, err, revoked)
		assert.Zero(t, w.net.Clients())
	})
}

func TestALoginThatFailsIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		n := 0
		c := w.client(append(quiet(), wechatws.WithLogin(func(ctx context.Context) (any, error) {
			switch n++; n {
			case 1:
				return nil, errors.New("token service is down")
			case 2:
				return func() {}, nil // cannot be encoded
			case 3:
				panic("oops")
			case 4:
				<-ctx.Done() // the dial timeout
				return nil, ctx.Err()
			}
			return map[string]int{"n": n}, nil
		}))...)
		c.send("queued before")
		c.connect()
		assert.Equal(t, 4*3*time.Second+10*time.Second, w.since())
		w.sleep(0)
		assert.Equal(t, []string{`{"n":5}`, "queued before"}, received(w.srv.Conns()[4]), "nothing overtakes the login")
		for _, conn := range w.srv.Conns()[:4] {
			assert.Empty(t, received(conn))
		}
		assert.Len(t, c.errors(), 4)
		var pe *wechatws.PanicError
		assert.ErrorAs(t, c.errors()[2], &pe)
		assert.Equal(t, 1, c.Stats().Opens)
		assert.Equal(t, 1, w.net.MaxClients())
		c.close()
	})
}

func TestANilLoginSendsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithLogin(func(context.Context) (any, error) { return nil, nil }))...)
		c.connect()
		c.send("first")
		c.flush()
		w.sleep(0)
		assert.Equal(t, []string{"first"}, received(w.conn()))
		c.close()
	})
}

func TestAfterConnectReceivesMessagesWithoutAType(t *testing.T) {
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
		require.Len(t, c.errors(), 1, "what was received is taken")
		assert.ErrorIs(t, c.errors()[0], wechatws.ErrNotUTF8)
		c.close()
	})
}
