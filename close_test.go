package wechatws_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/wstest"
)

func TestAClosedClientStaysClosedUntilConnect(t *testing.T) {
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
		assert.Equal(t, wechatws.StateOpen, c.State(), "it reconnects again after the new Connect")
		c.close()
	})
}

// Close returns in time whatever is under way.
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
				for range 3 { // Close may be called again
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

// Close while the connection opens, from the server, a callback and a goroutine at once.
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

// Close before the first state change of a session, on a client that was closed before.
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

// No frame may follow a close frame.
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

// writeTimes records the times of the writes to a connection.
type writeTimes struct {
	mu    sync.Mutex
	times []time.Time
}

func (w *writeTimes) of(c net.Conn) net.Conn { return timedConn{c, w} }

type timedConn struct {
	net.Conn
	*writeTimes
}

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

func TestCloseRefusesInvalidCodesAndReasons(t *testing.T) {
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

// The functions of options, which run on the client's goroutines, may close it.
func TestCloseInsideTheFunctionsOfOptions(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		closeIt := func() { assert.NoError(t, c.Close(1000, "")) }
		for name, option := range map[string]wechatws.Option{
			"login": wechatws.WithLogin(func(context.Context) (any, error) { closeIt(); return "x", nil }),
			"heartbeat": wechatws.WithHeartbeat(wechatws.Heartbeat{NewMessage: func(int) (any, error) {
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
		assert.NoError(t, c.Close(1000, ""), "it hands back nothing of the new session")
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

// Two clients that close each other from their callbacks do not deadlock.
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

type dialerFunc func() error

func (f dialerFunc) Dial(context.Context, transport.Handshake) (transport.Conn, *http.Response, error) {
	return nil, nil, f()
}

type backOffFunc func() time.Duration

func (f backOffFunc) NextBackOff() time.Duration { return f() }

func (f backOffFunc) Reset() {}

func TestCloseNow(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		conn.StopReading() // Close would wait for the answer to its close frame
		began := time.Now()
		require.NoError(t, c.CloseNow())
		assert.Equal(t, wechatws.StateClosed, c.State())
		<-c.Done()
		assert.Zero(t, time.Since(began))
		conn.ResumeReading()
		<-conn.Done()
		code, _ := conn.CloseCode()
		assert.Equal(t, int(wechatws.StatusAbnormalClosure), code)
		assert.Equal(t, wechatws.StatusAbnormalClosure, c.lastClose().Code)
		assert.NoError(t, c.lastClose().Err, "it was asked for")
		require.NoError(t, c.CloseNow())
		w.sleep(time.Hour)
		assert.Equal(t, 1, c.Stats().Opens, "no reconnect follows")
	})
}

func TestCloseNowHandsBackTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client(quiet()...)
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		c.send("x", "y")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.CloseNow(), &left)
		assert.Len(t, left.Messages, 2)
	})
}

func TestCloseNowCutsACloseShort(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn().StopReading()
		began := time.Now()
		closed := make(chan time.Duration)
		go func() {
			_ = c.Close(wechatws.StatusNormalClosure, "")
			closed <- time.Since(began)
		}()
		w.sleep(500 * time.Millisecond)
		require.NoError(t, c.CloseNow())
		assert.Equal(t, 500*time.Millisecond, <-closed)
	})
}

func TestCloseNowInACallback(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		done := make(chan error, 1)
		c.OnOpen(func(context.Context, wechatws.OpenEvent) { done <- c.CloseNow() })
		c.connect()
		assert.NoError(t, <-done)
		require.NoError(t, c.CloseNow())
	})
}

// endings are the calls that close a client.
var endings = map[string]func(c *client) error{
	"Close":    func(c *client) error { return c.Close(1000, "") },
	"CloseNow": func(c *client) error { return c.CloseNow() },
	"Shutdown": func(c *client) error { return c.Shutdown(context.Background()) },
}

// A Connect or Run that waits for the session before ends with the next Close: a manual close
// stays closed.
func TestCloseEndsAConnectThatWaits(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				hang := make(chan struct{})
				asked := 0
				c := w.clientOf("", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
					if asked++; asked == 1 {
						<-hang
					}
					return wechatws.Endpoint{URL: w.srv.URL()}, nil
				}))
				go func() { _ = c.Connect(context.Background()) }()
				w.sleep(time.Second)
				require.NoError(t, c.Close(1000, ""))
				connected, ran := make(chan error, 1), make(chan error, 1)
				go func() { connected <- c.Connect(context.Background()) }()
				synctest.Wait()
				go func() { ran <- c.Run(context.Background()) }()
				w.sleep(time.Second)
				require.NoError(t, end(c))
				require.ErrorIs(t, <-connected, wechatws.ErrClosed)
				require.NoError(t, <-ran)
				close(hang)
				<-c.Done()
				require.Equal(t, wechatws.StateClosed, c.State())
				require.Equal(t, 1, asked)
				c.connect() // a new Connect is not affected
				c.close()
			})
		})
	}
}
