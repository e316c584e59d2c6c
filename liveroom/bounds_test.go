package liveroom_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// textOf is all that a snapshot has of what others have said.
func textOf(s liveroom.Snapshot) []string {
	text := []string{s.ClientID.String()}
	for _, c := range s.Comments {
		text = append(text, c.ClientID.String(), c.FromUID.String(), string(c.FromName), string(c.Content))
	}
	for _, n := range s.Notices {
		text = append(text, n.Text)
	}
	for _, g := range s.Goods {
		text = append(text, g.ID.String(), g.Name, g.Price.String(), g.Image)
	}
	return text
}

// heap is what lives after a collection; allocated is what was ever allocated.
func heap() (live, allocated uint64) {
	runtime.GC()
	runtime.GC() // pools are emptied by the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.TotalAlloc
}

// flooded joins a room whose server sends n messages, and returns its snapshot.
func flooded(t *testing.T, m member, n int, message func(i int) string) (s liveroom.Snapshot) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.plain(m).join()
		c := w.conn()
		before, _ := heap()
		for i := range n {
			require.NoError(t, c.Send(message(i)))
		}
		w.sleep(time.Second)
		after, _ := heap()
		require.Less(t, int64(after)-int64(before), int64(6<<20), "bytes that live on")
		require.Empty(t, v.errors())
		s = v.Snapshot()
	})
	return s
}

// Whatever a server sends, a room keeps 1 MiB of it by default, the newest, and long
// texts are cut.
func TestWhatARoomKeepsIsBoundedInBytes(t *testing.T) {
	long := strings.Repeat("长", 20_000)
	history := func(i int) string {
		var list []string
		for range 100 {
			list = append(list, fmt.Sprintf(`{"name":"%d","content":"%s"}`, i, strings.Repeat("x", 5000)))
		}
		return `{"msg_type":"join","message_list":[` + strings.Join(list, ",") + `]}`
	}
	for name, message := range map[string]func(i int) string{
		"comments": func(i int) string {
			return fmt.Sprintf(`{"msg_type":"message","from_name":"%d","from_uid":"%[2]s","content":"%[2]s"}`, i, long)
		},
		"notices": func(i int) string {
			return fmt.Sprintf(`{"msg_type":"buy","msg_content":"%d%s"}`, i, long)
		},
		"goods": func(i int) string {
			return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d,"goods_name":"%s"}`, i, long)
		},
		"prices": func(i int) string {
			return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d,"goods_price":"%s"}`, i, long)
		},
		"histories":  history,
		"client ids": func(i int) string { return fmt.Sprintf(`{"msg_type":"news","client_id":"%d%s"}`, i, long) },
	} {
		t.Run(name, func(t *testing.T) {
			n := 100
			if name == "histories" {
				n = 10
			}
			s := flooded(t, as("a"), n, message)
			size := 0
			for _, text := range textOf(s) {
				size += len(text)
				require.LessOrEqual(t, len(text), 4<<10)
				require.True(t, utf8.ValidString(text))
				if len(text) > 2<<10 {
					require.True(t, strings.HasSuffix(text, "…"), "it is cut")
				}
			}
			require.LessOrEqual(t, size, 1<<20)
			switch name {
			case "comments", "histories":
				require.EqualValues(t, fmt.Sprint(n-1), s.Comments[len(s.Comments)-1].FromName)
			case "goods":
				require.Equal(t, fmt.Sprint(n-1), s.Goods[len(s.Goods)-1].ID.String())
				require.Greater(t, len(s.Goods), 50)
			case "client ids":
				require.Equal(t, "7f0000010b5400000001", s.ClientID.String(), "what is longer is no id")
			}
		})
	}
}

// Small things are many. A shelf has 1,000.
func TestAShelfIsBounded(t *testing.T) {
	s := flooded(t, as("a"), 5_000, func(i int) string {
		return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d}`, i)
	})
	require.Len(t, s.Goods, 1000)
	require.Equal(t, "4000", s.Goods[0].ID.String())
	require.Equal(t, "4999", s.Goods[999].ID.String())
}

// WithHistoryBytes is the bound, for all together; and what takes most of it is what gives way.
func TestBytes(t *testing.T) {
	s := flooded(t, as("a", liveroom.WithHistoryBytes(20_000)), 1000, func(i int) string {
		if i < 50 {
			return fmt.Sprintf(`{"msg_type":"message","from_name":"b","content":"%d"}`, i)
		}
		return fmt.Sprintf(`{"msg_type":"on_off_shelf","status":"on","goods_id":%d,"goods_name":"%s"}`, i, strings.Repeat("x", 1000))
	})
	size := 0
	for _, text := range textOf(s) {
		size += len(text)
	}
	require.LessOrEqual(t, size, 20_000)
	require.Len(t, s.Comments, 50, "they take little")
	require.Greater(t, len(s.Goods), 5)
	require.Equal(t, "999", s.Goods[len(s.Goods)-1].ID.String())
}

// A callback gets the message as it came.
func TestLongTextReachesCallbacksWhole(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		long := strings.Repeat("x", 10_000)
		v := w.visitor(as("a")).enter()
		w.backend.Say(roomID, "b", long)
		w.sleep(time.Second)
		require.EqualValues(t, long, v.comments[0].Content)
		require.EqualValues(t, long[:4<<10-len("…")]+"…", v.Snapshot().Comments[0].Content)
	})
}

// The work of merging two histories grows with their length, not with its square, and
// what it allocates shows that: a table of all pairs has 100 MB.
func TestMergingLongHistoriesIsLinear(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true) // the script below does it all
		const n = 5000
		script := func(c *wstest.Conn, from int) {
			var list []string
			for i := range n {
				list = append(list, fmt.Sprintf(`{"name":"x","content":"%d"}`, from+i))
			}
			_ = c.Send(`{"msg_type":"init","client_id":"1"}`)
			_, _ = c.Receive(t.Context())
			_ = c.Send(`{"msg_type":"join","online_num":1,"message_list":[` + strings.Join(list, ",") + `]}`)
			w.sleep(time.Millisecond)
		}
		v := w.plain(as("a", liveroom.WithHistory(n, 50)))
		go func() { _ = v.Connect(t.Context()) }()
		c := w.conn()
		script(c, 0)
		c.Cut(wstest.FIN)
		c = w.conn()
		_, before := heap()
		script(c, n/2)
		_, after := heap()
		require.Less(t, int64(after-before), int64(40<<20))
		comments := v.Snapshot().Comments
		require.Len(t, comments, n)
		for i, c := range comments {
			require.EqualValues(t, fmt.Sprint(n/2+i), c.Content)
		}
	})
}

// Of a history without end the newest 10,000 are read.
func TestAHistoryIsBounded(t *testing.T) {
	const n = 90_000
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"content":%d}`, i))
	}
	for _, data := range []string{
		"[" + strings.Join(items, ",") + "]",
		`{"1":` + strings.Join(items, `,"1":`) + "}",
	} {
		var h liveroom.History
		_, before := heap()
		require.NoError(t, json.Unmarshal([]byte(data), &h))
		_, after := heap()
		require.Less(t, int64(after-before), int64(20<<20))
		require.Len(t, h, 10_000)
		require.EqualValues(t, fmt.Sprint(n-10_000), h[0].Content)
		require.EqualValues(t, fmt.Sprint(n-1), h[9999].Content)
	}
}

// More comments may come before the join than are kept.
func TestManyCommentsBeforeTheJoin(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		v := w.visitor(as("a", liveroom.WithHistory(3, 50)))
		go func() { _ = v.Connect(t.Context()) }()
		c := w.conn()
		for i := range 5 {
			_ = c.Send(fmt.Sprintf(`{"msg_type":"message","from_name":"x","content":"%d"}`, i))
		}
		_ = c.Send(`{"msg_type":"init","client_id":"1"}`)
		_ = c.Send(`{"msg_type":"join","message_list":[{"name":"x","content":"1"},{"name":"x","content":"2"}]}`)
		w.sleep(time.Second)
		require.Empty(t, v.errors())
		require.Equal(t, []string{"x: 2", "x: 3", "x: 4"}, texts(v.Snapshot().Comments))
	})
}
