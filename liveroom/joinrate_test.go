package liveroom_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// newRooms makes Rooms at the world's backend, which end with the test.
func (w *world) newRooms(options ...liveroom.RoomsOption) *liveroom.Rooms {
	w.Helper()
	return w.roomsOf(func(context.Context, liveroom.Identity) (*wechatws.Client, error) { return w.client() }, options...)
}

func (w *world) roomsOf(newClient func(context.Context, liveroom.Identity) (*wechatws.Client, error), options ...liveroom.RoomsOption) *liveroom.Rooms {
	w.Helper()
	rs, err := liveroom.NewRooms(newClient, options...)
	require.NoError(w, err)
	w.shared = append(w.shared, rs)
	return rs
}

// client makes a client of the backend.
func (w *world) client(options ...wechatws.Option) (*wechatws.Client, error) {
	options = append([]wechatws.Option{
		wechatws.WithProxy(nil), wechatws.WithNetDial(w.backend.DialContext), wechatws.WithJitter(0.2),
	}, options...)
	return wechatws.New(w.backend.URL(), options...)
}

// numbered is the identity of the bot in room i.
func numbered(i int) liveroom.Identity {
	m := as(fmt.Sprintf("bot %d.", i))
	m.RoomID = liveroom.Str(fmt.Sprint("room ", i))
	return m.Identity
}

// arrivals are when the server has received messages of a type since then, in order.
func (w *world) arrivals(msgType string, since time.Time) (at []time.Time) {
	for _, c := range w.backend.Server().Conns() {
		for _, m := range c.Received() {
			var head struct {
				MsgType string `json:"msg_type"`
			}
			if json.Unmarshal(m.Data, &head) == nil && head.MsgType == msgType && !m.At.Before(since) {
				at = append(at, m.At)
			}
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// most is the largest number of moments in any span of a second.
func most(at []time.Time) (n int) {
	first := 0
	for i := range at {
		for at[i].Sub(at[first]) >= time.Second {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}

// A restart of the backend, with all its connections lost in the same moment, and a rolling one: all
// rooms are back, no second has more joins than allowed, and no comment is lost or sent twice.
func TestManyRoomsJoinAtTheirRate(t *testing.T) {
	const rate = rooms / 50
	inTime := time.Duration(rooms/rate) * time.Second
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		w.net.SetLatency(5 * time.Millisecond)
		rs := w.newRooms(liveroom.WithJoinRate(rate))
		var mu sync.Mutex
		heard := map[string]int{}
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, c liveroom.Comment) {
			mu.Lock()
			defer mu.Unlock()
			heard[fmt.Sprint(r.Identity().RoomID, ": ", c.Content)]++
		})
		began := time.Now()
		for i := range rooms {
			_, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
		}
		settled := func(slack time.Duration) {
			t.Helper()
			w.sleep(inTime + slack)
			require.Equal(t, liveroom.RoomsStats{Rooms: rooms, Joined: rooms}, rs.Stats())
		}
		say := func(text string) {
			for r := range rs.All() {
				require.NoError(t, r.Say(t.Context(), text))
			}
		}
		settled(time.Second)
		say("first")
		w.sleep(time.Second)

		w.backend.Stop()
		say("while away")
		w.sleep(time.Minute)
		s := rs.Stats()
		require.Zero(t, s.Joined)
		require.WithinRange(t, s.AwaySince, time.Now().Add(-61*time.Second), time.Now().Add(-59*time.Second))
		w.backend.Start()
		w.sleep(12 * time.Second) // it is noticed by the next attempts
		s = rs.Stats()
		require.Greater(t, s.Waiting, rooms/2, "%+v", s)
		settled(10 * time.Second)
		say("second")
		w.sleep(time.Second)

		rolling := time.Now()
		go w.backend.RollingRestart(10, time.Second)
		w.sleep(10 * time.Second)
		settled(10 * time.Second)
		say("third")
		w.sleep(time.Second)

		joins := w.arrivals("join", began)
		require.GreaterOrEqual(t, len(joins), 3*rooms)
		require.Less(t, len(joins), 3*rooms+rooms/10, "tokens are for those that can join")
		require.LessOrEqual(t, most(joins), rate)
		require.Len(t, w.arrivals("join", rolling), rooms)
		for i := range rooms {
			for _, text := range []string{"first", "while away", "second", "third"} {
				require.Equal(t, 1, heard[fmt.Sprint("room ", i, ": ", text)], "%d %s", i, text)
			}
		}
		require.NoError(t, rs.Shutdown(t.Context()))
		w.sleep(0)
		require.Zero(t, w.backend.Server().OpenConns())
	})
}

// Connections that were dialed one after the other may be ready at once: the limit on joins holds
// nevertheless, and the wait counts against no timeout.
func TestJoinsThatAreReadyAtOnce(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(2))
		w.backend.Freeze(true) // accepts connections, and sends no init
		for i := range 20 {
			_, err := rs.Add(t.Context(), numbered(i), liveroom.WithJoinTimeout(12*time.Second))
			require.NoError(t, err)
		}
		w.sleep(11 * time.Second)
		require.Equal(t, liveroom.RoomsStats{Rooms: 20, Joining: 20, AwaySince: time.Now().Add(-11 * time.Second)}, rs.Stats())
		w.backend.Freeze(false)
		began := time.Now()
		for _, c := range w.backend.Server().Conns() {
			require.NoError(t, c.Send(`{"msg_type":"init","client_id":"x"}`))
		}
		w.sleep(time.Second / 2)
		require.Equal(t, 18, rs.Stats().Waiting)
		w.sleep(11 * time.Second)
		require.Equal(t, 20, rs.Stats().Joined)
		joins := w.arrivals("join", began)
		require.Len(t, joins, 20)
		require.Equal(t, 2, most(joins))
	})
}

// Rooms whose token is wrong try again and again. They take no permit to join, and at most every
// second turn to dial.
func TestFailingRoomsDoNotDelayOthers(t *testing.T) {
	const failing = 200
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.roomsOf(func(_ context.Context, id liveroom.Identity) (*wechatws.Client, error) {
			return w.client(wechatws.WithLogger(slog.New(slog.DiscardHandler)), wechatws.WithLogin(func(context.Context) (any, error) {
				if strings.HasPrefix(id.Name, "bad") {
					return nil, fmt.Errorf("no token")
				}
				return "token", nil
			}))
		}, liveroom.WithJoinRate(10))
		for i := range failing {
			id := numbered(i)
			id.Name = "bad"
			_, err := rs.Add(t.Context(), id)
			require.NoError(t, err)
		}
		w.sleep(time.Minute)
		began := time.Now()
		for i := range 10 {
			_, err := rs.Add(t.Context(), numbered(failing+i))
			require.NoError(t, err)
		}
		w.sleep(2200 * time.Millisecond)
		require.Equal(t, 10, rs.Stats().Joined)
		require.Len(t, w.arrivals("join", began), 10)
	})
}

// A room keeps its place when its attempt begins again, and no room starves.
func TestRoomsJoinInTheirOrder(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(1))
		var all []*liveroom.Room
		for i := range 10 {
			r, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
			w.sleep(0) // it is in the line
			all = append(all, r)
		}
		for range 20 {
			for _, r := range all {
				if r.Client().State() == wechatws.StateConnecting {
					require.NoError(t, r.Client().Reconnect())
				}
			}
			w.sleep(time.Second / 2)
		}
		joined := func(r *liveroom.Room) time.Time { return r.Client().Stats().Since }
		require.True(t, slices.IsSortedFunc(all, func(a, b *liveroom.Room) int { return joined(a).Compare(joined(b)) }))
		require.Equal(t, 10, rs.Stats().Joined)
	})
}

// A second init on a connection asks for another join, which counts too.
func TestASecondJoinCounts(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(5))
		for i := range 20 {
			_, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
		}
		w.sleep(5 * time.Second)
		began := time.Now()
		for _, c := range w.backend.Server().Conns() {
			require.NoError(t, c.Send(`{"msg_type":"init","client_id":"again"}`))
		}
		w.sleep(5 * time.Second)
		joins := w.arrivals("join", began)
		require.Len(t, joins, 20)
		require.Equal(t, 5, most(joins))
		require.Equal(t, 20, rs.Stats().Joined)
	})
}

// Rooms that wait for their turn are removed at once, and leave nothing in the line.
func TestRoomsThatWaitAreRemoved(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(1))
		for i := range rooms {
			_, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
			if i == 0 {
				w.sleep(0) // the others wait for their turn
			}
		}
		w.sleep(0)
		require.Equal(t, rooms-1, rs.Stats().Waiting)
		began := time.Now()
		var all sync.WaitGroup
		for i := 1; i < rooms; i++ {
			all.Go(func() { assert.NoError(t, rs.Remove(t.Context(), numbered(i))) })
		}
		all.Wait()
		require.Equal(t, began, time.Now())
		require.Equal(t, liveroom.RoomsStats{Rooms: 1, Joined: 1}, rs.Stats())
		_, err := rs.Add(t.Context(), numbered(rooms))
		require.NoError(t, err)
		w.sleep(2 * time.Second)
		require.Equal(t, 2, rs.Stats().Joined)
	})
}
