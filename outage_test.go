package wechatws_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A moment is one line of testdata/timeline.json: what the original did, and
// when, under a virtual clock.
type moment struct {
	At        int64  `json:"t_ms"`
	Event     string `json:"event"`
	Data      string `json:"data,omitempty"`
	Code      int    `json:"code,omitempty"`
	Connected bool   `json:"connected,omitempty"`
}

// order is that of events in the same millisecond. They are noted by different
// goroutines here, and by one event loop there.
func (m moment) order() int {
	return slices.Index([]string{"modal_network_error", "network", "closed", "close_called", "dial", "dial_failed", "open", "send"}, m.Event)
}

// A recorder notes the same events of a Client.
type recorder struct {
	w       *world
	mu      sync.Mutex
	moments []moment
}

func (r *recorder) note(m moment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.At = r.w.since().Milliseconds()
	r.moments = append(r.moments, m)
}

// original returns a client with the original's settings.
func (r *recorder) original(options ...wechatws.Option) *client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		r.note(moment{Event: "dial"})
		conn, err := r.w.net.DialContext(ctx, network, addr)
		if err != nil {
			r.note(moment{Event: "dial_failed"})
		}
		return conn, err
	}
	options = append([]wechatws.Option{
		wechatws.WithNetDial(dial),
		wechatws.WithLoginMessage(map[string]string{"key": "value"}),
		wechatws.WithoutLiveness(),
		wechatws.WithOriginalCounting(),
	}, options...)
	c := r.w.client(options...)
	c.OnOpen(func(context.Context, wechatws.OpenEvent) { r.note(moment{Event: "open"}) })
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		if e.Err != nil { // the original handles every close but those by hand
			r.note(moment{Event: "closed", Code: int(e.Code)})
		}
	})
	r.w.srv.OnMessage(func(_ *wstest.Conn, m wstest.Message) { r.note(moment{Event: "send", Data: string(m.Data)}) })
	return c
}

func (r *recorder) sorted() []moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.moments, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.order(), b.order()))
	})
	return r.moments
}

// The nine scenarios that the original was recorded in. Each is driven as it was
// there, and must give the same events at the same milliseconds. Where the
// library differs on purpose, differs makes its timeline from the
// original's.
func TestTimeline(t *testing.T) {
	data, err := os.ReadFile("testdata/timeline.json")
	require.NoError(t, err)
	var timelines map[string][]moment
	require.NoError(t, json.Unmarshal(data, &timelines))

	open := func(r *recorder, options ...wechatws.Option) *client {
		c := r.original(options...)
		require.NoError(t, c.Connect(r.w.Context()))
		return c
	}
	until := func(w *world, ms int64) { w.sleep(time.Duration(ms)*time.Millisecond - w.since()) }

	scenarios := map[string]struct {
		drive   func(r *recorder, last int64) *client
		differs func([]moment) []moment
	}{
		"server_down_from_start": {drive: func(r *recorder, last int64) *client {
			r.w.srv.Stop(wstest.FIN)
			c := r.original()
			ctx, cancel := context.WithTimeout(r.w.Context(), time.Duration(last)*time.Millisecond+1)
			defer cancel()
			require.ErrorIs(r.w, c.Connect(ctx), context.DeadlineExceeded)
			return c
		}},
		"open_login_then_heartbeat": {drive: func(r *recorder, last int64) *client {
			c := open(r)
			until(r.w, last)
			return c
		}},
		"drop_then_recover": {drive: func(r *recorder, last int64) *client {
			c := open(r)
			until(r.w, 7000)
			r.w.conn().Cut(wstest.FIN)
			until(r.w, last)
			return c
		}},
		"three_drops_counter_never_resets": {drive: func(r *recorder, last int64) *client {
			c := open(r)
			until(r.w, 3500)
			r.w.conn().Cut(wstest.FIN)
			for range 21 {
				conn := r.w.conn()
				r.w.sleep(500 * time.Millisecond)
				conn.Cut(wstest.FIN)
			}
			until(r.w, last)
			return c
		}},
		"manual_close_stays_closed": {drive: func(r *recorder, last int64) *client {
			c := open(r)
			until(r.w, 4000)
			r.note(moment{Event: "close_called"})
			c.close()
			r.w.sleep(time.Hour)
			return c
		}},
		"reconnect_switch_off": {drive: func(r *recorder, last int64) *client {
			c := open(r, wechatws.WithoutReconnect())
			until(r.w, 4000)
			r.w.conn().Cut(wstest.FIN)
			r.w.sleep(time.Hour)
			return c
		}},
		"heartbeat_switch_off": {drive: func(r *recorder, last int64) *client {
			c := open(r, wechatws.WithoutHeartbeat())
			r.w.sleep(time.Hour)
			return c
		}},
		"init_twice_is_ignored": {drive: func(r *recorder, last int64) *client {
			c := open(r)
			require.ErrorIs(r.w, c.Connect(r.w.Context()), wechatws.ErrAlreadyConnected)
			until(r.w, last)
			return c
		}},
		"no_network_at_start": {
			drive: func(r *recorder, last int64) *client {
				monitor := newFakeNetwork(false)
				c := r.original(wechatws.WithNetworkMonitor(monitor))
				// The original's modal dialogue is a state here.
				c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
					if e.To == wechatws.StateOffline {
						r.note(moment{Event: "modal_network_error"})
					}
				})
				connected := make(chan error)
				go func() { connected <- c.Connect(r.w.Context()) }()
				until(r.w, 5000)
				r.note(moment{Event: "network", Connected: true})
				monitor.set(true)
				require.NoError(r.w, <-connected)
				until(r.w, last-3000)
				return c
			},
			// On purpose: when the network is back the original waits 3 s more, and
			// the library tries at once. All that follows comes 3 s earlier.
			differs: func(theirs []moment) []moment {
				ours := slices.Clone(theirs)
				for i := range ours {
					if ours[i].At > 5000 {
						ours[i].At -= 3000
					}
				}
				return ours
			},
		},
	}
	require.Len(t, timelines, len(scenarios))
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) {
			want := timelines[name]
			require.NotEmpty(t, want)
			virtual(t, func(t *testing.T, w *world) {
				r := &recorder{w: w}
				c := scenario.drive(r, want[len(want)-1].At)
				got := slices.Clone(r.sorted())
				if scenario.differs == nil {
					assert.Equal(t, want, got)
				} else {
					assert.NotEqual(t, want, got, "the original's own timeline")
					assert.Equal(t, scenario.differs(want), got)
				}
				if err := c.Close(wechatws.StatusNormalClosure, ""); err != nil {
					var left *wechatws.UndeliveredError
					require.False(t, errors.As(err, &left), "nothing was left behind")
				}
			})
		})
	}
}

// The log of a day without a server. docs/observing.md shows it.
func TestTheLogOfADayOfOutage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var log bytes.Buffer
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.TimeValue(a.Value.Time().UTC()) // whatever the machine's zone
			}
			return a
		}})
		c := w.client(wechatws.WithLogger(slog.New(handler))).connect()
		w.sleep(time.Minute)
		w.srv.Stop(wstest.FIN)
		w.sleep(12 * time.Hour)
		w.srv.AnswerAlways(wstest.Status(502, nil, "bad gateway"))
		w.srv.Start()
		w.sleep(12 * time.Hour)
		w.srv.AnswerAlways(wstest.Accept())
		w.sleep(time.Hour)
		c.close()
		require.Less(t, strings.Count(log.String(), "\n"), 20)
		requireDocumented(t, "docs/observing.md", "the log of a day of outage", log.String())
	})
}

// A day without a server, to the second: 3 s × 20, 10 s × 30, then 450 s. Then the server
// starts.
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

// A day with a server that restarts. The client is open whenever the server
// has been up for as long as a wait can last, and the messages sent meanwhile have
// arrived, in order.
func TestADayOfRestarts(t *testing.T) {
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

// The log is as short if several endpoints take turns, also if each fails in another way.
func TestTheLogOfAnOutageOfSeveralEndpoints(t *testing.T) {
	for name, servers := range map[string][3]wstest.Answer{
		"alike":  {wstest.Status(502, nil, "a"), wstest.Status(502, nil, "b"), wstest.Status(502, nil, "c")},
		"unlike": {wstest.Status(502, nil, "a"), wstest.Status(503, nil, "b"), wstest.Status(500, nil, "")},
		"down":   {},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var log bytes.Buffer
				var urls []string
				for i, answer := range servers {
					srv := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr(fmt.Sprintf("server%d.test:80", i)))
					defer srv.Close()
					urls = append(urls, srv.URL())
					if srv.AnswerAlways(answer); name == "down" {
						srv.Stop(wstest.FIN)
					}
				}
				c := w.clientOf("", append(quiet(), wechatws.WithEndpoints(urls...), wechatws.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
				result := c.running()
				w.sleep(24 * time.Hour)
				c.close()
				require.NoError(t, <-result)
				require.Less(t, strings.Count(log.String(), "\n"), 14, log.String())
			})
		})
	}
}

// A program that observes its client in no way learns of the first failure all the same.
func TestTheFirstFailureIsLoggedByDefault(t *testing.T) {
	for name, tt := range map[string]struct {
		option wechatws.Option
		watch  func(c *wechatws.Client)
		open   bool
		want   int
	}{
		"nothing":    {nil, nil, false, 1},
		"WithLogger": {wechatws.WithLogger(slog.New(slog.DiscardHandler)), nil, false, 0},
		"WithTrace":  {wechatws.WithTrace(wechatws.Trace{}), nil, false, 0},
		"OnError":    {nil, func(c *wechatws.Client) { c.OnError(func(context.Context, error) {}) }, false, 0},
		"open":       {nil, nil, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var log bytes.Buffer
				setDefaultLog(t, slog.NewTextHandler(&log, nil))
				options := append(quiet(), wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext))
				if tt.option != nil {
					options = append(options, tt.option)
				}
				c, err := wechatws.New(w.srv.URL(), options...)
				require.NoError(t, err)
				if tt.watch != nil {
					tt.watch(c)
				}
				if tt.open {
					require.NoError(t, c.Connect(t.Context()))
				}
				w.srv.Stop(wstest.FIN)
				if !tt.open {
					go func() { _ = c.Run(t.Context()) }()
				}
				w.sleep(time.Hour)
				require.NoError(t, c.CloseNow())
				<-c.Done()
				require.Equal(t, tt.want, strings.Count(log.String(), "\n"), log.String())
				if tt.want > 0 {
					require.Contains(t, log.String(), "connect server.test:80: connection refused")
					require.Contains(t, log.String(), "WithLogger")
				}
			})
		})
	}
}

// setDefaultLog sets the handler of the program's log until the test ends. Package log writes to it as well, and
// would go on with that: SetDefault alone does not take it back.
func setDefaultLog(t *testing.T, h slog.Handler) {
	before, out, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(h))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(out)
		log.SetFlags(flags)
	})
}

// A brokenLog is a handler of slog that does not return.
type brokenLog struct {
	slog.Handler
	end func()
}

func (l brokenLog) Handle(context.Context, slog.Record) error { l.end(); return nil }

// A handler of the program's log that ends its goroutine does not end the client.
func TestTheFirstFailureIsLoggedToABrokenLog(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("oops") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				ends := 0
				setDefaultLog(t, brokenLog{slog.Default().Handler(), func() { ends++; end() }})
				c, err := wechatws.New(w.srv.URL(), append(quiet(), wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext))...)
				require.NoError(t, err)
				w.srv.Stop(wstest.FIN)
				go func() { _ = c.Run(t.Context()) }()
				w.sleep(time.Minute)
				w.srv.Start()
				w.sleep(time.Minute)
				require.Equal(t, wechatws.StateOpen, c.State())
				require.Equal(t, 1, ends)
				require.NoError(t, c.CloseNow())
				<-c.Done()
			})
		})
	}
}

// A program that ends as it was told loses nothing that the log would have to warn of.
func TestTheEndOfRunIsNoWarning(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var log bytes.Buffer
		c := w.clientOf(w.srv.URL(), append(quiet(), wechatws.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))...)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		w.sleep(time.Second)
		cancel(errors.New("SIGTERM"))
		require.NoError(t, <-done)
		assert.NotContains(t, log.String(), "WARN")
		assert.Contains(t, log.String(), "msg=closed wechatws.err=SIGTERM")
	})
}
