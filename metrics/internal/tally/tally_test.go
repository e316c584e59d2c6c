package tally_test

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/internal/tally"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server in memory, in virtual time.
type world struct {
	*testing.T
	net *wstest.Network
	srv *wstest.Server
}

func virtual(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		w := &world{T: t, net: n, srv: wstest.NewServer(wstest.WithNetwork(n))}
		defer w.srv.Close()
		test(t, w)
	})
}

// client makes a client that says and measures nothing by itself, and is closed in the
// end.
func (w *world) client(options ...wechatws.Option) *wechatws.Client {
	w.Helper()
	options = append([]wechatws.Option{
		wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext),
		wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(),
	}, options...)
	c, err := wechatws.New(w.srv.URL(), options...)
	require.NoError(w, err)
	w.Cleanup(func() { _ = c.Close(wechatws.StatusNormalClosure, "") })
	return c
}

func (w *world) connect(c *wechatws.Client) *wstest.Conn {
	w.Helper()
	require.NoError(w, c.Connect(w.Context()))
	conn, err := w.srv.NextConn(w.Context())
	require.NoError(w, err)
	return conn
}

func (w *world) send(c *wechatws.Client, texts ...string) {
	w.Helper()
	for _, text := range texts {
		require.NoError(w, c.Send(w.Context(), wechatws.Text(text)))
	}
	require.NoError(w, c.Flush(w.Context()))
}

// only is the one total that there is.
func only(t *testing.T, s *tally.Set) tally.Total {
	t.Helper()
	totals := s.Totals()
	require.Len(t, totals, 1)
	return totals[0]
}

func TestTheListsAreComplete(t *testing.T) {
	for i, state := range tally.States {
		require.EqualValues(t, i, state)
		require.NotContains(t, state.String(), "State(")
	}
	require.Equal(t, fmt.Sprintf("State(%d)", len(tally.States)), wechatws.State(len(tally.States)).String(),
		"a state that is not in the list")

	// Every field of Drops set to a power of two: each cause must read another one.
	var d wechatws.Disconnects
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(1 << i)
	}
	sum := 0
	for _, cause := range tally.Causes {
		sum += cause.Of(d)
	}
	require.Equal(t, d.Total(), sum)
	require.Len(t, tally.Causes, v.NumField())
}

func TestEveryCountIsAddedUp(t *testing.T) {
	// By reflection, since a count that is forgotten would be zero for ever.
	var from, to, want tally.Counts
	next := int64(1)
	var fill func(from, to, want reflect.Value)
	fill = func(from, to, want reflect.Value) {
		for i := range from.NumField() {
			if from.Field(i).Kind() == reflect.Struct {
				fill(from.Field(i), to.Field(i), want.Field(i))
				continue
			}
			from.Field(i).SetInt(next)
			to.Field(i).SetInt(3 * next)
			want.Field(i).SetInt(2 * next)
			next++
		}
	}
	fill(reflect.ValueOf(&from).Elem(), reflect.ValueOf(&to).Elem(), reflect.ValueOf(&want).Elem())
	require.Equal(t, want, tally.Between(from, to))

	stats := reflect.TypeFor[wechatws.Stats]()
	counts := reflect.TypeFor[tally.Counts]()
	for i := range counts.NumField() {
		_, ok := stats.FieldByName(counts.Field(i).Name)
		require.True(t, ok, "%s is not in Stats", counts.Field(i).Name)
	}
}

func TestCountsOfAClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		s := tally.NewSet(false)
		c := w.client()
		defer s.Add("a", c)()
		require.Equal(t, tally.Total{Name: "a", Clients: [7]int{1}}, only(t, s))

		conn := w.connect(c)
		opened := time.Now()
		w.send(c, "12345", "123")
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		synctest.Wait()
		got := only(t, s)
		require.Equal(t, tally.Counts{
			Attempts: 1, Opens: 1, MessagesIn: 1, BytesIn: 16, MessagesOut: 2, BytesOut: 8,
		}, got.Counts)
		require.Equal(t, [7]int{wechatws.StateOpen: 1}, got.Clients)
		require.Equal(t, [7]time.Time{wechatws.StateOpen: opened}, got.Since)
		require.Zero(t, got.LastErrorAt)

		time.Sleep(time.Second)
		conn.Cut(wstest.RST)
		synctest.Wait()
		got = only(t, s)
		require.Equal(t, wechatws.Disconnects{Lost: 1}, got.Disconnects)
		require.Equal(t, [7]int{wechatws.StateWaiting: 1}, got.Clients)
		require.Equal(t, opened.Add(time.Second), got.LastErrorAt)
	})
}

func TestClientsOfOneNameAreOne(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		s := tally.NewSet(false)
		a, b, idle := w.client(), w.client(), w.client()
		for _, c := range []*wechatws.Client{a, b, idle} {
			defer s.Add("pool", c)()
		}
		for _, text := range []string{"1", "22"} {
			require.NoError(t, a.Send(t.Context(), wechatws.Text(text)))
		}
		require.NoError(t, b.Send(t.Context(), wechatws.Text("333")))
		got := only(t, s)
		require.Equal(t, []int{3, 6, 2}, []int{got.Queued, got.QueuedBytes, got.MaxQueued})

		w.connect(a)
		first := time.Now()
		time.Sleep(time.Minute)
		w.connect(b)
		got = only(t, s)
		require.Equal(t, 2, got.Opens)
		require.Equal(t, [7]int{wechatws.StateIdle: 1, wechatws.StateOpen: 2}, got.Clients)
		require.Equal(t, first, got.Since[wechatws.StateOpen], "of the one that is open longest")
		require.Zero(t, got.Since[wechatws.StateIdle])
	})
}

func TestRoundTripsOfSeveral(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		s := tally.NewSet(true)
		pings := wechatws.WithLiveness(wechatws.Liveness{}) // round trips are measured by them
		a, b, mute := w.client(pings), w.client(pings), w.client()
		defer s.Add("", mute)()
		w.connect(mute)
		require.Zero(t, only(t, s).SmoothedRTT)

		defer s.Add("", a)()
		w.net.SetLatency(40 * time.Millisecond)
		w.connect(a)
		time.Sleep(3500 * time.Millisecond)
		require.NoError(t, a.Close(wechatws.StatusNormalClosure, ""))
		defer s.Add("", b)()
		w.net.SetLatency(10 * time.Millisecond)
		w.connect(b)
		time.Sleep(3500 * time.Millisecond)

		got := only(t, s)
		require.Equal(t, 50*time.Millisecond, got.RTT, "the mean of those that have measured")
		require.Equal(t, 50*time.Millisecond, got.SmoothedRTT)
		require.Equal(t, 80*time.Millisecond, got.MaxSmoothedRTT)
		require.Equal(t, 80*time.Millisecond, got.MaxRTT)
	})
}

func TestTotalsDoNotFallWhenClientsAreRemoved(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				s := tally.NewSet(together)
				a, b := w.client(), w.client()
				removeA, removeB := s.Add("pool", a), s.Add("pool", b)
				w.connect(a)
				w.connect(b)
				w.send(a, "1", "2", "3")
				w.send(b, "1")
				require.EqualValues(t, 4, only(t, s).MessagesOut)

				removeA()
				removeA() // does nothing
				require.EqualValues(t, 4, only(t, s).MessagesOut)
				require.Equal(t, [7]int{wechatws.StateOpen: 1}, only(t, s).Clients)
				w.send(a, "not seen any more")
				require.EqualValues(t, 4, only(t, s).MessagesOut)

				removeA = s.Add("pool", a)
				require.EqualValues(t, 4, only(t, s).MessagesOut, "what it sent is not counted again")
				w.send(a, "5")
				require.EqualValues(t, 5, only(t, s).MessagesOut)
				require.Equal(t, 2, only(t, s).Opens)

				removeA()
				removeB()
				if !together {
					require.Empty(t, s.Totals(), "nothing is kept of a name that nobody has")
					return
				}
				got := only(t, s)
				require.EqualValues(t, 5, got.MessagesOut)
				require.Zero(t, got.Clients)
			})
		})
	}
}

func TestAllTogetherIsThereFromTheBeginning(t *testing.T) {
	require.Equal(t, []tally.Total{{}}, tally.NewSet(true).Totals())
	require.Empty(t, tally.NewSet(false).Totals())
}

func TestRemovingAnOldMemberLeavesANewGroupAlone(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		s := tally.NewSet(false)
		remove := s.Add("a", w.client())
		remove()
		defer s.Add("a", w.client())()
		remove()
		require.Equal(t, 1, only(t, s).Clients[wechatws.StateIdle])
	})
}

func TestAddRemoveAndReadAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		s := tally.NewSet(true)
		sender := w.client()
		w.connect(sender)
		var adding, reading sync.WaitGroup
		for range 4 {
			adding.Go(func() {
				for range 50 {
					remove := s.Add("", sender)
					_ = sender.Send(t.Context(), wechatws.Text("x"))
					remove()
				}
			})
		}
		done := make(chan struct{})
		reading.Go(func() {
			var last int64
			for {
				total := s.Totals()[0]
				if total.MessagesOut < last {
					t.Errorf("fell from %d to %d", last, total.MessagesOut)
				}
				last = total.MessagesOut
				select {
				case <-done:
					return
				default:
				}
			}
		})
		adding.Wait()
		close(done)
		reading.Wait()
	})
}
