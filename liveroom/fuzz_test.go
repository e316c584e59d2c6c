package liveroom_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// FuzzRoom has a server say and do anything: each line is a message, but for those that name an
// event of the connection. Whatever the order, the room keeps no more than its limits allow, text
// that is valid, and each of the goods once; and it is joined again when the server behaves.
func FuzzRoom(f *testing.F) {
	const cut, closed, pause = "cut", "close", "pause"
	add := func(lines ...string) { f.Add(strings.Join(lines, "\n")) }
	for _, backend := range []string{"php", "node", "go"} {
		add(lines(f, backend)...)
	}
	add(`{"msg_type":"init"}`, cut, pause, `{"msg_type":"join","client_id":1,"message_list":[{"name":"a","content":"b"}]}`, closed)
	add(`{"msg_type":"on_off_shelf","status":"on","goods_id":1}`, `{"msg_type":"on_off_shelf","status":"on","goods_id":"1"}`,
		`{"msg_type":"on_off_shelf","status":"off","goods_id":1}`)
	add(`{"msg_type":"leave","from_name":"bot"}`, `{"msg_type":"message","from_name":"bot","content":"`+strings.Repeat("茶", 2000)+`"}`)
	f.Fuzz(func(t *testing.T, script string) {
		const comments, notices, size = 4, 3, 8 << 10
		virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
			v := w.plain(as("bot", liveroom.WithHistory(comments, notices), liveroom.WithHistoryBytes(size)),
				wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))
			v.join()
			newest := func() *wstest.Conn { cs := w.backend.Server().Conns(); return cs[len(cs)-1] }
			for i, line := range strings.Split(script, "\n") {
				if i == 50 {
					break
				}
				switch line {
				case cut, closed:
					if line == cut {
						newest().Cut(wstest.RST)
					} else {
						_ = newest().Close(1001, "")
					}
					w.sleep(time.Minute) // so that there is another one
				case pause:
					w.sleep(time.Minute)
				default:
					_ = newest().Send(line)
				}
			}
			w.sleep(time.Minute)
			s := v.Snapshot()
			require.LessOrEqual(t, len(s.Comments), comments)
			require.LessOrEqual(t, len(s.Notices), notices)
			kept := 0
			for _, text := range textOf(s) {
				kept += len(text)
				require.True(t, utf8.ValidString(text), "%q", text)
			}
			require.LessOrEqual(t, kept, size+4<<10, "and an id of at most 4 KiB")
			for i, g := range s.Goods {
				for _, other := range s.Goods[:i] {
					require.False(t, g.ID.Equal(other.ID), "%v twice", g.ID)
				}
			}
			require.True(t, s.Joined)
			require.Equal(t, wechatws.StateOpen, v.State())
		})
	})
}
