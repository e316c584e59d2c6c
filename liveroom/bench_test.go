package liveroom

import (
	"fmt"
	"testing"
	"time"

	"github.com/wechatws/wechatws"
)

// What a program pays that looks at a full room, when nothing has happened since it last did
// and when there was a comment.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{200, 5000} {
		client, err := wechatws.New("ws://localhost")
		if err != nil {
			b.Fatal(err)
		}
		r, err := New(client, Identity{RoomID: Num(1), Name: "a"}, WithHistory(n, 50), WithHistoryBytes(8<<20))
		if err != nil {
			b.Fatal(err)
		}
		for i := range 1000 {
			for range n/1000 + 1 {
				r.state.comments.add(Comment{Content: Text(fmt.Sprint(i))})
			}
			r.state.notices.add(Notice{At: time.Now(), Text: "in"})
			r.state.goods.add(Goods{ID: Num(i)})
		}
		r.bound()
		b.Run(fmt.Sprintf("comments=%d/unchanged", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = r.Snapshot()
			}
		})
		b.Run(fmt.Sprintf("comments=%d/changed", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.mu.Lock()
				r.state.comments.add(Comment{Content: "new"})
				r.bound()
				r.state.change()
				r.mu.Unlock()
				_ = r.Snapshot()
			}
		})
	}
}
