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
	if testing.Short() {
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

var _ = errors.Is
var _ wechatws.Message
var _ wstest.Cut
