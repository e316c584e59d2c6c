package liveroom_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// An own comment that a history has from before is not taken for the same text, said now: neither if
// SayConfirmed is the first thing that is called, before the callbacks have received that history, nor
// behind a flood of one text that is longer than what is remembered.
func TestAnOldCommentInTheHistoryConfirmsNothing(t *testing.T) {
	line := func(name, text string) string { return fmt.Sprintf(`{"from_name":%q,"content":%q}`, name, text) }
	flood := slices.Repeat([]string{line("x", "666")}, 200)
	flood[100] = line("a", "hello")
	for name, tt := range map[string]struct{ first, live, second []string }{
		"callbacks are behind": {first: []string{line("a", "hello")}, second: []string{line("a", "hello")}},
		"a flood":              {live: append(slices.Repeat(flood[:1], 3), flood...), second: flood},
		"a flood in a history": {first: append(slices.Repeat(flood[:1], 3), flood...), second: flood},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				w.backend.Freeze(true) // the script below does it all
				v := w.visitor(as("a"), wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))
				v.OnOpen(func(context.Context, wechatws.OpenEvent) { time.Sleep(time.Minute) })
				go func() { _ = v.Connect(t.Context()) }()
				join := func(history []string) *wstest.Conn {
					c := w.conn()
					require.NoError(t, c.Send(`{"msg_type":"init","client_id":"1"}`))
					w.sleep(time.Millisecond)
					require.NoError(t, c.Send(`{"msg_type":"join","message_list":[`+strings.Join(history, ",")+`]}`))
					w.sleep(time.Second)
					return c
				}
				c := join(tt.first)
				for _, l := range tt.live {
					require.NoError(t, c.Send(`{"msg_type":"message",`+l[1:]))
				}
				w.sleep(time.Second)
				r := v.confirm(t.Context(), "hello")
				c.Cut(wstest.RST)
				c = join(tt.second)
				require.False(t, r.over())
				require.Equal(t, []string{"hello", "hello"}, w.said())
				require.NoError(t, c.Send(`{"msg_type":"message","from_name":"a","content":"hello"}`))
				w.sleep(time.Second)
				require.True(t, r.over())
				require.NoError(t, r.err)
			})
		})
	}
}

// What is remembered of long comments, to be compared with a history, is small.
func TestRememberedCommentsAreSmall(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		const rooms = 30
		for i := range rooms {
			v := w.plain(as(fmt.Sprint(i), liveroom.WithHistory(0, 0))).enter()
			require.NoError(t, v.SayConfirmed(t.Context(), "1"))
		}
		heap := func() int {
			w.sleep(time.Second)
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			return int(s.HeapAlloc)
		}
		before := heap()
		long := strings.Repeat("x", 4000)
		for i := range 120 {
			w.backend.Say(roomID, fmt.Sprint(i, long), long)
			w.sleep(time.Millisecond)
		}
		held := (heap() - before) / rooms
		t.Logf("%d bytes a room", held)
		require.Less(t, held, 300<<10)
	})
}

// A callback that ends the client when it sees the comment gets nothing back: the comment is confirmed.
func TestACommentThatIsShownIsNotHandedBack(t *testing.T) {
	for range 100 {
		virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
			v := w.visitor(as("a"))
			var end error
			v.OnComment(func(context.Context, liveroom.Comment) { end = v.CloseNow() })
			v.enter()
			r := v.confirm(t.Context(), "bye")
			w.sleep(time.Second)
			require.True(t, r.over())
			require.NoError(t, r.err)
			require.NoError(t, end)
		})
	}
}
