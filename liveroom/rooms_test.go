package liveroom_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Many rooms in one process, each on a client of its own, made with the same
// options. Nothing of one gets into another, and all come back from a restart.
func TestManyRooms(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		id := func(i int) string { return fmt.Sprint("room ", i) }
		visitors := make([]*visitor, rooms)
		for i := range visitors {
			m := as(fmt.Sprintf("bot %d.", i))
			m.RoomID = liveroom.Str(id(i))
			visitors[i] = w.visitor(m, wechatws.WithJitter(0.2)).enter()
			time.Sleep(3 * time.Millisecond) // or all would beat in the same instant
		}
		speak := func(text string) {
			for i, v := range visitors {
				w.backend.Say(id(i), "x", fmt.Sprint(text, i))
				v.say(fmt.Sprint("answer ", i))
			}
			w.sleep(time.Second)
		}
		speak("first ")
		w.backend.Stop()
		w.sleep(10 * time.Second)
		w.backend.Start()
		w.sleep(15 * time.Second)
		speak("second ")
		ids := map[string]bool{}
		for i, v := range visitors {
			bot, s := fmt.Sprintf("bot %d.", i), v.Snapshot()
			require.True(t, s.Joined)
			require.EqualValues(t, 1, s.Viewers)
			require.Equal(t, []string{
				fmt.Sprint("x: first ", i), fmt.Sprint(bot, ": answer ", i),
				fmt.Sprint("x: second ", i), fmt.Sprint(bot, ": answer ", i),
			}, texts(s.Comments))
			require.Len(t, v.closes, 1)
			require.False(t, ids[s.ClientID.String()], "an id of its own")
			ids[s.ClientID.String()] = true
		}
	})
}

// A room is added once, and again after it was removed. Others are errors.
func TestAddAndRemove(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms()
		r, err := rs.Add(t.Context(), numbered(1))
		require.NoError(t, err)
		require.NoError(t, r.Joined(t.Context()))
		require.Equal(t, numbered(1), r.Identity())
		require.Same(t, r, rs.Get(numbered(1)))
		require.Nil(t, rs.Get(numbered(2)))

		same := numbered(1)
		same.Name, same.RoomID = "another", liveroom.Str("room 1")
		_, err = rs.Add(t.Context(), same)
		require.ErrorIs(t, err, liveroom.ErrRoomExists)
		require.EqualError(t, err, "liveroom: room room 1: liveroom: the room exists already")
		other := numbered(1)
		other.UserID = liveroom.Num(2)
		_, err = rs.Add(t.Context(), other)
		require.NoError(t, err, "another member of the same room")
		w.sleep(time.Second)
		require.Equal(t, liveroom.RoomsStats{Rooms: 2, Joined: 2}, rs.Stats())

		require.NoError(t, rs.Remove(t.Context(), numbered(1)))
		require.Equal(t, wechatws.StateClosed, r.Client().State())
		require.Nil(t, rs.Get(numbered(1)))
		require.ErrorIs(t, rs.Remove(t.Context(), numbered(1)), liveroom.ErrNoRoom)
		_, err = rs.Add(t.Context(), numbered(1))
		require.NoError(t, err)
		require.NoError(t, rs.Remove(t.Context(), numbered(1)), "at once, before it is connected")
		w.sleep(time.Minute)
		require.Equal(t, 1, w.backend.Server().OpenConns())

		require.NoError(t, rs.Shutdown(t.Context()))
		_, err = rs.Add(t.Context(), numbered(1))
		require.ErrorIs(t, err, wechatws.ErrClosed)
		require.NoError(t, rs.Shutdown(t.Context()))
		require.Zero(t, rs.Stats())
	})
}

// A room may be removed, and others added, in a callback of it; and from outside while one runs.
func TestRemoveDuringACallback(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms()
		result := make(chan error, 1)
		liveroom.On(rs, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) {
			switch c.Content {
			case "leave":
				err := rs.Remove(ctx, r.Identity())
				_, added := rs.Add(ctx, r.Identity())
				result <- errors.Join(err, added)
			case "slow":
				time.Sleep(10 * time.Second)
			}
		})
		_, err := rs.Add(t.Context(), numbered(1))
		require.NoError(t, err)
		w.sleep(time.Second)
		w.backend.Say("room 1", "x", "leave")
		w.sleep(0)
		require.NoError(t, <-result)
		w.sleep(time.Second)
		require.Equal(t, liveroom.RoomsStats{Rooms: 1, Joined: 1}, rs.Stats())

		w.backend.Say("room 1", "x", "slow")
		w.sleep(0)
		began := time.Now()
		go func() { result <- rs.Remove(t.Context(), numbered(1)) }()
		w.sleep(time.Second)
		_, err = rs.Add(t.Context(), numbered(1))
		require.ErrorIs(t, err, liveroom.ErrRoomExists, "it is still being removed")
		require.ErrorIs(t, rs.Remove(t.Context(), numbered(1)), liveroom.ErrNoRoom)
		require.NoError(t, <-result)
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// Callbacks of all rooms: each kind of event, with its room; in order within a room, and in parallel
// among them, so that a slow room delays no other.
func TestCallbacksOfAllRooms(t *testing.T) {
	virtual(t, liveroomtest.Quirks{SayWho: true}, func(t *testing.T, w *world) {
		rs := w.newRooms()
		var mu sync.Mutex
		events := map[string][]string{}
		note := func(r *liveroom.Room, text any) {
			mu.Lock()
			defer mu.Unlock()
			id := r.Identity().RoomID.String()
			events[id] = append(events[id], fmt.Sprint(text))
		}
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.JoinEvent) { note(r, "join") })
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.LeaveEvent) { note(r, "leave") })
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.SubscribeEvent) { note(r, "subscribe") })
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.BuyEvent) { note(r, "buy") })
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.ShelfEvent) { note(r, "shelf "+e.Status) })
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, e liveroom.Notice) { note(r, "notice "+e.Type) })
		block := make(chan struct{})
		remove := liveroom.On(rs, func(_ context.Context, r *liveroom.Room, c liveroom.Comment) {
			if c.Content == "block" {
				<-block
			}
			note(r, c.Content)
			if c.Content == "panic" {
				panic("a callback")
			}
		})
		for i := range 2 {
			r, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
			r.OnComment(func(_ context.Context, c liveroom.Comment) { note(r, "own") })
		}
		w.sleep(time.Second)
		w.backend.Say("room 0", "x", "block")
		for i := range 2 {
			id := fmt.Sprint("room ", i)
			w.backend.Say(id, "x", "panic")
			w.backend.Say(id, "x", "hello")
			w.backend.Subscribe(id, "x")
			w.backend.Buy(id, "x", "tea")
		}
		other := w.plain(member{Identity: func() liveroom.Identity { id := numbered(1); id.UserID, id.Name = liveroom.Num(7), "y"; return id }()})
		other.enter()
		require.NoError(t, other.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(1)}))
		w.sleep(time.Second)
		other.leaveRoom()
		w.sleep(time.Second)
		mu.Lock()
		require.Equal(t, []string{
			"notice join", "join", "own", "panic", "own", "hello", "notice subscribe", "subscribe", "notice buy", "buy",
			"notice join", "join", "shelf on", "notice leave", "leave",
		}, events["room 1"])
		require.Equal(t, []string{"notice join", "join", "own"}, events["room 0"])
		mu.Unlock()
		remove()
		close(block)
		w.sleep(time.Second)
		mu.Lock()
		require.Equal(t, []string{"block", "own", "own", "notice subscribe", "subscribe", "notice buy", "buy"}, events["room 0"][3:])
		mu.Unlock()

		liveroom.On[liveroom.BuyEvent](rs, nil)
		rs.OnFailed(nil)
		_, err := rs.Add(t.Context(), numbered(2))
		require.ErrorContains(t, err, "wechatws: liveroom.On(nil): the callback must be a function")
		require.ErrorContains(t, err, "wechatws: liveroom.Rooms.OnFailed(nil): the callback must be a function")
		_, err = rs.Add(t.Context(), numbered(2))
		require.NoError(t, err)
	})
}

// What goes wrong in newClient is an error of Add, with the id of the room.
func TestErrorsOfNewClient(t *testing.T) {
	var kept *wechatws.Client
	errToken := errors.New("no token")
	for name, tt := range map[string]struct {
		newClient func(w *world, ctx context.Context) (*wechatws.Client, error)
		want      string
	}{
		"error": {func(*world, context.Context) (*wechatws.Client, error) { return nil, errToken }, "newClient: no token"},
		"text of a server": {func(*world, context.Context) (*wechatws.Client, error) {
			return nil, fmt.Errorf("%w: \x1b[2J\n%s", errToken, strings.Repeat("x", 1<<20))
		}, "newClient: no token: \\x1b[2J\\nxxx"},
		"nothing": {func(*world, context.Context) (*wechatws.Client, error) { return nil, nil }, "newClient returned neither a client nor an error"},
		"panic":   {func(*world, context.Context) (*wechatws.Client, error) { panic("oops") }, "newClient: wechatws: user function panicked: oops"},
		"Goexit": {func(*world, context.Context) (*wechatws.Client, error) { runtime.Goexit(); return nil, nil },
			"newClient: wechatws: user function called runtime.Goexit"},
		"the end of its context": {func(_ *world, ctx context.Context) (*wechatws.Client, error) { <-ctx.Done(); return nil, ctx.Err() },
			"newClient: context deadline exceeded"},
		"one client for two": {func(w *world, _ context.Context) (*wechatws.Client, error) {
			if kept == nil {
				kept, _ = w.client()
			}
			return kept, nil
		}, "newClient returned the client of another room"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				wrong := false
				rs := w.roomsOf(func(ctx context.Context, _ liveroom.Identity) (*wechatws.Client, error) {
					if wrong || name == "one client for two" {
						return tt.newClient(w, ctx)
					}
					return w.client()
				})
				_, err := rs.Add(t.Context(), numbered(0))
				require.NoError(t, err)
				wrong = true
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = rs.Add(ctx, numbered(1))
				require.ErrorContains(t, err, "liveroom: room room 1: "+tt.want)
				var re *liveroom.RoomError
				require.ErrorAs(t, err, &re)
				require.Equal(t, numbered(1), re.ID)
				require.Less(t, len(err.Error()), 1200)
				require.Equal(t, strings.Contains(tt.want, "no token"), errors.Is(err, errToken))
				w.sleep(time.Second)
				require.Equal(t, liveroom.RoomsStats{Rooms: 1, Joined: 1}, rs.Stats(), "the others live on")
				require.NoError(t, rs.Shutdown(t.Context()))
			})
		})
	}
}

// Shutdown ends an Add that waits for newClient.
func TestShutdownDuringAdd(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.roomsOf(func(ctx context.Context, _ liveroom.Identity) (*wechatws.Client, error) {
			<-ctx.Done()
			return w.client()
		})
		result := make(chan error, 1)
		go func() {
			_, err := rs.Add(t.Context(), numbered(1))
			result <- err
		}()
		w.sleep(time.Second)
		require.NoError(t, rs.Shutdown(t.Context()))
		require.ErrorIs(t, <-result, wechatws.ErrClosed)
	})
}

// Shutdown waits for rooms that are being ended by another call, until its context ends, and one of the
// calls returns what is left.
func TestShutdownDuringRemove(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		for name, end := range map[string]func(rs *liveroom.Rooms, ctx context.Context) error{
			"Remove":   func(rs *liveroom.Rooms, ctx context.Context) error { return rs.Remove(ctx, numbered(1)) },
			"Shutdown": func(rs *liveroom.Rooms, ctx context.Context) error { return rs.Shutdown(ctx) },
		} {
			t.Log(name)
			rs := w.newRooms()
			room, err := rs.Add(t.Context(), numbered(1))
			require.NoError(t, err)
			entered := make(chan struct{})
			room.OnComment(func(ctx context.Context, _ liveroom.Comment) {
				close(entered)
				time.Sleep(3 * time.Second)
			})
			require.NoError(t, room.Joined(t.Context()))
			w.backend.Say("room 1", "x", "hello")
			<-entered
			began := time.Now()
			first := make(chan error, 1)
			go func() { first <- end(rs, context.Background()) }()
			w.sleep(time.Second)
			require.NoError(t, rs.Shutdown(t.Context()))
			require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
			require.Equal(t, wechatws.StateClosed, room.Client().State())
			require.NoError(t, <-first)
		}
	})
}

// A room that the server refuses is reported, and remains until it is removed.
func TestARoomThatFails(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		refuse := true
		rs := w.roomsOf(func(_ context.Context, id liveroom.Identity) (*wechatws.Client, error) {
			c, err := w.client(wechatws.WithLogin(func(context.Context) (any, error) {
				if id.Name == "bot 1." && refuse {
					return nil, wechatws.Permanent(errors.New("no token"))
				}
				return "token", nil
			}))
			if id.Name == "bot 3." {
				c.OnOpen(nil)
			}
			return c, err
		})
		failed := make(chan error, 2)
		again := make(chan error, 1)
		rs.OnFailed(func(ctx context.Context, r *liveroom.Room, err error) {
			failed <- &liveroom.RoomError{ID: r.Identity(), Err: err}
			if r.Identity().Name == "bot 1." && refuse {
				refuse = false
				_ = rs.Remove(ctx, r.Identity())
				_, err := rs.Add(ctx, r.Identity())
				again <- err
			}
		})
		var refused error // room 3 may have failed before
		for i := range 4 {
			r, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
			if err = r.Say(t.Context(), "hello"); i == 3 {
				refused = err
				continue
			}
			require.NoError(t, err)
		}
		w.sleep(2 * time.Second)
		require.NoError(t, <-again)
		texts := []string{(<-failed).Error(), (<-failed).Error()}
		require.ElementsMatch(t, []string{
			"liveroom: room room 1: wechatws: login: no token",
			"liveroom: room room 3: wechatws: OnOpen(nil): the callback must be a function",
		}, texts)
		require.Equal(t, liveroom.RoomsStats{Rooms: 4, Joined: 3, Ended: 1}, rs.Stats())
		require.ErrorIs(t, rs.Get(numbered(3)).Joined(t.Context()), wechatws.ErrClosed)
		require.NoError(t, rs.Get(numbered(0)).Leave())
		require.Equal(t, 2, rs.Stats().Ended)

		ended := rs.Shutdown(t.Context())
		if refused != nil {
			require.ErrorIs(t, refused, wechatws.ErrClosed)
			require.NoError(t, ended)
			return
		}
		var all *liveroom.RoomsError
		require.ErrorAs(t, ended, &all)
		require.Len(t, all.Rooms, 1)
		require.Equal(t, numbered(3), all.Rooms[0].ID)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, all, &left)
		require.Len(t, left.Messages, 1)
	})
}

// Shutdown ends all rooms at a time, within its context, and returns what each has not delivered.
func TestShutdownOfAllRooms(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(0))
		block := make(chan struct{})
		liveroom.On(rs, func(_ context.Context, r *liveroom.Room, c liveroom.Comment) { <-block })
		for i := range 50 {
			_, err := rs.Add(t.Context(), numbered(i))
			require.NoError(t, err)
		}
		w.sleep(time.Second)
		require.Equal(t, 50, rs.Stats().Joined)
		w.backend.Say("room 7", "x", "block")
		w.backend.Kick("room 3", "bot 3.")
		w.sleep(time.Second)
		require.Equal(t, liveroom.RoomsStats{Rooms: 50, Joined: 49, Away: 1, AwaySince: time.Now().Add(-time.Second)}, rs.Stats())
		require.NoError(t, rs.Get(numbered(3)).Say(t.Context(), "not delivered"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		var all *liveroom.RoomsError
		require.ErrorAs(t, rs.Shutdown(ctx), &all)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.Len(t, all.Rooms, 2)
		for _, err := range all.Rooms {
			if err.ID.Name == "bot 3." {
				require.EqualError(t, err, "liveroom: room room 3: wechatws: 1 message was not delivered")
			} else {
				require.EqualError(t, err, "liveroom: room room 7: context deadline exceeded")
			}
		}
		require.ErrorContains(t, all, ", and 1 more")
		close(block)
	})
}

func TestRoomsMisuse(t *testing.T) {
	_, err := liveroom.NewRooms(nil, nil, liveroom.WithJoinRate(-1))
	require.ErrorContains(t, err, "wechatws: liveroom.NewRooms(nil): newClient must be a function")
	require.ErrorContains(t, err, "wechatws: liveroom.NewRooms(nil): an option must not be nil")
	require.ErrorContains(t, err, "wechatws: liveroom.WithJoinRate(-1): must not be below zero")
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms(liveroom.WithJoinRate(-1), liveroom.WithJoinRate(2))
		var oe *wechatws.OptionError
		_, err := rs.Add(context.Context(nil), numbered(1))
		require.ErrorAs(t, err, &oe)
		require.ErrorAs(t, rs.Remove(context.Context(nil), numbered(1)), &oe)
		require.ErrorAs(t, rs.Shutdown(context.Context(nil)), &oe)
		_, err = rs.Add(t.Context(), liveroom.Identity{}, liveroom.WithCommentRate(-1), nil)
		require.ErrorContains(t, err, "Identity.RoomID")
		require.ErrorContains(t, err, "WithCommentRate(-1): must not be below zero")
		require.Zero(t, rs.Stats().Rooms)
	})
}
