package inspect

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

func (p *Page) viewers() int {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	return len(p.feed.viewers)
}

func TestAStreamEndsWithItsViewer(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		one, two := w.watch(), w.watch()
		require.Equal(t, 2, w.page.viewers())
		one.leave()
		w.sleep(time.Second)
		require.Equal(t, 1, w.page.viewers())
		w.sleep(time.Minute)
		require.Len(t, two.take(), 1+30)
		two.leave()
		w.sleep(time.Second)
		require.Zero(t, w.page.viewers())
	})
}

func TestAStreamDoesNotHoldUpTheServersShutdown(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		one, two := w.watch(), w.watch()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, w.site.Shutdown(ctx))
		<-one.ended
		<-two.ended
		require.Zero(t, w.page.viewers())
	})
}

// A viewer whose connection takes nothing any more, as a phone in a tunnel.
func TestAViewerWhoTakesNothingIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for i := range 500 {
			w.page.Add(fmt.Sprint("shop ", i), w.client(quiet()...))
		}
		stuck := &stuckWriter{header: http.Header{}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", pageURL+"?events", nil)
		require.NoError(t, err)
		began := time.Now()
		w.page.ServeHTTP(stuck, r) // comes back
		require.Equal(t, writeWithin, time.Since(began))
		require.Zero(t, w.page.viewers())
	})
}

// A stuckWriter blocks in Write until its deadline.
type stuckWriter struct {
	header   http.Header
	deadline time.Time
}

func (s *stuckWriter) Header() http.Header                 { return s.header }
func (s *stuckWriter) WriteHeader(int)                     {}
func (s *stuckWriter) Flush()                              {}
func (s *stuckWriter) SetWriteDeadline(at time.Time) error { s.deadline = at; return nil }
func (s *stuckWriter) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, context.DeadlineExceeded
}

func TestHeadOfAStreamEnds(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		res, body := w.ask("HEAD", "?events")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Empty(t, body)
		require.Zero(t, w.page.viewers())
	})
}

// Everything at once, for the race detector: nothing may deadlock, and nothing be left.
func TestManyAtOnce(t *testing.T) {
	virtualPage(t, New(WithReconnect()), func(t *testing.T, w *world) {
		var all sync.WaitGroup
		for i := range 8 {
			c, _ := w.open(quiet()...)
			all.Go(func() {
				for n := range 30 {
					remove := w.page.Add(fmt.Sprintf("shop %d", i), c)
					time.Sleep(time.Duration(i*37+n*11) * time.Millisecond)
					_ = c.Reconnect()
					time.Sleep(time.Duration(n*7) * time.Millisecond)
					remove()
					remove()
				}
			})
			all.Go(func() {
				for n := range 20 {
					r, err := http.NewRequestWithContext(t.Context(), "GET", pageURL+"?events", nil)
					if err != nil {
						t.Error(err)
						return
					}
					res, err := w.web.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.CopyN(io.Discard, res.Body, int64(100*n))
					_ = res.Body.Close()
				}
			})
			all.Go(func() {
				for range 20 {
					w.page.feed.now(w.page.head())
					remove := w.page.AddRows(func(yield func(Row) bool) { yield(Row{Name: "far", Stats: wechatws.Stats{}}) })
					time.Sleep(90 * time.Millisecond)
					remove()
				}
			})
		}
		all.Wait()
		w.sleep(time.Second)
		require.Zero(t, w.page.viewers())
		require.Empty(t, w.rows())
	})
}
