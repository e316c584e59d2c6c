package liveroom_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// Each quirk that only changes how a message is written.
func TestRoomReadsEveryDialect(t *testing.T) {
	for name, q := range map[string]liveroomtest.Quirks{
		"plain":              {},
		"numbers as strings": {NumbersAsStrings: true},
		"escaped":            {EscapedText: true},
		"empty list []":      {EmptyList: "[]"},
		"empty list {}":      {EmptyList: "{}"},
		"empty list null":    {EmptyList: "null"},
		"name in history":    {HistoryName: true},
		"says who":           {SayWho: true},
		"all of PHP":         liveroomtest.GatewayWorker(),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, q, func(t *testing.T, w *world) {
				early := w.visitor(as("早")).enter() // to an empty room
				w.backend.Say(roomID, "小红", "a/b 😀")
				late := w.visitor(as("晚")).enter()
				early.say("1/2")
				w.sleep(time.Millisecond)
				require.Equal(t, []string{"小红: a/b 😀", "早: 1/2"}, texts(early.Snapshot().Comments))
				require.Equal(t, []string{"小红: a/b 😀", "早: 1/2"}, texts(late.Snapshot().Comments))
				require.EqualValues(t, 2, early.Snapshot().Viewers)
				require.EqualValues(t, 2, late.Snapshot().Viewers)
				require.True(t, early.Snapshot().Comments[1].Own)
				require.False(t, late.Snapshot().Comments[1].Own)
				require.Equal(t, []bool{true, false}, own(early.joins))
				require.Equal(t, []bool{true}, own(late.joins))
				require.NotEqual(t, early.Snapshot().ClientID, late.Snapshot().ClientID, "that of the other is not ours")
				require.Empty(t, early.errors())
			})
		})
	}
}

func own(joins []liveroom.JoinEvent) (own []bool) {
	for _, j := range joins {
		own = append(own, j.Own)
	}
	return own
}

func TestOneClientIDForAll(t *testing.T) {
	virtual(t, liveroomtest.Quirks{ClientID: "7"}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		require.Equal(t, "7", v.Snapshot().ClientID.String())
		w.conn().Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		require.Equal(t, "7", v.Snapshot().ClientID.String(), "given again, it is no id of the past")
	})
}

// The text heartbeat keeps a connection that protocol pings do not keep.
func TestTextHeartbeatKeepsTheConnection(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		beating := w.visitor(as("a")).enter()
		mute := w.visitor(as("b"), wechatws.WithoutHeartbeat()).enter()
		w.sleep(time.Minute)
		require.Empty(t, beating.closes)
		require.Len(t, mute.closes, 3, "15 s, 3 s to come back, and again")
		require.Equal(t, wechatws.StatusAbnormalClosure, mute.closes[0].Code, "a bare FIN")
		require.True(t, mute.closes[0].Remote)
	})
}

func TestPingsThatCount(t *testing.T) {
	q := liveroomtest.GatewayWorker()
	q.PingsCount = true
	virtual(t, q, func(t *testing.T, w *world) {
		v := w.visitor(as("b"), wechatws.WithoutHeartbeat()).enter()
		w.sleep(time.Minute)
		require.Empty(t, v.closes)
	})
}

func TestKickedWithACloseFrame(t *testing.T) {
	virtual(t, liveroomtest.Quirks{CloseFrames: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		require.Equal(t, 1, w.backend.Kick(roomID, "a"))
		w.sleep(4 * time.Second)
		require.Equal(t, wechatws.StatusGoingAway, v.closes[0].Code)
		require.True(t, v.Snapshot().Joined)
	})
}

// The connection before is noticed late: one viewer too many for a while, and a
// leave with our own name.
func TestGhostIsNotTakenForOurOwnLeaving(t *testing.T) {
	for _, sayWho := range []bool{false, true} {
		virtual(t, liveroomtest.Quirks{Linger: 8 * time.Second, SayWho: sayWho}, func(t *testing.T, w *world) {
			v := w.visitor(as("a")).enter()
			b := w.visitor(as("b")).enter()
			w.conn().Cut(wstest.FIN)
			w.sleep(4 * time.Second)
			require.EqualValues(t, 3, v.Snapshot().Viewers)
			w.sleep(5 * time.Second)
			require.Len(t, v.leaves, 1)
			require.True(t, v.leaves[0].Own)
			require.True(t, v.leaves[0].Ghost)
			require.True(t, v.Snapshot().Joined)
			n := v.Snapshot().Notices
			require.True(t, n[len(n)-1].Ghost)
			require.False(t, b.leaves[0].Own)
			require.False(t, b.leaves[0].Ghost, "for the others somebody has left")

			// And no more ghosts than connections were lost: this is another
			// visit of ours, from a telephone.
			require.NoError(t, w.conn().Send(`{}`))
			phone := w.visitor(as("a")).enter()
			phone.leaveRoom()
			w.sleep(10 * time.Second)
			require.Len(t, v.leaves, 2)
			require.True(t, v.leaves[1].Own)
			require.False(t, v.leaves[1].Ghost)
		})
	}
}

// Long after, it is nobody's ghost.
func TestNoGhostLongAfterTheRejoin(t *testing.T) {
	virtual(t, liveroomtest.Quirks{Linger: 3 * time.Minute}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		w.conn().Cut(wstest.FIN)
		w.sleep(2 * time.Minute)
		w.visitor(as("b")).enter() // that somebody else comes changes nothing
		w.sleep(2 * time.Minute)
		require.Len(t, v.leaves, 1)
		require.False(t, v.leaves[0].Ghost)
	})
}

// Who was thrown out hears nothing, and his heartbeats are still accepted. It
// shows when he says something.
func TestThrownOutOfTheRoom(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("hello")
		w.sleep(time.Second)
		require.Equal(t, 1, w.backend.ThrowOut(roomID, "a"))
		w.sleep(time.Hour)
		require.Empty(t, v.closes, "a quiet room is no reason to leave it")
		v.say("anybody there?")
		w.sleep(10*time.Second + time.Millisecond)
		require.ErrorIs(t, v.closes[0].Err, liveroom.ErrSilentRoom)
		require.Equal(t, wechatws.StateWaiting, v.lastChange().To)
		require.Equal(t, 3*time.Second, v.lastChange().RetryIn)
		w.sleep(4 * time.Second)
		require.True(t, v.Snapshot().Joined)
		require.Equal(t, 1, w.backend.Viewers(roomID))
	})
}

// Who goes on talking is not heard either.
func TestThrownOutWhileTalking(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("hello")
		w.sleep(time.Second)
		w.backend.ThrowOut(roomID, "a")
		for range 4 {
			v.say("anybody there?")
			w.sleep(3 * time.Second)
		}
		require.Len(t, v.closes, 1)
		require.ErrorIs(t, v.closes[0].Err, liveroom.ErrSilentRoom)
	})
}

// What was not accepted cannot be echoed.
func TestFailedSayIsNoReasonToWaitForAnEcho(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("hello")
		w.sleep(time.Second)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, v.Say(over, "too late"), context.Canceled)
		w.sleep(time.Minute)
		require.Empty(t, v.closes)
	})
}

// A server that never sends our own comments back has not thrown us out.
func TestNoEchoIsNoSilence(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		for range 5 {
			v.say("hello")
			w.sleep(time.Minute)
		}
		require.Empty(t, v.closes)
	})
}

// One that swallows a comment now and then (a filter, a mute) costs one rejoin,
// not one for every comment.
func TestMutedIsNotThrownOutAgainAndAgain(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("hello")
		w.sleep(time.Second)
		w.backend.Server().OnMessage(func(c *wstest.Conn, m wstest.Message) {
			if m.Text()[:len(`{"msg_type":"join"`)] == `{"msg_type":"join"` {
				_ = c.Send(`{"msg_type":"join","online_num":1}`)
			}
		})
		for range 20 {
			v.say("I am muted")
			w.sleep(time.Minute)
		}
		require.Len(t, v.closes, 1)
	})
}

// A slowReturn tells late that it has written.
type slowReturn struct {
	net.Conn
	slow *atomic.Bool
}

func (c slowReturn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.slow.Load() {
		time.Sleep(time.Second)
	}
	return n, err
}

// The echo may be quicker than Say returns, and in a quiet room it is all that is
// heard.
func TestEchoBeforeSayReturns(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		var slow atomic.Bool
		v := w.visitor(as("a"), wechatws.WithQueue(0, 0, wechatws.QueueFail),
			wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := w.backend.DialContext(ctx, network, addr)
				return slowReturn{c, &slow}, err
			})).enter()
		for range 3 {
			slow.Store(true)
			v.say("hello")
			slow.Store(false)
			w.sleep(time.Minute)
		}
		require.Len(t, v.comments, 3)
		require.Empty(t, v.closes)
	})
}

// In a lively room somebody else is heard, and nobody is thrown out.
func TestEchoWatchIsContentWithAnybody(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("hello")
		w.sleep(time.Second)
		w.backend.Server().OnMessage(func(*wstest.Conn, wstest.Message) {}) // swallow
		v.say("swallowed")
		w.sleep(9 * time.Second)
		w.backend.Say(roomID, "b", "hello yourself")
		w.sleep(time.Hour)
		require.Empty(t, v.closes)
	})
}

// A callback that takes its time keeps the echo and the others waiting. That is our silence, not the
// room's.
func TestSlowCallbackIsNoSilence(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithSilenceTimeout(20*time.Second)))
		v.OnComment(func(_ context.Context, c liveroom.Comment) {
			if c.Content == "slow" {
				time.Sleep(time.Minute)
			}
		})
		v.enter()
		v.say("hello")
		w.sleep(time.Second)
		v.say("slow")
		v.say("behind it")
		for range 6 {
			w.sleep(10 * time.Second)
			w.backend.Say(roomID, "b", "chatter")
		}
		require.Empty(t, v.ends())
	})
}

// An echo that is missing is missed also when something else was not accepted meanwhile.
func TestASayThatFailsDoesNotEndTheWatch(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for name, fail := range map[string]func(v *visitor) error{
		"Say":          func(v *visitor) error { return v.Say(over, "too late") },
		"PutOnShelf":   func(v *visitor) error { return v.PutOnShelf(over, liveroom.Goods{ID: liveroom.Num(1)}) },
		"TakeOffShelf": func(v *visitor) error { return v.TakeOffShelf(over, liveroom.Goods{ID: liveroom.Num(1)}) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				v := w.visitor(as("a")).enter()
				v.say("hello")
				w.sleep(time.Second)
				w.backend.ThrowOut(roomID, "a")
				v.say("anybody there?")
				w.sleep(time.Second)
				require.ErrorIs(t, fail(v), context.Canceled)
				w.sleep(time.Minute)
				require.Len(t, v.ends(), 1)
				require.ErrorIs(t, v.ends()[0].Err, liveroom.ErrSilentRoom)
			})
		})
	}
}

func TestSilenceTimeout(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithSilenceTimeout(5*time.Minute))).enter()
		for range 10 {
			w.sleep(4 * time.Minute)
			w.backend.Say(roomID, "b", "tick")
		}
		w.backend.ThrowOut(roomID, "a")
		w.sleep(5*time.Minute + 4*time.Second)
		require.Len(t, v.closes, 1)
		require.ErrorIs(t, v.closes[0].Err, liveroom.ErrSilentRoom)
		require.True(t, v.Snapshot().Joined)
	})
}

// A restart: everybody is cut at once, dials are refused, then accepted and cut
// for a moment, then good.
func TestRestart(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		v.say("before")
		w.sleep(time.Second)
		w.backend.Stop()
		w.sleep(5*time.Second + 950*time.Millisecond)
		v.say("while it was down")
		w.backend.Start() // the attempt at 6 s meets a server that cuts
		w.sleep(10 * time.Second)
		require.Equal(t, []string{"a: before", "a: while it was down"}, texts(v.Snapshot().Comments))
		require.EqualValues(t, 1, w.backend.Viewers(roomID))
		require.Empty(t, v.leaves)
		require.Len(t, v.errors(), 2, "refused, cut in the handshake")
	})
}

// 50 visitors in 10 rooms, whose workers restart one by one while people talk. What
// was said while somebody was away, his history tells; what the backend has sent
// after he was back, he has heard live, without a gap.
func TestRollingRestartUnder50Rooms(t *testing.T) {
	q := liveroomtest.GatewayWorker()
	q.HistorySize = 200
	virtual(t, q, func(t *testing.T, w *world) {
		const n = 200
		var visitors []*visitor
		knew := make([]int, 50) // how many comments there were when he was back
		for i := range knew {
			m := as(fmt.Sprintf("bot %02d.", i))
			m.RoomID = liveroom.Str(fmt.Sprint("room ", i%10))
			v := w.visitor(m, wechatws.WithJitter(0.2))
			v.OnJoin(func(_ context.Context, j liveroom.JoinEvent) {
				if j.Own {
					v.note(func() { knew[i], v.comments = len(v.Snapshot().Comments), nil })
				}
			})
			visitors = append(visitors, v.enter())
		}
		var talk sync.WaitGroup
		talk.Go(func() {
			for n := range n {
				for i := range 10 {
					w.backend.Say(fmt.Sprint("room ", i), "x", fmt.Sprint(n))
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		w.backend.RollingRestart(5, 2*time.Second)
		talk.Wait()
		synctest.Wait()
		var want []string
		for n := range n {
			want = append(want, fmt.Sprint("x: ", n))
		}
		for i, v := range visitors {
			require.Len(t, v.closes, 1)
			require.True(t, v.Snapshot().Joined)
			require.Equal(t, want, texts(v.Snapshot().Comments))
			require.Equal(t, want[knew[i]:], texts(v.comments))
			require.Greater(t, len(v.comments), 80, "everybody was back after at most 12 of 20 seconds")
		}
	})
}

// A slow reader loses what the backend cannot keep for it, and nobody tells it. It
// stays connected, and what still comes is good.
func TestSlowReaderLosesWhatTheBackendThrowsAway(t *testing.T) {
	virtual(t, liveroomtest.Quirks{SendBuffer: 64 << 10}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		release := make(chan struct{})
		v.OnComment(func(context.Context, liveroom.Comment) { <-release })
		v.enter()
		text := strings.Repeat("0", 1000)
		const n = 20000
		for range n {
			w.backend.Say(roomID, "x", text)
		}
		w.sleep(time.Minute)
		require.Empty(t, v.closes)
		close(release)
		w.sleep(time.Second)
		w.backend.Say(roomID, "x", "the end")
		w.sleep(time.Second)
		require.Less(t, len(v.comments), n)
		require.EqualValues(t, "the end", v.comments[len(v.comments)-1].Content)
	})
}
