package inspect

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// thousand is a page of as many clients, whose numbers grow from look to look.
func thousand(b *testing.B) *Page {
	p := New()
	for i := range 1000 {
		c, err := wechatws.New("ws://server.test/")
		require.NoError(b, err)
		p.Add(fmt.Sprintf("shop %d", i), c)
	}
	look, grown := p.feed.source, int64(0)
	p.feed.source = func(all bool, see func(*row)) {
		grown++
		look(all, func(r *row) {
			r.in, r.inBytes, r.out, r.outBytes, r.rtt = grown, 100*grown, grown, 100*grown, 1000+grown%7
			see(r)
		})
	}
	return p
}

// What a look at a thousand clients costs that have all received and sent something:
// it comes every two seconds while somebody looks.
func BenchmarkTick(b *testing.B) {
	p := thousand(b)
	p.feed.now(head{})
	now := time.Now()
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(tickEvery)
		bytes += len(p.feed.update(now, true))
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/viewer")
}

// What somebody who joins costs.
func BenchmarkJoin(b *testing.B) {
	p := thousand(b)
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		bytes += len(p.feed.now(head{}))
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/viewer")
}

// What the history costs while nobody looks: a state, and an error.
func BenchmarkChange(b *testing.B) {
	c, err := wechatws.New("ws://server.test/")
	require.NoError(b, err)
	p := New()
	p.Add("client", c)
	w := p.clients.list[0]
	b.ReportAllocs()
	for b.Loop() {
		w.changed(wechatws.StateChange{At: time.Now(), From: wechatws.StateConnecting, To: wechatws.StateWaiting, Err: errors.New("connection refused")})
	}
}

// What a client takes on the page while nobody looks, with errors that are as long as
// they get, and then with somebody who looks.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		before := heap()
		p := thousand(b)
		bare := heap()
		for _, w := range p.clients.list {
			for n := range 2 * recentErrors {
				w.failed(fmt.Errorf("%d%300s", n, "x"))
			}
		}
		errs := heap()
		p.feed.now(head{})
		looked := heap()
		b.ReportMetric(float64(bare-before)/1000, "B/client-and-page")
		b.ReportMetric(float64(errs-bare)/1000, "B/errors")
		b.ReportMetric(float64(looked-errs)/1000, "B/looked")
		runtime.KeepAlive(p)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
