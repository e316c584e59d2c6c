package wsprom_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsprom"
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

// client makes a client, which is closed in the end.
func (w *world) client(options ...wechatws.Option) *wechatws.Client {
	w.Helper()
	options = append([]wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext)}, options...)
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

// eventful makes everything happen that is counted, or most of it, to a client.
func (w *world) eventful(c *wechatws.Client) {
	w.Helper()
	w.net.SetLatency(20 * time.Millisecond)
	conn := w.connect(c)
	for range 3 {
		require.NoError(w, c.Send(w.Context(), wechatws.Text("12345")))
	}
	require.NoError(w, c.Flush(w.Context()))
	require.NoError(w, conn.Send(`{"msg_type":"x"}`))
	time.Sleep(10 * time.Second) // pings
	conn.Cut(wstest.RST)
	time.Sleep(2 * time.Second)
	for range 4 {
		require.NoError(w, c.Send(w.Context(), wechatws.Text("12")))
	}
	synctest.Wait()
}

// shortQueue is for eventful to overflow.
func shortQueue() wechatws.Option { return wechatws.WithQueue(3, 1000, wechatws.QueueDropOldest) }

// scrape is what Prometheus would be told. The registry checks that it fits the
// descriptions.
func scrape(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).
		ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, answer.Code, answer.Body)
	return answer.Body.String()
}

// samples are the lines of a scrape that are no comments.
func samples(text string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "#")
	})
}

// The synctest bubble begins at midnight UTC 2000-01-01, which is 946684800.
const perClient = `
wechatws_away_start_timestamp_seconds{client="a"} 9.4668481004e+08
wechatws_clients{client="a",state="closed"} 0
wechatws_clients{client="a",state="connecting"} 0
wechatws_clients{client="a",state="failed"} 0
wechatws_clients{client="a",state="idle"} 0
wechatws_clients{client="a",state="offline"} 0
wechatws_clients{client="a",state="open"} 0
wechatws_clients{client="a",state="waiting"} 1
wechatws_connection_attempts_total{client="a"} 1
wechatws_connections_opened_total{client="a"} 1
wechatws_disconnects_total{cause="closed",client="a"} 0
wechatws_disconnects_total{cause="half_open",client="a"} 0
wechatws_disconnects_total{cause="local",client="a"} 0
wechatws_disconnects_total{cause="lost",client="a"} 1
wechatws_disconnects_total{cause="protocol",client="a"} 0
wechatws_dropped_messages_total{client="a"} 1
wechatws_inbox_max_messages{client="a"} 1
wechatws_inbox_messages{client="a"} 0
wechatws_last_error_timestamp_seconds{client="a"} 9.4668481004e+08
wechatws_queue_bytes{client="a"} 6
wechatws_queue_max_messages{client="a"} 3
wechatws_queue_messages{client="a"} 3
wechatws_received_bytes_total{client="a"} 16
wechatws_received_messages_total{client="a"} 1
wechatws_rtt_last_seconds{client="a"} 0.04
wechatws_rtt_max_seconds{client="a"} 0.04
wechatws_rtt_smoothed_max_seconds{client="a"} 0.04
wechatws_rtt_smoothed_seconds{client="a"} 0.04
wechatws_sent_bytes_total{client="a"} 15
wechatws_sent_messages_total{client="a"} 3
wechatws_skipped_messages_total{client="a"} 0
wechatws_state_start_timestamp_seconds{client="a",state="waiting"} 9.4668481004e+08
`

func TestWhatPrometheusIsTold(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		require.Empty(t, scrape(t, collector), "nothing without clients")
		c := w.client(shortQueue())
		defer collector.Add("a", c)()
		w.eventful(c)
		want := samples(perClient)
		require.Equal(t, want, samples(scrape(t, collector)))
		require.Len(t, want, 32, "the number is in the documentation")
	})
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		defer collector.Add("a", w.client())()
		text := scrape(t, collector)
		require.Contains(t, text, `wechatws_clients{client="a",state="idle"} 1`)
		require.NotContains(t, text, "timestamp")
		require.NotContains(t, text, "rtt")
	})
}

func TestAggregate(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New(wsprom.WithAggregation())
		require.Contains(t, scrape(t, collector), "\nwechatws_connection_attempts_total 0\n", "there before the first client")
		before := len(samples(scrape(t, collector)))

		var removes []func()
		for i := range 50 {
			c := w.client()
			removes = append(removes, collector.Add(fmt.Sprint(i), c))
			if i < 20 {
				w.connect(c)
			}
		}
		text := scrape(t, collector)
		require.NotContains(t, text, "client=")
		require.Contains(t, text, `wechatws_clients{state="open"} 20`)
		require.Contains(t, text, `wechatws_clients{state="idle"} 30`)
		require.Contains(t, text, "wechatws_connections_opened_total 20")
		require.Len(t, samples(text), before+1, "more clients are no more series, but for the start of state open")

		for _, remove := range removes {
			remove()
		}
		text = scrape(t, collector)
		require.Contains(t, text, `wechatws_clients{state="open"} 0`)
		require.Contains(t, text, "wechatws_connections_opened_total 20", "counters do not fall")
	})
}

func TestNamesAndUnitsAreByTheConventions(t *testing.T) {
	for _, options := range [][]wsprom.Option{nil, {wsprom.WithAggregation()}} {
		virtual(t, func(t *testing.T, w *world) {
			collector := wsprom.New(options...)
			c := w.client(shortQueue())
			defer collector.Add("a", c)()
			w.eventful(c)
			r := prometheus.NewPedanticRegistry()
			require.NoError(t, r.Register(collector))
			problems, err := testutil.GatherAndLint(r)
			require.NoError(t, err)
			require.Empty(t, problems)
			// What cannot be seen because a sample is missing cannot be checked.
			require.Len(t, exposed(t, scrape(t, collector)), described(collector))
		})
	}
}

// described is how many families a collector describes.
func described(c prometheus.Collector) (n int) {
	ch := make(chan *prometheus.Desc, 1000)
	c.Describe(ch)
	return len(ch)
}

// exposed are the names of the families in a scrape.
func exposed(t *testing.T, text string) (names []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names)
	return names
}

// promtool is the tool of Prometheus itself, which not every machine has. CI must.
func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestPromtoolHasNothingToSay(t *testing.T) {
	var texts []string
	for _, options := range [][]wsprom.Option{nil, {wsprom.WithAggregation()}} {
		virtual(t, func(t *testing.T, w *world) {
			collector := wsprom.New(options...)
			c := w.client(shortQueue())
			defer collector.Add("a", c)()
			w.eventful(c)
			texts = append(texts, scrape(t, collector))
		})
	}
	for _, text := range texts { // a process cannot be waited for in virtual time
		promtool(t, text, "check", "metrics")
	}
}

func TestAnyStringIsAName(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		for _, name := range []string{"", `a"b\c`, "two\nlines", "直播间", "not \xff UTF-8"} {
			defer collector.Add(name, w.client())()
		}
		text := scrape(t, collector)
		for _, label := range []string{`""`, `"a\"b\\c"`, `"two\nlines"`, `"直播间"`, `"not ` + "\uFFFD" + ` UTF-8"`} {
			require.Contains(t, text, "wechatws_queue_messages{client="+label+"} 0\n")
		}
	})
}

func TestANilClientIsFoundAtOnce(t *testing.T) {
	require.PanicsWithValue(t, "wsprom: Add: client is nil", func() { wsprom.New().Add("a", nil) })
}

func TestTwoCollectorsInOneRegistry(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	for _, fleet := range []string{"east", "west"} {
		labeled := prometheus.WrapRegistererWith(prometheus.Labels{"fleet": fleet}, r)
		require.NoError(t, labeled.Register(wsprom.New(wsprom.WithAggregation())))
	}
	_, err := r.Gather()
	require.NoError(t, err)
}

func TestItMayBeUsedInsideCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		c := w.client()
		texts := make(chan string, 1)
		var remove func()
		c.OnOpen(func(context.Context, wechatws.OpenEvent) {
			remove = collector.Add("a", c)
			texts <- scrape(t, collector)
		})
		c.OnClose(func(context.Context, wechatws.CloseEvent) {
			remove()
			texts <- scrape(t, collector)
		})
		w.connect(c)
		require.Contains(t, <-texts, `wechatws_clients{client="a",state="open"} 1`)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		require.Empty(t, <-texts)
	})
}

func TestScrapesWhileClientsComeAndGo(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		collector := wsprom.New()
		r := prometheus.NewPedanticRegistry()
		require.NoError(t, r.Register(collector))
		clients := make([]*wechatws.Client, 4)
		for i := range clients {
			clients[i] = w.client()
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				for range 20 {
					remove := collector.Add(fmt.Sprint("pool", i%2), c)
					_ = c.Connect(t.Context())
					_ = c.Close(wechatws.StatusNormalClosure, "")
					remove()
				}
			})
			all.Go(func() {
				for range 20 {
					if _, err := r.Gather(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

func BenchmarkCollect(b *testing.B) {
	for name, options := range map[string][]wsprom.Option{"by name": nil, "aggregated": {wsprom.WithAggregation()}} {
		b.Run("clients=1000/"+name, func(b *testing.B) {
			collector := wsprom.New(options...)
			for i := range 1000 {
				c, err := wechatws.New("ws://server.test")
				require.NoError(b, err)
				collector.Add(fmt.Sprint(i), c)
			}
			ch := make(chan prometheus.Metric, 100_000)
			b.ReportAllocs()
			for b.Loop() {
				collector.Collect(ch)
				for len(ch) > 0 {
					<-ch
				}
			}
		})
	}
}
