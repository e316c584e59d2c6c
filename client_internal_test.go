package wechatws

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/ws"
	"github.com/wechatws/wechatws/wstest"
)

// suspendable runs a test with an open client whose clock the test can shift.
func suspendable(t *testing.T, test func(c *Client, peer *wstest.Conn, slept *atomic.Int64), options ...Option) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		c, err := New(s.URL(), append(options, WithProxy(nil), WithNetDial(n.DialContext))...)
		require.NoError(t, err)
		var slept atomic.Int64
		c.cfg.wallClock = func() time.Time { return time.Now().Round(0).Add(time.Duration(slept.Load())) }
		require.NoError(t, c.Connect(t.Context()))
		peer, err := s.NextConn(t.Context())
		require.NoError(t, err)
		test(c, peer, &slept)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// A suspended machine's monotonic clock stands still, and only the wall clock
// shows the pause.
func TestASuspendedMachineProbesItsConnections(t *testing.T) {
	suspendable(t, func(c *Client, peer *wstest.Conn, slept *atomic.Int64) {
		time.Sleep(4 * time.Second)
		slept.Add(int64(time.Hour))
		time.Sleep(time.Minute)
		assert.Equal(t, StateOpen, c.State(), "the connection has survived, and so it stays")
		assert.Equal(t, 1, c.Stats().Opens)

		peer.Blackhole(true)
		slept.Add(int64(time.Hour))
		time.Sleep(3*time.Second + 5*time.Second) // to the next tick, and half the timeout
		synctest.Wait()
		assert.Equal(t, StateWaiting, c.State())
	})
}

// A wait ends soon after a suspended machine has woken up: the network is likely to be another
// one. A step of the wall clock that is shorter than any suspension ends none.
func TestASuspendedMachineWaitsNoLonger(t *testing.T) {
	suspendable(t, func(c *Client, peer *wstest.Conn, slept *atomic.Int64) {
		time.Sleep(6500 * time.Millisecond) // between two heartbeats
		peer.Cut(wstest.FIN)
		synctest.Wait()
		require.Equal(t, StateWaiting, c.State())
		time.Sleep(time.Minute)
		for range 20 {
			slept.Add(int64(jumpAfter))
			time.Sleep(suspendCheck)
		}
		synctest.Wait()
		require.Equal(t, StateWaiting, c.State())
		slept.Add(int64(time.Minute))
		time.Sleep(suspendCheck)
		synctest.Wait()
		assert.Equal(t, StateOpen, c.State())
		assert.Equal(t, 2, c.Stats().Attempts)
	}, WithTiers(Tier{Delay: 450 * time.Second}))
}

// A clock that is set back by years, as one that was ahead at boot, changes nothing: a dead peer is
// found in time, and a wait is as long as it was.
func TestAClockThatIsSetBack(t *testing.T) {
	suspendable(t, func(c *Client, peer *wstest.Conn, slept *atomic.Int64) {
		time.Sleep(4 * time.Second)
		slept.Add(-20 * 365 * 24 * int64(time.Hour))
		time.Sleep(time.Minute)
		require.Equal(t, StateOpen, c.State())
		pings := peer.Pings()
		time.Sleep(time.Minute)
		require.Equal(t, pings+20, peer.Pings())

		peer.Blackhole(true)
		time.Sleep(13 * time.Second) // the timeout, and one interval
		synctest.Wait()
		require.Equal(t, StateWaiting, c.State())
		due := c.Stats().RetryAt
		slept.Add(-20 * 365 * 24 * int64(time.Hour))
		time.Sleep(time.Until(due) - time.Millisecond)
		synctest.Wait()
		require.Equal(t, StateWaiting, c.State())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		assert.Equal(t, StateOpen, c.State())
	}, WithTiers(Tier{Delay: 450 * time.Second}))
}

// All clients that wait look for a suspension at the same moments, and no more often than that.
func TestWaitsLookForASuspensionTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		looks := map[time.Time]int{}
		var mu sync.Mutex
		const clients = 50
		for range clients {
			c, err := New("ws://unreachable.test", WithProxy(nil), WithNetDial(n.DialContext), WithTiers(Tier{Delay: time.Hour}))
			require.NoError(t, err)
			c.cfg.wallClock = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				looks[time.Now()]++
				return time.Now().Round(0)
			}
			go func() { _ = c.Connect(t.Context()) }()
			defer c.CloseNow()
			time.Sleep(17 * time.Millisecond)
		}
		mu.Lock()
		clear(looks)
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		assert.InDelta(t, 10*time.Minute/suspendCheck, len(looks), 1)
		for at, n := range looks {
			assert.Equal(t, clients, n, at)
		}
	})
}

// A suspended process finds its timer due long ago and its peer silent for as
// long. That must not count as silence of the peer, also if the timeout is shorter than a
// stall of a busy machine may be.
func TestASuspendedProcessIsNotSilenceOfThePeer(t *testing.T) {
	for name, tt := range map[string]struct {
		liveness Liveness
		late     time.Duration
	}{
		"default":                    {Liveness{}, time.Minute},
		"a short timeout":            {Liveness{Interval: 300 * time.Millisecond, Timeout: time.Second}, 800 * time.Millisecond},
		"a short timeout, suspended": {Liveness{Interval: 300 * time.Millisecond, Timeout: time.Second}, time.Minute},
		"a timeout near the pings":   {Liveness{Interval: 900 * time.Millisecond, Timeout: time.Second}, 100 * time.Millisecond},
		"a long timeout":             {Liveness{Timeout: 40 * time.Second}, 2100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			suspendable(t, func(c *Client, peer *wstest.Conn, _ *atomic.Int64) {
				time.Sleep(31 * time.Second)
				synctest.Wait()
				h := &c.link.heartbeat
				pings := peer.Pings()
				h.mu.Lock()
				h.due = time.Now().Add(-tt.late)
				h.from = h.due.Add(-time.Minute)
				h.mu.Unlock()
				tickSilent(h)
				synctest.Wait()
				assert.Equal(t, StateOpen, c.State())
				assert.Equal(t, pings+1, peer.Pings(), "it is probed")

				h.mu.Lock()
				h.due = time.Now().Add(-min(tt.late, jumpAfter))
				h.from = h.due.Add(-time.Minute)
				h.mu.Unlock()
				tickSilent(h)
				synctest.Wait()
				assert.Equal(t, StateWaiting, c.State(), "it has not answered the probe")
			}, WithLiveness(tt.liveness), WithoutHeartbeat())
		})
	}
}

// tickSilent calls tick as if nothing had arrived since the handshake.
func tickSilent(h *heartbeat) {
	h.link.socket = &ws.Socket{Conn: h.link.socket.Conn}
	h.tick()
}

// An idle client has one goroutine, the reader, and a timer.
func TestAnIdleClientHasOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		const clients = 20
		for range clients {
			c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
			require.NoError(t, err)
			c.OnMessage(func(_ context.Context, _ Message) {})
			require.NoError(t, c.Connect(t.Context()))
			defer c.Close(StatusNormalClosure, "")
			require.NoError(t, c.Send(t.Context(), Text("x")))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		assert.Equal(t, clients, strings.Count(string(stacks), "created by github.com/wechatws/wechatws.("))
	})
}

// A link that is no longer attached takes nothing from the queue: the messages are for the
// attached link.
func TestOnlyTheAttachedLinkTakesFromTheQueue(t *testing.T) {
	c, err := New("ws://localhost")
	require.NoError(t, err)
	s := &session{client: c}
	first, second := newLink(s, dialed{}), newLink(s, dialed{})
	first.writer.writing.Store(true) // no writer starts here
	second.writer.writing.Store(true)
	first.attach()
	require.NoError(t, c.Send(t.Context(), Text("x")))
	first.detach(net.ErrClosed)
	second.attach()
	first.detach(net.ErrClosed) // a late call
	_, ok := first.takeBatch(nil)
	assert.False(t, ok)
	assert.False(t, first.writer.writing.Load())
	_, ok = second.takeBatch(make([]*queued, 0, 1))
	assert.True(t, ok)
	assert.Len(t, second.writer.batch, 1)
	require.NoError(t, c.Send(t.Context(), Text("y")))
	assert.Same(t, second, c.attached.Load())
}

// What Close hands back is not sent any more and its SendConfirmed returns, also when the next
// Connect comes before that call goes on.
func TestSendConfirmedEndsWithClose(t *testing.T) {
	c, err := New("ws://localhost")
	require.NoError(t, err)
	first, second := &confirmation{turn: make(chan struct{})}, &confirmation{turn: make(chan struct{})}
	try := &queued{Kept: true}
	for _, call := range []*confirmation{first, second} {
		require.NoError(t, c.beginRequest(t.Context(), &call.request))
		require.NoError(t, c.confirmations.add(t.Context(), call, c.cfg))
	}
	require.True(t, c.confirmations.begin(first, try))
	c.refuse(ErrClosed, true)
	var left *UndeliveredError
	require.ErrorAs(t, c.takeBack(ErrClosed), &left)
	require.Len(t, left.Messages, 2)
	c.confirmations.accept(nil) // the next session
	c.outbox.Refuse(nil)
	assert.Error(t, c.push(t.Context(), try))
	assert.False(t, c.confirmations.begin(second, try))
	for _, call := range []*confirmation{first, second} {
		_, err := call.end()
		assert.ErrorIs(t, err, ErrClosed)
	}
}

// The end of a session ends its own calls, and none of the session that follows it at once.
func TestTheEndOfASessionEndsNoCallOfTheNext(t *testing.T) {
	for name, end := range map[string]func(c *Client){
		"Close":     func(c *Client) { _ = c.Close(StatusNormalClosure, "") },
		"CloseNow":  func(c *Client) { _ = c.CloseNow() },
		"Shutdown":  func(c *Client) { _ = c.Shutdown(context.Background()) },
		"a failure": func(c *Client) { _ = c.Disconnect(1, Permanent(net.ErrClosed)) },
	} {
		for _, state := range []State{StateOpen, StateWaiting, StateConnecting} {
			if name == "a failure" && state != StateOpen {
				continue
			}
			t.Run(name+" while "+state.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := wstest.NewNetwork()
					s := wstest.NewServer(wstest.WithNetwork(n))
					defer s.Close()
					s.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
						time.Sleep(50 * time.Millisecond)
						_ = conn.Send(m.Text())
					})
					switch state {
					case StateWaiting:
						s.Answer(wstest.Status(500, nil, ""))
					case StateConnecting:
						s.Answer(wstest.NoAnswer())
					}
					c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext), WithoutHeartbeat())
					require.NoError(t, err)
					go func() { _ = c.Connect(t.Context()) }()
					time.Sleep(time.Second)
					require.Equal(t, state, c.State())
					call := func(verb func(context.Context, any, func(Message) bool) (Message, error), text string) chan error {
						done := make(chan error, 1)
						go func() {
							_, err := verb(t.Context(), Text(text), func(m Message) bool { return string(m.Data) == text })
							done <- err
						}()
						return done
					}
					request := func(ctx context.Context, v any, match func(Message) bool) (Message, error) {
						return c.Request(ctx, v, match)
					}
					confirmed := func(ctx context.Context, v any, match func(Message) bool) (Message, error) {
						return c.SendConfirmed(ctx, v, match)
					}
					first := call(request, "first")
					synctest.Wait()
					go end(c)
					time.Sleep(time.Millisecond)
					require.NoError(t, c.Connect(t.Context()))
					second, third := call(request, "second"), call(confirmed, "third")
					if name != "Shutdown" { // which waits for the answer
						assert.Error(t, <-first)
					}
					assert.NoError(t, <-second)
					assert.NoError(t, <-third)
					require.NoError(t, c.Close(StatusNormalClosure, ""))
				})
			})
		}
	}
}

// A call that was delayed until its session was done must not change the next session.
func TestALateCallDoesNotReachTheNextSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
		require.NoError(t, err)
		require.NoError(t, c.Connect(t.Context()))
		old := c.session
		require.NoError(t, c.Close(StatusNormalClosure, ""))
		require.NoError(t, c.Connect(t.Context()))
		changes := 0
		c.OnNetworkChange(func(context.Context, NetworkStatus) { changes++ })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.Request(ctx, Text("question"), func(Message) bool { return false })
			ended <- err
		}()
		synctest.Wait()

		require.NoError(t, c.end(old, StatusGoingAway, "", nil))
		old.networkChanged(NetworkStatus{Type: "none"})
		synctest.Wait()
		assert.Equal(t, StateOpen, c.State())
		assert.Zero(t, changes)
		assert.Empty(t, ended)
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
		require.NoError(t, c.Close(StatusNormalClosure, ""))
	})
}

// A tick right after a stall does not count the stall: it sees either that the link does not read, or
// since when it reads again.
func TestATickAtTheEndOfAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{dialed: dialed{conn: users.Conn(nil)}, client: &Client{}}
		h := &l.heartbeat
		h.link, h.pulse = l, &pulse{timeout: time.Minute}
		past := time.Now()
		time.Sleep(time.Hour)
		for range 200 {
			l.stalled.Store(true)
			h.from = past
			go l.Resume()
			for stalled := true; stalled; {
				h.mu.Lock()
				stalled = l.stalled.Load()
				at := h.deadline()
				h.mu.Unlock()
				require.Positive(t, time.Until(at))
			}
			synctest.Wait()
		}
	})
}
