package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// The page shows the room as it is, and while nothing happens all viewers share the lists.
func TestTheDeskShowsTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(demo().room, wstest.NewNetwork())
		defer s.close()
		client, err := wechatws.New(s.backend.URL(), s.dialing()...)
		require.NoError(t, err)
		room, err := liveroom.New(client, s.bot)
		require.NoError(t, err)
		d := &desk{room: room, watch: watch(client), stage: s}
		require.Equal(t, view{Conn: connView{State: "idle"}, Backend: backendView{Own: true, Up: true}}, d.look())
		require.NoError(t, client.Connect(t.Context()))
		defer room.Leave()
		require.NoError(t, room.Joined(t.Context()))
		time.Sleep(time.Second)

		require.NoError(t, d.Say(t.Context(), "Lin", "one"))
		require.NoError(t, room.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(7), Name: "tea", Price: liveroom.Str("9.90")}))
		time.Sleep(time.Second)
		first := d.look()
		require.True(t, first.Room.Joined)
		require.Equal(t, []commentView{{Name: "Lin", Content: "one"}}, first.Comments)
		require.Equal(t, []goodsView{{ID: "7", Name: "tea", Price: "¥9.90"}}, first.Goods)
		require.Same(t, &first.Comments[0], &d.look().Comments[0])

		require.NoError(t, room.Say(t.Context(), "two"))
		for range 2 * shownNotices {
			s.backend.Buy("1", "Lin", "tea")
		}
		time.Sleep(time.Second)
		require.Len(t, d.look().Notices, shownNotices)
		require.NoError(t, d.Cut())
		time.Sleep(10 * time.Second)
		now := d.look()
		require.Equal(t, append(first.Comments, commentView{Name: "bot", Content: "two", Own: true}), now.Comments)
		require.Len(t, now.Notices, shownNotices)
		require.Equal(t, "open", now.Conn.State)
		require.Equal(t, "lost", now.Conn.Cause.Kind)
		var states []string
		for _, line := range now.Log {
			states = append(states, line.State)
		}
		require.Equal(t, []string{"connecting", "open", "waiting", "connecting", "open"}, states)
		require.Equal(t, int64(3000), now.Log[2].WaitMS)
		require.Equal(t, now.Conn.Cause, now.Log[2].Cause)
		require.Zero(t, now.Log[3].Cause)
	})
}
