package liveroom_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// refusals counts the errors that the server answers with.
func refusals(v *visitor) func() int {
	var mu sync.Mutex
	n := 0
	wechatws.On(v.Client, "error", func(context.Context, wechatws.Message) {
		mu.Lock()
		defer mu.Unlock()
		n++
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// What waited through an outage is accepted by a server that stores the session a
// moment after its answer to the join: none of it is refused, all of it is in the room.
func TestWhatWaitedIsNotRefusedAfterARejoin(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		refused := refusals(v)
		var want []string
		say := func(text string) {
			v.say(text)
			want = append(want, "a: "+text)
		}
		v.join()
		for outage := range 5 {
			w.conn().Cut(wstest.FIN)
			w.sleep(time.Second)
			for i := range 10 {
				say(fmt.Sprintf("%d.%d", outage, i))
			}
			w.sleep(4 * time.Second)
			require.Zero(t, refused(), "after outage %d", outage)
			require.Equal(t, want, texts(v.Snapshot().Comments))
		}
	})
}

// Nor is what a callback says as soon as the room is joined.
func TestWhatIsSaidOnJoinIsNotRefused(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		refused := refusals(v)
		v.OnJoin(func(ctx context.Context, j liveroom.JoinEvent) {
			for i := range 3 {
				_ = v.Say(ctx, fmt.Sprint(i))
			}
		})
		v.join()
		w.sleep(time.Second)
		require.Zero(t, refused())
		require.Equal(t, []string{"a: 0", "a: 1", "a: 2"}, texts(v.Snapshot().Comments))
	})
}

// The time is that of WithSettle, behind the server's answer.
func TestSettle(t *testing.T) {
	for want, options := range map[time.Duration][]liveroom.Option{
		200 * time.Millisecond: nil,
		time.Second:            {liveroom.WithSettle(time.Second)},
		0:                      {liveroom.WithSettle(0)},
	} {
		virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
			v := w.visitor(as("a", options...))
			v.say("queued")
			began := time.Now()
			v.join()
			require.Equal(t, began, time.Now(), "it is joined with the answer")
			w.sleep(time.Minute)
			received := slices.DeleteFunc(w.conn().Received(), func(m wstest.Message) bool { return m.Text() == `{"msg_type":"ping"}` })
			require.Len(t, received, 2)
			require.Equal(t, began, received[0].At, "the join")
			require.Equal(t, began.Add(want), received[1].At)
		})
	}
}

// A connection that ends before it has settled was given nothing of what waits.
func TestAConnectionThatEndsWhileItSettles(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		v.say("queued")
		v.join()
		c := w.conn()
		w.sleep(100 * time.Millisecond)
		c.Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		require.Len(t, sent(c), 1, "the join")
		require.Equal(t, []string{"a: queued"}, texts(v.Snapshot().Comments))
	})
}
