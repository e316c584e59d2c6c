package wechatws_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// With QueueWait, no message is written before one whose call has begun earlier, however
// large or small it is: nothing overtakes it.
func TestQueueWaitIsFirstComeFirstServed(t *testing.T) {
	for name, tt := range map[string]struct {
		messages, bytes int
		many, few       int // sizes
	}{
		"a large message among small ones": {1000, 64 << 10, 100, 60 << 10},
		"a small message among large ones": {1000, 64 << 10, 60 << 10, 100},
		"by count":                         {8, 1 << 20, 100, 60 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithQueue(tt.messages, tt.bytes, wechatws.QueueWait))...).connect()
				conn := w.conn()
				conn.ReadSlowly(50_000)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var mu sync.Mutex
				calls := 0
				began := map[string]time.Time{}
				var senders sync.WaitGroup
				for g := range 10 {
					size := tt.many
					if g == 0 {
						size = tt.few
					}
					senders.Go(func() {
						for ctx.Err() == nil {
							mu.Lock()
							calls++
							text := fmt.Sprint(calls)
							began[text] = time.Now()
							mu.Unlock()
							// Some give up in the middle of the line.
							ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(120))*time.Second)
							_ = c.Send(ctx, wechatws.Text(text+strings.Repeat(" ", size)))
							cancel()
							time.Sleep(time.Millisecond)
						}
					})
				}
				senders.Wait()
				_ = c.CloseNow()
				var last time.Time
				few := 0
				for _, text := range received(conn) {
					at := began[strings.TrimSpace(text)]
					require.False(t, at.Before(last), "it was overtaken")
					last = at
					if len(text) >= tt.few && len(text) < tt.few+10 {
						few++
					}
				}
				require.Greater(t, few, 2)
			})
		})
	}
}

// Contexts that end in the middle of the line let the calls behind them in, and Close ends all
// that wait.
func TestTheLineForRoomMovesUp(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(100, 1000, wechatws.QueueWait))...)
		c.send(strings.Repeat("x", 900))
		results := make([]chan error, 6)
		cancels := make([]context.CancelFunc, len(results))
		for i, size := range []int{500, 600, 50, 30, 700, 10} {
			results[i] = make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			go func() { results[i] <- c.Send(ctx, wechatws.Text(strings.Repeat("x", size))) }()
			w.sleep(0)
		}
		w.sleep(time.Hour)
		require.Equal(t, 1, c.Stats().Queued, "no small one goes first")
		cancels[1]()
		require.ErrorIs(t, <-results[1], wechatws.ErrQueueFull)
		w.sleep(0)
		require.Equal(t, 1, c.Stats().Queued, "the first one still waits")
		cancels[0]()
		require.ErrorIs(t, <-results[0], wechatws.ErrQueueFull)
		require.NoError(t, <-results[2])
		require.NoError(t, <-results[3])
		require.Equal(t, 980, c.Stats().QueuedBytes)
		require.Len(t, c.undelivered(), 3)
		require.Equal(t, wechatws.ErrClosed, <-results[4])
		require.Equal(t, wechatws.ErrClosed, <-results[5])
		for _, cancel := range cancels {
			cancel()
		}
	})
}
