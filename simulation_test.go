package wechatws_test

import (
	"context"
	"errors"
	"flag"
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

var randomSeed = flag.Uint64("random.seed", 0, "run only the random schedule with this seed")

// apart is longer than a callback keeps the reader from noticing the end of the connection.
const apart = 12 * time.Millisecond

// TestRandomSchedules runs a client through random schedules of everything that
// can happen to it, and checks what must hold in all of them:
//
//   - there is never more than one connection,
//   - every move from state to state is legal,
//   - every message that Send accepted has been received, once and in its
//     sender's order, or was handed back by Close,
//   - no goroutine is left.
//
// Senders act at even multiples of some time and faults happen at odd ones, so that a
// message is not in the air when its connection is cut: such a message is lost,
// which no sender can know (see the README).
func TestRandomSchedules(t *testing.T) {
	first, last := uint64(1), uint64(1000)
	if testing.Short() {
		last = 100
	}
	if *randomSeed != 0 {
		first, last = *randomSeed, *randomSeed
	}
	var mu sync.Mutex
	var accepted, arrived, returned, opens int
	t.Run("seeds", func(t *testing.T) { // returns when all of them have run
		for seed := first; seed <= last; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				virtual(t, func(t *testing.T, w *world) {
					s := newSchedule(t, w, seed)
					s.run()
					mu.Lock()
					defer mu.Unlock()
					accepted += len(s.accepted)
					arrived += len(s.arrived)
					returned += len(s.returned)
					opens += s.c.Stats().Opens
				})
				if t.Failed() {
					t.Logf("to run it again: go test -run TestRandomSchedules -random.seed=%d .", seed)
				}
			})
		}
	})
	t.Logf("%d connections; %d messages accepted, %d received, %d handed back", opens, accepted, arrived, returned)
	if *randomSeed == 0 {
		assert.Positive(t, min(opens, arrived, returned), "the schedules are about something")
	}
}

type schedule struct {
	t       *testing.T
	w       *world
	rng     *rand.Rand
	c       *client
	network *fakeNetwork
	up      bool // the server
	online  bool

	connects sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]bool
	returned []string
	lefts    map[*wechatws.UndeliveredError]bool // that are in returned
	arrived  []string
}

func newSchedule(t *testing.T, w *world, seed uint64) *schedule {
	s := &schedule{
		t: t, w: w, rng: rand.New(rand.NewPCG(seed, 0)), up: true, online: true,
		network: newFakeNetwork(true), accepted: map[string]bool{}, lefts: map[*wechatws.UndeliveredError]bool{},
	}
	// Delays that never add up to whole milliseconds keep reconnects away from
	// both faults and senders.
	options := []wechatws.Option{
		wechatws.WithLoginMessage("login"),
		wechatws.WithNetworkMonitor(s.network),
		wechatws.WithTiers(wechatws.Tier{Delay: 100*time.Millisecond + 13*time.Microsecond, Attempts: 3}, wechatws.Tier{Delay: time.Second + 17*time.Microsecond}),
		wechatws.WithQueue(40+s.rng.IntN(40), 1<<20, wechatws.QueueFail),
		wechatws.WithRetryIf(func(wechatws.Failure) bool { return true }),
	}
	s.c = w.client(options...)
	callbacks := rand.New(rand.NewPCG(seed, 1)) // used by callbacks only
	s.c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
		// Slow, but not so slow that the inbox fills up for good: then the server,
		// which answers each message, would be stuck with what it has not read.
		switch callbacks.IntN(100) {
		case 0:
			panic("a callback")
		case 1:
			time.Sleep(time.Duration(callbacks.IntN(2000)) * time.Millisecond)
		}
	})
	w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		text := m.Text()
		if strings.HasPrefix(text, "message ") {
			s.mu.Lock()
			s.arrived = append(s.arrived, text)
			s.mu.Unlock()
			_ = c.Send(`{"msg_type":"echo"}`)
		}
	})
	return s
}

func (s *schedule) run() {
	require.NoError(s.t, s.c.Connect(s.t.Context()))
	var senders sync.WaitGroup
	ctx, stop := context.WithCancel(s.t.Context())
	for g := range 4 {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), 2))
		senders.Go(func() { s.send(ctx, g, rng) })
	}
	time.Sleep(apart) // odd from here on
	for range 16 {
		time.Sleep(2 * apart * time.Duration(1+s.rng.IntN(1<<s.rng.IntN(9))))
		synctest.Wait()
		s.fault()
		synctest.Wait()
	}
	stop()
	senders.Wait()
	s.close()
	s.connects.Wait()
	<-s.c.Done()
	s.check()
}

// send sends numbered messages.
func (s *schedule) send(ctx context.Context, g int, rng *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("message %d %d", g, n)
		err := s.c.Send(context.Background(), wechatws.Text(text))
		switch {
		case err == nil:
			s.mu.Lock()
			s.accepted[text] = true
			s.mu.Unlock()
		case !errors.Is(err, wechatws.ErrQueueFull) && !errors.Is(err, wechatws.ErrClosed):
			assert.NoError(s.t, err)
		}
		time.Sleep(2 * apart * time.Duration(1+rng.IntN(20)))
	}
}

func (s *schedule) fault() {
	conns := s.w.srv.Conns()
	newest := conns[len(conns)-1]
	switch s.rng.IntN(11) {
	case 0, 1:
		newest.Cut(wstest.Cut(s.rng.IntN(2)))
	case 2:
		_ = newest.Close(1000+s.rng.IntN(4), "")
	case 3, 4:
		if s.up {
			s.w.srv.Stop(wstest.Cut(s.rng.IntN(2)))
		} else {
			s.w.srv.Start()
		}
		s.up = !s.up
	case 5, 6:
		s.online = !s.online
		s.network.set(s.online)
	case 7:
		_ = s.c.Reconnect()
	case 10:
		s.w.srv.Answer(wstest.Status(503, nil, ""), wstest.CutHandshake(wstest.RST))
	case 8, 9:
		s.close()
		// Connect blocks while there is no server; the schedule goes on. When its
		// context ends before it is open the client is closed again.
		patience := 2*time.Millisecond*time.Duration(s.rng.IntN(5000)) + 7*time.Microsecond
		connect := s.c.Connect
		if s.rng.IntN(3) == 0 {
			connect = s.c.Run
		}
		s.connects.Go(func() {
			ctx, cancel := context.WithTimeout(s.t.Context(), patience)
			defer cancel()
			s.handedBack(connect(ctx))
		})
	}
}

func (s *schedule) close() { s.handedBack(s.c.Close(wechatws.StatusNormalClosure, "")) }

// handedBack takes note of what Close, Connect or Run could not deliver. Close and Run
// return the same error.
func (s *schedule) handedBack(err error) {
	var left *wechatws.UndeliveredError
	if errors.As(err, &left) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lefts[left] {
			return
		}
		s.lefts[left] = true
		s.returned = append(s.returned, outgoing(left.Messages)...)
	}
}

func (s *schedule) check() {
	t := s.t
	assert.LessOrEqual(t, s.w.net.MaxClients(), 1, "connections at one time")
	assert.Zero(t, s.w.net.Clients())
	for _, err := range s.c.errors() {
		assert.NotContains(t, err.Error(), "internal error")
	}
	for i, change := range s.c.changes[1:] {
		assert.Equal(t, s.c.changes[i].To, change.From)
	}
	seen := map[string]int{}
	next := map[string]int{}
	for _, text := range s.arrived {
		seen[text]++
		var g string
		var n int
		_, err := fmt.Sscanf(text, "message %s %d", &g, &n)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n, next[g], "order of sender %s", g)
		next[g] = n + 1
	}
	for _, text := range s.returned {
		seen[text]++
	}
	for text := range s.accepted {
		assert.Equal(t, 1, seen[text], text)
	}
	assert.Len(t, seen, len(s.accepted))
}

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
