package liveroom_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// confirm calls SayConfirmed on a goroutine of its own, and returns its result, which is filled later.
func (v *visitor) confirm(ctx context.Context, text string) *result {
	r := &result{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = v.SayConfirmed(ctx, text)
	}()
	synctest.Wait()
	return r
}

type result struct {
	done chan struct{}
	err  error
}

func (r *result) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// said are the texts of the comments that the server has received on all connections.
func (w *world) said() (all []string) {
	for _, c := range w.backend.Server().Conns() {
		for _, m := range sent(c) {
			if strings.HasPrefix(m, `{"msg_type":"message"`) {
				_, text, _ := strings.Cut(m, `"content":"`)
				all = append(all, strings.TrimSuffix(text, `"}`))
			}
		}
	}
	return all
}

// Ten comments wait through each of 1,000 rejoins of a server that stores the session late: none is
// refused, none is lost, none is there twice.
func TestAThousandRejoinsWithTenCommentsWaiting(t *testing.T) {
	rejoins := 1000
	if testing.Short() || raceDetector {
		rejoins = 50
	}
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.plain(as("a"))
		var refused, lost atomic.Int32
		v.OnRefused(func(context.Context, *liveroom.RefusedError) { refused.Add(1) })
		shown := map[string]int{}
		var mu sync.Mutex
		watcher := w.plain(as("b"))
		watcher.Room.OnComment(func(_ context.Context, c liveroom.Comment) {
			mu.Lock()
			defer mu.Unlock()
			shown[string(c.Content)]++
		})
		watcher.enter()
		v.enter()
		for n := range rejoins {
			w.backend.Kick(roomID, "a")
			w.sleep(time.Millisecond)
			var results []*result
			for i := range 10 {
				results = append(results, v.confirm(t.Context(), fmt.Sprintf("%d.%d", n, i)))
			}
			w.sleep(10 * time.Second) // a connection of 5 s restarts the schedule
			for _, r := range results {
				require.True(t, r.over())
				if r.err != nil {
					lost.Add(1)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		twice := 0
		for _, n := range shown {
			twice += n - 1
		}
		assert.Zero(t, refused.Load(), "refused")
		assert.Zero(t, lost.Load(), "lost")
		assert.Len(t, shown, 10*rejoins)
		assert.Zero(t, twice, "twice")
	})
}

// A comment whose echo is not received is confirmed by its line in the history of the rejoin, and not
// written again; one that has not arrived is written again. The same text was said before.
func TestSayConfirmedIsConfirmedByTheHistory(t *testing.T) {
	for name, options := range map[string][]liveroom.Option{
		"": nil, "without history": {liveroom.WithHistory(0, 0)}, "without settling": {liveroom.WithSettle(0)},
	} {
		for _, arrives := range []bool{true, false} {
			t.Run(fmt.Sprint(name, arrives), func(t *testing.T) {
				q := liveroomtest.GatewayWorker()
				q.NoEcho = true
				virtual(t, q, func(t *testing.T, w *world) {
					w.backend.Say(roomID, "a", "hello")
					v := w.visitor(as("a", options...)).enter()
					w.backend.Say(roomID, "a", "hello")
					w.sleep(time.Second)
					if !arrives {
						go w.backend.Reload(time.Second)
						synctest.Wait()
					}
					r := v.confirm(t.Context(), "hello")
					w.sleep(time.Second)
					require.False(t, r.over())
					w.backend.Kick(roomID, "a")
					w.sleep(4 * time.Second)
					require.Equal(t, arrives, r.over())
					w.backend.Kick(roomID, "a") // the second writing is shown by the next history
					w.sleep(4 * time.Second)
					require.True(t, r.over())
					require.NoError(t, r.err)
					require.Len(t, w.said(), map[bool]int{true: 1, false: 2}[arrives])
				})
			})
		}
	}
}

// The second of two comments with the same text needs an echo of its own; one of Say needs none. Those
// that wait are sent in the order of the calls.
func TestEachCommentNeedsItsOwnEcho(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		go w.backend.Reload(time.Second) // handles what arrives behind it
		v.say("hello")
		first, second := v.confirm(t.Context(), "hello"), v.confirm(t.Context(), "hello")
		w.backend.Say(roomID, "b", "hello") // of another member
		w.sleep(100 * time.Millisecond)
		require.False(t, first.over())
		w.backend.Say(roomID, "a", "hello")
		w.sleep(100 * time.Millisecond)
		require.True(t, first.over())
		require.False(t, second.over())
		w.sleep(time.Second)
		require.True(t, second.over())
		require.NoError(t, errors.Join(first.err, second.err))
		require.Equal(t, []string{"hello", "hello", "hello"}, w.said())

		var results []*result
		for i := range 5 {
			results = append(results, v.confirm(t.Context(), fmt.Sprint(i)))
		}
		w.sleep(time.Second)
		for _, r := range results {
			require.True(t, r.over())
		}
		require.Equal(t, []string{"0", "1", "2", "3", "4"}, w.said()[3:])
	})
}

// How an own comment is recognized.
func TestEchoesThatConfirm(t *testing.T) {
	for name, tt := range map[string]struct {
		echo      string
		confirmed bool
	}{
		"name only":          {`{"msg_type":"message","from_name":"a","content":"x < y"}`, true},
		"uid":                {`{"msg_type":"message","from_uid":"u-a","from_name":"anna","content":"x < y"}`, true},
		"another uid":        {`{"msg_type":"message","from_uid":"u-b","from_name":"a","content":"x < y"}`, false},
		"another name":       {`{"msg_type":"message","from_name":"b","content":"x < y"}`, false},
		"no sender":          {`{"msg_type":"message","content":"x < y"}`, false},
		"escaped for a page": {`{"msg_type":"message","from_name":"a","content":" x &lt; y<br />"}`, true},
		"censored":           {`{"msg_type":"message","from_name":"a","content":"***"}`, false},
		"no object":          {`{"msg_type":"message","content":[]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
				v := w.visitor(as("a")).enter()
				r := v.confirm(t.Context(), "x < y")
				require.NoError(t, w.conn().Send(tt.echo))
				w.sleep(time.Second)
				require.Equal(t, tt.confirmed, r.over())
				if r.over() {
					require.NoError(t, r.err)
				}
			})
		})
	}
}

// A slow callback does not delay the verdict.
func TestTheVerdictDoesNotWaitForCallbacks(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		v.Room.OnComment(func(context.Context, liveroom.Comment) { time.Sleep(time.Minute) })
		v.enter()
		w.backend.Say(roomID, "b", "slow")
		synctest.Wait()
		began := time.Now()
		require.NoError(t, v.SayConfirmed(t.Context(), "1"))
		w.backend.Mute(roomID, "a", true)
		var refused *liveroom.RefusedError
		require.ErrorAs(t, v.SayConfirmed(t.Context(), "2"), &refused)
		require.Equal(t, began, time.Now())
	})
}

// It may be called in a callback, also while the connection is lost.
func TestSayConfirmedInACallback(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		var errs []error
		v.Room.OnComment(func(ctx context.Context, c liveroom.Comment) {
			if c.FromName == "b" {
				errs = append(errs, v.SayConfirmed(ctx, "re: "+string(c.Content)))
			}
		})
		v.enter()
		w.backend.Say(roomID, "b", "1")
		w.sleep(time.Second)
		require.Equal(t, []error{nil}, errs)
		go w.backend.Reload(time.Second)
		synctest.Wait()
		w.backend.Say(roomID, "b", "2")
		synctest.Wait()
		w.backend.Kick(roomID, "a")
		w.sleep(5 * time.Second)
		require.Equal(t, []error{nil, nil}, errs)
		require.Equal(t, []string{"re: 1", "re: 2", "re: 2"}, w.said())
		synctest.Wait()
		require.Equal(t, []string{"b: 1", "a: re: 1", "b: 2", "a: re: 2"}, texts(v.Snapshot().Comments))
	})
}

// A reload of the workers loses a comment, with no connection lost. It is written once more after the
// time for its echo, if the server has shown comments of this member before, and no other one since.
func TestAReloadLosesNoConfirmedComment(t *testing.T) {
	for name, tt := range map[string]struct {
		before, other bool // an own comment was shown before, and since
		want          error
		written       int
	}{
		"shown before": {before: true, written: 2},
		"never shown":  {want: liveroom.ErrNotShown, written: 1},
		"other text":   {before: true, other: true, want: liveroom.ErrNotShown, written: 1},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
				v := w.visitor(as("a")).enter()
				if tt.before {
					require.NoError(t, v.SayConfirmed(t.Context(), "before"))
				}
				go w.backend.Reload(time.Second)
				synctest.Wait()
				r := v.confirm(t.Context(), "hello")
				for range 9 { // the room goes on
					w.sleep(time.Second)
					w.backend.Say(roomID, "b", "chatter")
					if tt.other {
						w.backend.Say(roomID, "a", "h***")
					}
				}
				require.False(t, r.over())
				w.sleep(time.Second)
				require.True(t, r.over())
				require.ErrorIs(t, r.err, tt.want)
				require.Len(t, w.said(), tt.written+map[bool]int{true: 1}[tt.before])
				require.Empty(t, v.ends())
			})
		})
	}
}

// In a silent room the connection is in doubt, and the history of the rejoin decides.
func TestAReloadInASilentRoom(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		require.NoError(t, v.SayConfirmed(t.Context(), "before"))
		go w.backend.Reload(time.Second)
		synctest.Wait()
		r := v.confirm(t.Context(), "hello")
		w.sleep(15 * time.Second)
		require.True(t, r.over())
		require.NoError(t, r.err)
		require.Len(t, v.ends(), 1)
		synctest.Wait()
		require.Equal(t, []string{"a: before", "a: hello"}, texts(v.Snapshot().Comments))
	})
}

// A text that the server changes otherwise is never recognized. It is not written again and again.
func TestACensoredCommentEndsWithItsContext(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithEchoTimeout(0))).enter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := v.confirm(ctx, "darn")
		w.backend.Say(roomID, "a", "d***")
		w.sleep(time.Hour)
		require.True(t, r.over())
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.Equal(t, []string{"darn"}, w.said())
	})
}

// Close hands back those that are not confirmed.
func TestSayConfirmedWhenTheRoomIsLeft(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		first, second := v.confirm(t.Context(), "1"), v.confirm(t.Context(), "2")
		var undelivered *wechatws.UndeliveredError
		require.ErrorAs(t, v.Leave(), &undelivered)
		<-first.done
		<-second.done
		require.ErrorIs(t, first.err, wechatws.ErrClosed)
		require.ErrorIs(t, second.err, wechatws.ErrClosed)
		require.Len(t, undelivered.Messages, 2)
		require.Contains(t, string(undelivered.Messages[1].Data), `"content":"2"`)
		require.ErrorIs(t, v.SayConfirmed(t.Context(), "3"), wechatws.ErrClosed)
		require.ErrorContains(t, v.SayConfirmed(context.Context(nil), "4"), "the context must not be nil")
	})
}

// A connection that is lost while it settles has been given nothing.
func TestSayConfirmedAndAConnectionThatEndsWhileItSettles(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		r := v.confirm(t.Context(), "hello")
		v.join()
		w.sleep(100 * time.Millisecond)
		w.conn().Cut(wstest.RST)
		w.sleep(5 * time.Second)
		require.True(t, r.over())
		require.NoError(t, r.err)
		require.Equal(t, []string{"hello"}, w.said())
	})
}

// What the server did not keep in its history cannot be found there: the comment is in the room twice.
func TestACommentBeyondTheHistoryIsTwice(t *testing.T) {
	for _, size := range []int{3, 4} {
		virtual(t, liveroomtest.Quirks{NoEcho: true, HistorySize: size}, func(t *testing.T, w *world) {
			v := w.visitor(as("a")).enter()
			r := v.confirm(t.Context(), "hello")
			w.backend.Kick(roomID, "a")
			for range 3 {
				w.backend.Say(roomID, "b", "chatter")
			}
			w.sleep(4 * time.Second)
			require.Equal(t, size == 4, r.over())
			require.Len(t, w.said(), map[int]int{4: 1, 3: 2}[size])
		})
	}
}

// A member that waits with very many comments is confirmed in the time of one after the other.
func TestManyCommentsWait(t *testing.T) {
	const most = 1000
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		var waiting sync.WaitGroup
		var failed atomic.Int32
		for i := range most {
			waiting.Go(func() {
				if v.SayConfirmed(t.Context(), fmt.Sprint(i%7)) != nil {
					failed.Add(1)
				}
			})
		}
		synctest.Wait()
		v.join()
		waiting.Wait()
		synctest.Wait()
		require.Zero(t, failed.Load())
		require.Len(t, v.comments, most)
	})
}
