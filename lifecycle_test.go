package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/wstest"
)

func TestConnectReturnsAtTheFirstOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(502, nil, "bad gateway"), wstest.CutHandshake(wstest.RST))
		c := w.client(wechatws.WithLoginMessage(map[string]string{"key": "value"}))
		require.NoError(t, c.Connect(t.Context()))
		assert.Equal(t, 6*time.Second, w.since(), "two failures, 3 s each")
		assert.Equal(t, wechatws.StateOpen, c.State())
		w.sleep(0)
		assert.Equal(t, []string{`{"key":"value"}`}, received(w.conn()), "login is written")
		assert.Len(t, c.errors(), 2, "OnError is told of failed attempts")
		c.close()
		assert.Equal(t, []string{"connecting", "waiting", "connecting", "waiting", "connecting", "open", "closed"}, c.states())
	})
}

func TestConnectReturnsAFinalError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(404, nil, "no such room\nmore"))
		c := w.client()
		err := c.Connect(t.Context())
		var he *wechatws.HandshakeError
		require.ErrorAs(t, err, &he)
		assert.Equal(t, 404, he.Status)
		assert.EqualError(t, err, `wechatws: handshake server.test:80: server answered 404 Not Found`)
		assert.Equal(t, wechatws.StateFailed, c.State())
		assert.Equal(t, err, c.lastChange().Err)

		err = c.Send(t.Context(), wechatws.Text("x"))
		assert.ErrorIs(t, err, wechatws.ErrClosed)
		assert.ErrorAs(t, err, &he, "and why")
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrClosed)

		w.srv.AnswerAlways(wstest.Accept())
		c.connect() // a failure is not for ever
		c.close()
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		c.send("never sent")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := c.Connect(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left, "what was accepted is handed back")
		assert.Equal(t, "never sent", string(left.Messages[0].Data))
		assert.Equal(t, wechatws.StateClosed, c.State())
		assert.Equal(t, 10*time.Second, w.since())
	})
}

func TestContextOfConnectHasNoSayAfterwards(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		c := w.client()
		require.NoError(t, c.Connect(ctx))
		cancel()
		w.sleep(time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

func TestConnectTwice(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.NoAnswer())
		c := w.client()
		first := make(chan error, 1)
		go func() { first <- c.Connect(t.Context()) }()
		w.sleep(time.Second)
		assert.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrAlreadyConnected, "while connecting")
		assert.ErrorIs(t, c.Run(t.Context()), wechatws.ErrAlreadyConnected)
		require.NoError(t, <-first)
		assert.ErrorIs(t, c.Connect(t.Context()), wechatws.ErrAlreadyConnected, "while open")
		assert.Equal(t, 1, w.net.MaxClients())
		c.close()
	})
}

func TestRun(t *testing.T) {
	t.Run("returns nil after Close", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client()
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			w.conn().Cut(wstest.FIN)
			w.conn() // it stays connected
			c.close()
			assert.NoError(t, <-over)
		})
	})
	t.Run("returns the cause of a failure", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(wechatws.WithoutReconnect())
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			require.NoError(t, w.conn().Close(4001, "kicked"))
			err := <-over
			var ce *wechatws.CloseError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, wechatws.StatusCode(4001), ce.Code)
			assert.EqualError(t, err, `wechatws: peer closed the connection: close code 4001`)
		})
	})
	t.Run("closes when its context ends", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client()
			ctx, cancel := context.WithCancelCause(t.Context())
			over := make(chan error, 1)
			go func() { over <- c.Run(ctx) }()
			conn := w.conn()
			w.sleep(time.Second)
			c.send("the last word")
			cancel(errors.New("SIGTERM"))
			assert.NoError(t, <-over, "that is how it ends")
			w.sleep(0)
			code, _ := conn.CloseCode()
			assert.Equal(t, 1001, code)
			assert.Contains(t, received(conn), "the last word", "the queue is drained")
			assert.Equal(t, wechatws.StateClosed, c.State())
			assert.EqualError(t, c.lastChange().Err, "SIGTERM")
		})
	})
}

func TestCloseStaysClosedAndConnectStartsAfresh(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).record().connect()
		conn := w.conn()
		require.NoError(t, c.Close(4000, "bye"))
		w.sleep(24 * time.Hour)
		code, reason := conn.CloseCode()
		assert.Equal(t, 4000, code)
		assert.Equal(t, "bye", reason)
		e := c.lastClose()
		assert.Equal(t, wechatws.CloseEvent{Connection: 1, Code: 4000, Reason: "bye"}, e)
		assert.Equal(t, 1, len(w.net.Dials()), "never followed by a reconnect")
		assert.ErrorIs(t, c.Send(t.Context(), wechatws.Text("x")), wechatws.ErrClosed)
		assert.ErrorIs(t, c.Flush(t.Context()), nil, "nothing is left to flush")

		c.connect()
		conn = w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"hello"}`))
		w.sleep(0)
		assert.Equal(t, []string{`{"msg_type":"hello"}`}, c.texts(), "the same callbacks")
		conn.Cut(wstest.FIN)
		w.sleep(3 * time.Second)
		assert.Equal(t, wechatws.StateOpen, c.State(), "drops are followed by reconnects again")
		c.close()
	})
}

// Close ends promptly whatever is under way.
func TestCloseAtAnyTime(t *testing.T) {
	blocked := func(ctx context.Context) { <-ctx.Done() }
	tests := map[string]struct {
		answer  []wstest.Answer
		options []wechatws.Option
		prepare func(w *world, c *client)
		state   wechatws.State
	}{
		"idle":             {state: wechatws.StateIdle, prepare: func(*world, *client) {}},
		"dial":             {answer: []wstest.Answer{wstest.NoAnswer()}, state: wechatws.StateConnecting},
		"dial, no packets": {state: wechatws.StateConnecting, prepare: func(w *world, c *client) { w.net.Down(); go c.Run(w.Context()) }},
		"wait":             {answer: []wstest.Answer{wstest.Status(500, nil, "")}, state: wechatws.StateWaiting},
		"endpoint": {state: wechatws.StateConnecting, options: []wechatws.Option{wechatws.WithEndpoint(func(ctx context.Context, _ int, _ error) (wechatws.Endpoint, error) {
			blocked(ctx)
			return wechatws.Endpoint{}, ctx.Err()
		})}},
		"login": {state: wechatws.StateConnecting, options: []wechatws.Option{wechatws.WithLogin(func(ctx context.Context) (any, error) {
			blocked(ctx)
			return nil, ctx.Err()
		})}},
		"offline": {state: wechatws.StateOffline, options: []wechatws.Option{wechatws.WithNetworkMonitor(newFakeNetwork(false))}},
		"callback": {state: wechatws.StateOpen, prepare: func(w *world, c *client) {
			c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { blocked(ctx) })
			go c.Run(w.Context())
		}},
		"closed": {state: wechatws.StateClosed, prepare: func(_ *world, c *client) { c.close() }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.Answer(tt.answer...)
				url := w.srv.URL()
				if name == "endpoint" {
					url = ""
				}
				c := w.clientOf(url, tt.options...)
				if tt.prepare == nil {
					go c.Run(w.Context())
				} else {
					tt.prepare(w, c)
				}
				w.sleep(time.Second)
				require.Equal(t, tt.state, c.State())
				before := w.since()
				closed := make(chan error, 3)
				for range 3 { // a second Close is as good as the first
					go func() { closed <- c.Close(1000, "") }()
				}
				for range 3 {
					assert.NoError(t, <-closed)
				}
				assert.Equal(t, wechatws.StateClosed, c.State())
				<-c.Done()
				assert.Equal(t, before, w.since(), "at once")
				assert.Zero(t, w.net.Clients())
			})
		})
	}
}

// Close at the very moment of opening, from everywhere at once.
func TestCloseRacesWithOpen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for range 100 {
			c := w.client(wechatws.WithLoginMessage("login"))
			w.srv.OnConn(func(*wstest.Conn) { assert.NoError(t, c.Close(1000, "from the server's side")) })
			c.OnOpen(func(context.Context, wechatws.OpenEvent) { assert.NoError(t, c.Close(1000, "from OnOpen")) })
			err := c.Connect(t.Context())
			if err != nil {
				assert.ErrorIs(t, err, wechatws.ErrClosed)
			}
			assert.NoError(t, c.Close(1000, "once more"))
			w.sleep(0)
			assert.Equal(t, wechatws.StateClosed, c.State())
			assert.Equal(t, len(c.opens), len(c.closes), "each open event has its close event")
			assert.Zero(t, w.net.Clients())
		}
		assert.Zero(t, w.since(), "and none of it waits")
	})
}

// Close before the session has made its first move, on a client that was closed
// before.
func TestCloseRacesWithConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		for range 200 {
			ended, cancel := context.WithCancel(t.Context())
			connected := make(chan error)
			go func() { connected <- c.Connect(ended) }()
			cancel()
			_ = c.Close(1000, "")
			<-connected
			w.sleep(0)
			for _, err := range c.Messages(t.Context()) {
				require.ErrorIs(t, err, wechatws.ErrClosed)
			}
			assert.Equal(t, wechatws.StateClosed, c.State())
		}
		assert.Empty(t, c.errors(), "every move was legal")
		assert.Zero(t, w.net.Clients())
	})
}

func TestCloseWithAPeerThatNoLongerAnswers(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().Blackhole(true)
		w.sleep(time.Second)
		before := w.since()
		c.close()
		assert.Equal(t, 2*time.Second, w.since()-before)
	})
}

// What is sent behind a close frame breaks the protocol.
func TestNothingFollowsACloseFrame(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		writes := &writeTimes{}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := w.net.DialContext(ctx, network, addr)
			return writes.of(conn), err
		}
		c := w.client(wechatws.WithNetDial(dial), wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 100 * time.Millisecond})).connect()
		w.conn().Blackhole(true)
		w.sleep(time.Second)
		before := time.Now()
		c.close()
		assert.Equal(t, 2*time.Second, time.Since(before))
		assert.Equal(t, before, writes.last())
	})
}

// writeTimes notes when a connection is written to.
type writeTimes struct {
	mu    sync.Mutex
	times []time.Time
}

type timedConn struct {
	net.Conn
	*writeTimes
}

func (w *writeTimes) of(c net.Conn) net.Conn { return timedConn{c, w} }

func (w *writeTimes) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times[len(w.times)-1]
}

func (c timedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.times = append(c.times, time.Now())
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func TestCloseRefusesWhatCannotBeSent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		for _, err := range []error{
			c.Close(1006, ""), c.Close(1005, ""), c.Close(999, ""), c.Close(2000, ""), c.Close(5000, ""),
			c.Close(1000, strings.Repeat("x", 124)), c.Close(1000, "\xff"),
		} {
			var oe *wechatws.OptionError
			assert.ErrorAs(t, err, &oe)
		}
		assert.EqualError(t, c.Close(1000, strings.Repeat("好", 42)), "wechatws: Close(reason of 126 bytes): a reason has at most 123 bytes of UTF-8")
		assert.Equal(t, wechatws.StateOpen, c.State(), "nothing was done")
		require.NoError(t, c.Close(1000, strings.Repeat("好", 41)))
	})
}

func TestEveryMethodInsideEveryCallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		c := w.client(quiet()...)
		calls := 0
		everything := func(ctx context.Context) {
			calls++
			_ = c.State()
			_ = c.Stats()
			_ = c.Send(ctx, wechatws.Text(`{"msg_type":"a"}`))
			_ = c.Send(ctx, wechatws.Binary([]byte("b")))
			remove := wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) {})
			remove()
			assert.ErrorIs(t, c.Connect(ctx), wechatws.ErrAlreadyConnected)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Flush(short)
			_, _ = c.Request(short, "q", func(wechatws.Message) bool { return true })
		}
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) { everything(ctx) })
		c.OnClose(func(ctx context.Context, e wechatws.CloseEvent) {
			if e.Err != nil { // otherwise Connect would start afresh
				everything(ctx)
			}
		})
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if calls < 20 {
				everything(ctx)
			}
		})
		c.connect()
		w.sleep(time.Minute)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Minute)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.GreaterOrEqual(t, calls, 20)
		_ = c.Close(1000, "")
	})
}

func TestCloseAndConnectInsideACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		again := 0
		c.OnOpen(func(ctx context.Context, _ wechatws.OpenEvent) {
			if again++; again > 3 {
				return
			}
			assert.NoError(t, c.Close(1000, "once more"))
			assert.NoError(t, c.Connect(context.WithoutCancel(ctx)))
		})
		require.NoError(t, c.Connect(t.Context()))
		w.sleep(time.Second)
		assert.Equal(t, 4, again)
		assert.Equal(t, 1, w.net.MaxClients())
		assert.Equal(t, []string{
			"state connecting", "state open", "open", "close", "state closed",
			"state connecting", "state open", "open", "close", "state closed",
			"state connecting", "state open", "open", "close", "state closed",
			"state connecting", "state open", "open",
		}, c.events())
		c.close()
	})
}

// The functions that run on the client's own goroutines may close it as well.
func TestCloseInsideTheFunctionsOfOptions(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		closeIt := func() { assert.NoError(t, c.Close(1000, "")) }
		for name, option := range map[string]wechatws.Option{
			"login": wechatws.WithLogin(func(context.Context) (any, error) { closeIt(); return "x", nil }),
			"heartbeat": wechatws.WithHeartbeat(wechatws.Heartbeat{NewMessage: func() (any, error) {
				closeIt()
				return "x", nil
			}}),
			"netDial": wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) {
				closeIt()
				return nil, errors.New("closed")
			}),
			"dialer":  wechatws.WithDialer(dialerFunc(func() error { closeIt(); return errors.New("closed") })),
			"retryIf": wechatws.WithRetryIf(func(wechatws.Failure) bool { closeIt(); return true }),
			"backoff": wechatws.WithBackOff(func() backoff.BackOff {
				return backOffFunc(func() time.Duration { closeIt(); return 0 })
			}),
		} {
			c = w.client(option)
			go c.Run(t.Context())
			w.sleep(time.Second)
			for _, conn := range w.srv.Conns() {
				if name != "heartbeat" {
					conn.Cut(wstest.FIN)
				}
			}
			w.sleep(time.Minute)
			assert.Equal(t, wechatws.StateClosed, c.State(), name)
		}
	})
}

type dialerFunc func() error

func (f dialerFunc) Dial(context.Context, transport.Handshake) (transport.Conn, *http.Response, error) {
	return nil, nil, f()
}

type backOffFunc func() time.Duration

func (f backOffFunc) NextBackOff() time.Duration { return f() }
func (f backOffFunc) Reset()                     {}

func TestConnectInsideOnCloseAfterClose(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.OnStateChange(func(ctx context.Context, e wechatws.StateChange) {
			if e.To == wechatws.StateClosed && c.Stats().Opens < 3 {
				assert.NoError(t, c.Connect(ctx))
				c.send("for the new connection")
			}
		})
		c.connect()
		w.conn().Blackhole(true)
		c.send("for the old connection")
		assert.NoError(t, c.Close(1000, ""), "and takes nothing from the new one")
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, []string{"for the new connection"}, received(w.conn()))
		assert.NoError(t, c.Close(1000, ""))
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
		assert.Equal(t, wechatws.StateClosed, c.State())
	})
}

// Two clients that close each other from their callbacks do not wait for each
// other.
func TestClientsCloseEachOther(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		a, b := w.client(quiet()...), w.client(quiet()...)
		both := make(chan struct{}, 2)
		meet := func(other *client) func(context.Context, wechatws.Message) {
			return func(context.Context, wechatws.Message) {
				both <- struct{}{}
				for len(both) < 2 {
					time.Sleep(time.Millisecond)
				}
				assert.NoError(t, other.Close(1000, ""))
			}
		}
		a.OnMessage(meet(b))
		b.OnMessage(meet(a))
		a.connect()
		b.connect()
		require.NoError(t, w.conn().Send("go"))
		require.NoError(t, w.conn().Send("go"))
		w.sleep(time.Second)
		assert.Equal(t, wechatws.StateClosed, a.State())
		assert.Equal(t, wechatws.StateClosed, b.State())
	})
}

func TestReconnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrNotOpen)
		c.connect()

		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "dropped, and open again at once")
		assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrReconnect)

		w.srv.Stop(wstest.FIN)
		w.sleep(time.Hour) // into the 450 s tier
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.Equal(t, 450*time.Second, c.lastChange().RetryIn)
		w.srv.Start()
		before := w.since()
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "the wait is cut short")
		assert.Equal(t, before, w.since())

		w.srv.Answer(wstest.NoAnswer())
		require.NoError(t, c.Reconnect())
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateConnecting, c.State())
		require.NoError(t, c.Reconnect())
		w.sleep(0)
		assert.Equal(t, wechatws.StateOpen, c.State(), "an attempt that hangs is made anew")
		assert.Equal(t, 1, w.net.MaxClients(), "and never two connections")
		c.close()
		assert.ErrorIs(t, c.Reconnect(), wechatws.ErrClosed)
	})
}

func TestStateChangesTellWhatAndWhen(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Answer(wstest.Status(503, http.Header{"Retry-After": {"7"}}, "deploying"))
		c := w.client(quiet()...).connect()
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Second)
		c.mu.Lock()
		var got []string
		for _, e := range c.changes {
			got = append(got, fmt.Sprintf("%v→%v attempt %d in %v: %v", e.From, e.To, e.Attempt, e.RetryIn, e.Err))
		}
		c.mu.Unlock()
		assert.Equal(t, []string{
			"idle→connecting attempt 1 in 0s: <nil>",
			`connecting→waiting attempt 2 in 7s: wechatws: handshake server.test:80: server answered 503 Service Unavailable`,
			"waiting→connecting attempt 2 in 0s: <nil>",
			"connecting→open attempt 2 in 0s: <nil>",
			"open→waiting attempt 3 in 3s: wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF",
		}, got)
		c.close()
	})
}

func TestTheCounterResetsOnlyAfterAStableConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}, wechatws.Tier{Delay: time.Minute}))...)
		c.connect()
		for _, want := range []time.Duration{time.Second, time.Second, time.Minute, time.Minute} {
			w.sleep(4 * time.Second) // not stable
			w.conn().Cut(wstest.FIN)
			w.sleep(0)
			assert.Equal(t, want, c.lastChange().RetryIn)
			w.sleep(want)
		}
		w.sleep(6 * time.Second) // stable
		w.conn().Cut(wstest.FIN)
		w.sleep(0)
		assert.Equal(t, time.Second, c.lastChange().RetryIn)
		assert.Equal(t, 1, c.lastChange().Attempt)
		c.close()
	})
}

func TestCloseByThePeerIsRetriedWhateverTheCode(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		for _, code := range []int{1000, 1001, 1008, 1011, 1012, 4000} {
			require.NoError(t, w.conn().Close(code, "restart"))
			w.sleep(0)
			e := c.lastClose()
			assert.Equal(t, wechatws.StatusCode(code), e.Code)
			assert.Equal(t, "restart", e.Reason)
			assert.True(t, e.Remote)
			w.sleep(3 * time.Second)
			assert.Equal(t, wechatws.StateOpen, c.State(), code)
		}
		c.close()
	})
}

func TestPolicyCloseIsBelievedTheThirdTime(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithPermanentAfter(0))...)
		over := make(chan error, 1)
		go func() { over <- c.Run(t.Context()) }()
		for range 3 {
			require.NoError(t, w.conn().Close(1008, "banned"))
		}
		err := <-over
		var ce *wechatws.CloseError
		require.ErrorAs(t, err, &ce)
		assert.Equal(t, wechatws.StatusPolicyViolation, ce.Code)
		assert.Len(t, w.srv.Conns(), 3)
	})
}

func TestBackOffStopEndsInFailedWithTheLastError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}))
		c.send("kept")
		err := c.Connect(t.Context())
		var de *wechatws.DialError
		require.ErrorAs(t, err, &de)
		assert.Equal(t, "connect", de.Phase)
		assert.EqualError(t, err, "wechatws: connect server.test:80: connection refused")
		assert.Len(t, w.net.Dials(), 3)

		w.srv.Start()
		c.connect()
		w.sleep(0)
		assert.Equal(t, []string{"kept"}, received(w.conn()), "a failure leaves the queue to the next Connect")
		c.close()
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

func TestALoginOfNothingSendsNothing(t *testing.T) {
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
