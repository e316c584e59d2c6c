package wechatws_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// TestRandomConfirmations runs SendConfirmed through random schedules of faults that
// hit messages in the air, too: black holes, cuts at any moment, a server that
// forgets what it has read. Every message is confirmed in the end and has been read
// at least once, in the sender's order; when the client is closed before that, what
// is not confirmed is handed back.
func TestRandomConfirmations(t *testing.T) {
	first, last := uint64(1), uint64(200)
	if *randomSeed != 0 {
		first, last = *randomSeed, *randomSeed
	}
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed <= last; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				virtual(t, func(t *testing.T, w *world) { randomConfirmations(t, w, rand.New(rand.NewPCG(seed, 3))) })
				if t.Failed() {
					t.Logf("to run it again: go test -run TestRandomConfirmations -random.seed=%d .", seed)
				}
			})
		}
	})
}

func randomConfirmations(t *testing.T, w *world, rng *rand.Rand) {
	var mu sync.Mutex
	var read []string // in order of their first arrival
	seen := map[string]bool{}
	forgetful := true
	w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		mu.Lock()
		defer mu.Unlock()
		if forgetful && rng.IntN(5) == 0 || !strings.HasPrefix(m.Text(), `"confirm `) {
			return
		}
		text := strings.Trim(m.Text(), `"`)
		if !seen[text] {
			seen[text] = true
			read = append(read, text)
		}
		if !forgetful || rng.IntN(5) > 0 {
			_ = c.Send(fmt.Sprintf(`{"msg_type":"echo","of":%q}`, text))
		}
	})
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	w.net.SetLatency(time.Duration(pick(30)) * time.Millisecond)
	c := w.client(wechatws.WithTiers(wechatws.Tier{Delay: 200 * time.Millisecond}),
		wechatws.WithLiveness(wechatws.Liveness{Interval: 500 * time.Millisecond, Timeout: 2 * time.Second})).connect()
	var senders sync.WaitGroup
	var called, confirmed, refused []string
	senders.Go(func() {
		for n := range 20 {
			text := fmt.Sprintf("confirm %02d", n) // none is a part of another
			called = append(called, text)
			_, err := c.SendConfirmed(t.Context(), text, func(m wechatws.Message) bool {
				return strings.Contains(string(m.Data), text)
			}, wechatws.ConfirmTimeout(time.Duration(1+pick(3000))*time.Millisecond))
			if err != nil {
				assert.Equal(t, wechatws.ErrClosed, err)
				refused = append(refused, text)
				return
			}
			confirmed = append(confirmed, text)
		}
	})
	for range 30 {
		time.Sleep(time.Duration(pick(700)) * time.Millisecond)
		conns := w.srv.Conns()
		newest := conns[len(conns)-1]
		switch pick(8) {
		case 0, 1:
			newest.Cut(wstest.Cut(pick(2)))
		case 2:
			newest.Blackhole(pick(2) == 0)
		case 3:
			_ = c.Reconnect()
		case 4:
			w.srv.Stop(wstest.Cut(pick(2)))
			time.Sleep(time.Duration(pick(1000)) * time.Millisecond)
			w.srv.Start()
		}
	}
	early := pick(2) == 0
	if !early {
		mu.Lock()
		forgetful = false
		mu.Unlock()
		senders.Wait()
	}
	err := c.Close(wechatws.StatusNormalClosure, "")
	senders.Wait()
	synctest.Wait()
	var left *wechatws.UndeliveredError
	if errors.As(err, &left) {
		for _, m := range left.Messages {
			assert.Equal(t, refused, []string{strings.Trim(string(m.Data), `"`)})
		}
	} else {
		require.Empty(t, refused)
	}
	require.Equal(t, called, append(confirmed, refused...))
	if len(read) > len(confirmed) { // the last one may have been read and not confirmed
		read = read[:len(confirmed)]
	}
	require.Equal(t, confirmed, read)
}
