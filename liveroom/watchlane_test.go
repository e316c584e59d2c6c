package liveroom_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// A comment is lost while a callback blocks: the one that has called SayConfirmed, or another one. In a
// silent room the connection is in doubt nevertheless, and the history of the rejoin decides.
func TestALossIsNoticedWhileACallbackBlocks(t *testing.T) {
	for fault, happen := range map[string]func(w *world){
		"reload": func(w *world) { go w.backend.Reload(50 * time.Millisecond) },
		"thrown out": func(w *world) {
			w.backend.ThrowOut(roomID, "a")
		},
		"frozen": func(w *world) {
			w.backend.Freeze(true)
			time.AfterFunc(5*time.Second, func() { w.backend.Freeze(false) })
		},
		"reload after a rejoin": func(w *world) {
			w.backend.Kick(roomID, "a")
			time.Sleep(30 * time.Second)
			go w.backend.Reload(50 * time.Millisecond)
		},
	} {
		for _, inside := range []bool{true, false} {
			for _, talks := range []bool{true, false} {
				name := fault
				if inside {
					name += ", in the callback"
				}
				if talks {
					name += ", others talk"
				}
				t.Run(name, func(t *testing.T) {
					virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
						v := w.plain(as("a"))
						began := make(chan struct{})
						r := &result{done: make(chan struct{})}
						v.Room.OnComment(func(ctx context.Context, c liveroom.Comment) {
							if c.Content != "go" {
								return
							}
							happen(w)
							time.Sleep(time.Millisecond)
							if inside {
								defer close(r.done)
								close(began)
								r.err = v.SayConfirmed(ctx, "hello")
								return
							}
							close(began)
							<-r.done
						})
						v.enter()
						require.NoError(t, v.SayConfirmed(t.Context(), "before"))
						w.backend.Say(roomID, "b", "go")
						if !inside {
							<-began
							go func() { defer close(r.done); r.err = v.SayConfirmed(t.Context(), "hello") }()
						}
						for range 90 {
							w.sleep(time.Second)
							if talks {
								w.backend.Say(roomID, "b", "chatter")
							}
						}
						over := r.over()
						assert.True(t, over)
						if !over {
							_ = v.CloseNow()
						}
						<-r.done
						require.NoError(t, r.err)
						require.Equal(t, []string{"before", "hello", "hello"}, w.said())
					})
				})
			}
		}
	}
}

// While the inbox is full behind a callback that blocks, the reader waits. That is no silence of the room.
func TestAFullInboxIsNoSilence(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.plain(as("a"))
		free := make(chan struct{})
		v.Room.OnComment(func(_ context.Context, c liveroom.Comment) {
			if c.Content == "go" {
				<-free
			}
		})
		v.enter()
		require.NoError(t, v.SayConfirmed(t.Context(), "before"))
		w.backend.Say(roomID, "b", "go")
		for range 1500 {
			w.backend.Say(roomID, "b", "chatter")
		}
		synctest.Wait()
		r := v.confirm(t.Context(), "hello")
		w.sleep(25 * time.Second)
		require.False(t, r.over())
		require.Empty(t, v.ends())
		close(free)
		synctest.Wait()
		require.True(t, r.over())
		require.NoError(t, r.err)
		require.Equal(t, []string{"before", "hello"}, w.said())
	})
}
