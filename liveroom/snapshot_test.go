package liveroom_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// fill puts something into each list of a room, and says n comments.
func (w *world) fill(v *visitor, n int) {
	w.Helper()
	for i := range n {
		w.backend.Say(roomID, "x", fmt.Sprint(i))
	}
	w.backend.Buy(roomID, "x", "tea")
	require.NoError(w, v.PutOnShelf(w.Context(), liveroom.Goods{ID: liveroom.Num(1)}))
	require.NoError(w, v.PutOnShelf(w.Context(), liveroom.Goods{ID: liveroom.Num(2)}))
	w.sleep(time.Second)
}

// A snapshot that was taken does not change, whatever happens in the room afterwards.
func TestASnapshotDoesNotChange(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithHistory(3, 2))).enter()
		w.fill(v, 2)
		for name, change := range map[string]func(){
			"a comment":                 func() { v.say("new") },
			"a comment beyond the most": func() { w.fill(v, 4) },
			"a notice":                  func() { w.backend.Buy(roomID, "x", "cup") },
			"a rejoin":                  func() { require.NoError(t, v.Reconnect()); w.sleep(time.Minute) },
			"goods":                     func() { require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(3)})) },
			"other goods": func() {
				require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(1), Name: "new"}))
			},
			"goods that go": func() { require.NoError(t, v.TakeOffShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(2)})) },
			"a caller that appends": func() {
				s := v.Snapshot()
				_ = append(append(s.Comments, liveroom.Comment{}), s.Comments...)
				v.say("appended")
			},
		} {
			s := v.Snapshot()
			before := fmt.Sprint(s.Comments, s.Notices, s.Goods)
			change()
			w.sleep(time.Second)
			require.Equal(t, before, fmt.Sprint(s.Comments, s.Notices, s.Goods), name)
			require.Greater(t, v.Snapshot().Version, s.Version, name)
			now := v.Snapshot()
			require.NotEqual(t, before, fmt.Sprint(now.Comments, now.Notices, now.Goods), name)
		}
	})
}

// A list can change because of another one, for which there is no room any more, or at once.
func TestASnapshotHasWhatIsLeft(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithHistoryBytes(16<<10))).enter()
		c := w.conn()
		say := func(message string) liveroom.Snapshot {
			require.NoError(t, c.Send(message))
			w.sleep(time.Second)
			return v.Snapshot()
		}
		long := strings.Repeat("x", 4<<10)
		say(`{"msg_type":"on_off_shelf","status":"on","goods_id":1,"goods_name":"` + long + `"}`)
		require.Len(t, say(`{"msg_type":"on_off_shelf","status":"on","goods_id":2,"goods_name":"`+long+`"}`).Goods, 2)
		say(`{"msg_type":"message","from_name":"b","content":"` + long + `"}`)
		require.Len(t, say(`{"msg_type":"buy","msg_content":"`+long+`"}`).Goods, 1)
		require.Len(t, say(`{"msg_type":"join","message_list":[{"name":"b","content":"earlier"}]}`).Comments, 2)
	})
}

// Polling a room that is quiet costs nothing, and one where something is said only the
// comments.
func TestASnapshotOfAQuietRoomAllocatesNothing(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		for range 20 {
			w.fill(v, 1)
			s := v.Snapshot()
			require.Equal(t, len(s.Comments), cap(s.Comments), "who appends gets a copy")
			require.Equal(t, len(s.Notices), cap(s.Notices))
			require.Equal(t, len(s.Goods), cap(s.Goods))
		}
		w.fill(v, 300)
		s := v.Snapshot()
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = v.Snapshot() }))
		require.Equal(t, s.Version, v.Snapshot().Version)
		v.say("news")
		w.sleep(time.Second)
		now := v.Snapshot()
		require.Greater(t, now.Version, s.Version)
		require.Same(t, &s.Notices[0], &now.Notices[0], "notices have not changed, so they are not copied")
		require.Same(t, &s.Goods[0], &now.Goods[0])
		require.NotSame(t, &s.Comments[0], &now.Comments[0])
	})
}
