package wechatws_test

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A day without a server, to the second: 3 s × 20, 10 s × 30, then 450 s. And then
// there it is.
func TestADayOfOutage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(24 * time.Hour)
		const slow = (24*60*60 - 20*3 - 30*10) / 450
		require.Len(t, w.net.Dials(), 1+20+30+slow)
		require.Equal(t, 1+20+30+slow+1, c.lastChange().Attempt)
		require.Equal(t, 450*time.Second, c.lastChange().RetryIn)
		w.srv.Start()
		w.sleep(450 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A day with a server that comes and goes. The client is open whenever the server
// has been up for as long as a wait can last, and what was sent meanwhile has
// arrived, in order.
func TestADayOfComingAndGoing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(24, 60))
		c := w.client(append(quiet(), wechatws.WithJitter(0.5), wechatws.WithQueue(10_000, 1<<20, wechatws.QueueFail))...).connect()
		sent := 0
		for w.since() < 24*time.Hour {
			w.sleep(time.Duration(r.Int64N(int64(20 * time.Minute))))
			w.srv.Stop([]wstest.Cut{wstest.FIN, wstest.RST}[r.IntN(2)])
			w.sleep(time.Second) // so that nothing is written to what is gone
			for range r.IntN(100) {
				require.NoError(t, c.Send(t.Context(), sent))
				sent++
			}
			w.sleep(time.Duration(r.Int64N(int64(40 * time.Minute))))
			w.srv.Start()
			w.sleep(450 * time.Second * 3 / 2)
			require.Equal(t, wechatws.StateOpen, c.State())
		}
		c.close()
		next := 0
		for _, conn := range w.srv.Conns() {
			for _, text := range received(conn) {
				require.Equal(t, strconv.Itoa(next), text)
				next++
			}
		}
		require.Equal(t, sent, next)
	})
}
