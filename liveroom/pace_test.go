package liveroom_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Comments above the rate wait in order. An outage in which comments are queued is no exception: what
// the server receives in any second is within the limit.
func TestTheRateOfComments(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("bot", liveroom.WithCommentRate(3))).enter()
		began := time.Now()
		said := make(chan error, 1)
		var want []string
		go func() {
			for i := range 30 {
				if err := v.Say(t.Context(), fmt.Sprint(i)); err != nil {
					said <- err
					return
				}
			}
			said <- nil
		}()
		for i := range 30 {
			want = append(want, fmt.Sprint("bot: ", i))
		}
		w.sleep(2500 * time.Millisecond)
		require.Len(t, w.arrivals("message", began), 9)
		w.backend.Stop()
		w.sleep(time.Minute)
		require.Equal(t, 3, v.Client.Stats().Queued)
		w.backend.Start()
		w.sleep(30 * time.Second)
		require.NoError(t, <-said)
		at := w.arrivals("message", began)
		require.Len(t, at, 30)
		require.Equal(t, 3, most(at))
		require.Equal(t, want, texts(v.Snapshot().Comments))
	})
}

// Not more than 100 calls wait; a call ends with its context, and with the room.
func TestTheWaitForTheRateOfCommentsIsBounded(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("bot", liveroom.WithCommentRate(1))).enter()
		v.say("one")
		results := make(chan error, 100)
		for range 100 {
			go func() { results <- v.Say(context.Background(), "more") }()
		}
		w.sleep(0)
		require.ErrorIs(t, v.Say(t.Context(), "too many"), wechatws.ErrQueueFull)

		w.sleep(time.Second)
		require.NoError(t, <-results)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, v.Say(ctx, "in time"), context.DeadlineExceeded)

		v.leaveRoom()
		for range 99 {
			require.ErrorIs(t, <-results, wechatws.ErrClosed)
		}
		require.ErrorIs(t, v.Say(t.Context(), "late"), wechatws.ErrClosed)
		w.sleep(2 * time.Second)

		v.enter() // a new beginning
		v.say("again")
		require.Error(t, v.Say(context.Context(nil), "without a context"))
	})
}

// A callback may wait for its turn while there is no connection, which delays the next one by at most
// 10 s.
func TestACallbackThatWaitsForItsTurnDuringAnOutage(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("bot", liveroom.WithCommentRate(1)))
		v.Room.OnComment(func(ctx context.Context, c liveroom.Comment) {
			if c.Content != "go" {
				return
			}
			w.backend.Stop()
			for _, text := range []string{"first", "second", "third"} {
				require.NoError(t, v.Say(ctx, text))
			}
		})
		v.enter()
		w.backend.Say(roomID, "x", "go")
		w.sleep(time.Second)
		w.backend.Start()
		w.sleep(20 * time.Second)
		require.Equal(t, []string{"x: go", "bot: first", "bot: second", "bot: third"}, texts(v.Snapshot().Comments))
	})
}

// A callback that waits for its turn delays the callbacks of its room only, and Shutdown lets it speak.
func TestAReplyThatWaitsForItsTurn(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		rs := w.newRooms()
		liveroom.On(rs, func(ctx context.Context, r *liveroom.Room, c liveroom.Comment) {
			if !c.Own {
				_ = r.Say(ctx, "re: "+string(c.Content))
			}
		})
		for i := range 2 {
			_, err := rs.Add(t.Context(), numbered(i), liveroom.WithCommentRate(1))
			require.NoError(t, err)
		}
		w.sleep(time.Second)
		for i := range 3 {
			w.backend.Say("room 0", "x", fmt.Sprint(i))
		}
		w.backend.Say("room 1", "x", "hello")
		w.sleep(300 * time.Millisecond)
		require.Equal(t, []string{"x: hello", "bot 1.: re: hello"}, texts(rs.Get(numbered(1)).Snapshot().Comments))
		began := time.Now()
		room := rs.Get(numbered(0))
		require.NoError(t, rs.Shutdown(t.Context()))
		require.Less(t, time.Since(began), 3*time.Second)
		require.Contains(t, texts(room.Snapshot().Comments), "bot 0.: re: 0")
		require.Len(t, w.arrivals("message", began.Add(-time.Hour)), 4)
	})
}

// Comments that the server never shows do not hold up others: a permit is back a second after the
// comment was written. Nor do those that were dropped from the queue, or handed back.
func TestTheRateAndCommentsThatAreNotShown(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("bot", liveroom.WithCommentRate(2), liveroom.WithEchoTimeout(0)),
			wechatws.WithQueue(5, 1<<20, wechatws.QueueDropOldest)).enter()
		began := time.Now()
		var results []*result
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			results = append(results, v.confirm(ctx, fmt.Sprint("not shown ", i)))
		}
		for i := range 3 {
			v.say(fmt.Sprint(i))
		}
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		w.sleep(2 * time.Minute)
		require.Error(t, results[0].err)
		require.Error(t, results[1].err)
		require.LessOrEqual(t, most(w.arrivals("message", began)), 2)

		w.backend.Stop()
		w.sleep(time.Second)
		v.say("dropped")
		v.say("dropped")
		for i := range 5 {
			require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(i)}))
		}
		w.backend.Start()
		w.sleep(30 * time.Second)
		v.say("behind it")
		w.sleep(time.Second) // what is not written keeps its permit

		w.backend.Stop()
		w.sleep(2 * time.Second)
		v.say("handed back")
		v.say("handed back")
		require.Error(t, v.Leave())
		<-v.Done()
		w.backend.Start()
		w.sleep(10 * time.Second)
		v.enter()
		v.say("a new beginning")
	})
}
