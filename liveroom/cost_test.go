package liveroom_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// BenchmarkMemory measures 1,000 joined rooms, with the server's side of their connections, on a network
// in memory: the difference is what Rooms costs.
func BenchmarkMemory(b *testing.B) {
	for _, variant := range []string{"rooms", "bare"} {
		b.Run(variant, func(b *testing.B) {
			for b.Loop() {
				backend := liveroomtest.NewBackend(liveroomtest.Quirks{}, wstest.WithNetwork(wstest.NewNetwork()), wstest.WithoutRecords())
				newClient := func(context.Context, liveroom.Identity) (*wechatws.Client, error) {
					return wechatws.New(backend.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(backend.DialContext))
				}
				rs, err := liveroom.NewRooms(newClient, liveroom.WithJoinRate(1000))
				if err != nil {
					b.Fatal(err)
				}
				liveroom.On(rs, func(context.Context, *liveroom.Room, liveroom.Comment) {})
				before := inUse()
				var all []*liveroom.Room
				for i := range 1000 {
					var r *liveroom.Room
					if variant == "rooms" {
						r, err = rs.Add(b.Context(), numbered(i), liveroom.WithCommentRate(1))
					} else {
						var c *wechatws.Client
						if c, err = newClient(b.Context(), numbered(i)); err == nil {
							r, err = liveroom.New(c, numbered(i))
							r.OnComment(func(context.Context, liveroom.Comment) {})
							go func() { _ = c.Connect(context.Background()) }()
						}
					}
					if err != nil {
						b.Fatal(err)
					}
					all = append(all, r)
				}
				for _, r := range all {
					if err := r.Joined(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				time.Sleep(2 * time.Second) // all permits are back
				b.ReportMetric(float64(inUse()-before)/1000, "B/room")
				b.ReportMetric(float64(runtime.NumGoroutine())/1000, "goroutines/room")
				began := time.Now()
				if variant == "rooms" {
					s := rs.Stats()
					b.ReportMetric(float64(time.Since(began).Microseconds()), "µs/Stats")
					if s.Joined != 1000 {
						b.Fatal(s)
					}
				}
				for _, r := range all {
					_ = r.Client().CloseNow()
				}
				for _, r := range all {
					<-r.Client().Done()
				}
				backend.Close()
			}
		})
	}
}

// inUse returns the bytes of live objects.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
