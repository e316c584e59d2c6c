package wsotel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsotel"
	"github.com/wechatws/wechatws/wstest"
)

// A meter is metrics and what reads them.
type meter struct {
	*wsotel.Metrics
	t      *testing.T
	reader *sdkmetric.ManualReader
}

func newMeter(t *testing.T, options ...wsotel.MetricsOption) *meter {
	t.Helper()
	m := &meter{t: t, reader: sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.reader))
	metrics, err := wsotel.NewMetrics(append(options, wsotel.WithMeterProvider(provider))...)
	require.NoError(t, err)
	m.Metrics = metrics
	t.Cleanup(func() { _ = metrics.Close() })
	return m
}

func (m *meter) collect() (all []metricdata.Metrics) {
	m.t.Helper()
	var got metricdata.ResourceMetrics
	require.NoError(m.t, m.reader.Collect(context.Background(), &got))
	for _, scope := range got.ScopeMetrics {
		require.Equal(m.t, "github.com/wechatws/wechatws/metrics/wsotel", scope.Scope.Name)
		all = append(all, scope.Metrics...)
	}
	return all
}

// lines are everything that is reported, one line for each data point.
func (m *meter) lines() (lines []string) {
	m.t.Helper()
	for _, one := range m.collect() {
		require.NotEmpty(m.t, one.Description, one.Name)
		add := func(kind string, value any, attributes attribute.Set) {
			lines = append(lines, fmt.Sprintf("%s %s %s {%s} %v",
				one.Name, kind, one.Unit, attributes.Encoded(attribute.DefaultEncoder()), value))
		}
		switch data := one.Data.(type) {
		case metricdata.Sum[int64]:
			kind := "updown"
			if data.IsMonotonic {
				kind = "counter"
			}
			for _, p := range data.DataPoints {
				add(kind, p.Value, p.Attributes)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				add("gauge", p.Value, p.Attributes)
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				add("gauge", p.Value, p.Attributes)
			}
		default:
			m.t.Fatalf("%s is a %T", one.Name, data)
		}
	}
	slices.Sort(lines)
	return lines
}

func TestEverythingThatIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		m := newMeter(t)
		require.Empty(t, m.lines(), "nothing without clients")
		c := w.client(wechatws.WithQueue(3, 1000, wechatws.QueueDropOldest))
		defer m.Add("a", c)()

		w.net.SetLatency(20 * time.Millisecond)
		conn := w.connect(c)
		for range 3 {
			require.NoError(t, c.Send(t.Context(), wechatws.Text("12345")))
		}
		require.NoError(t, c.Flush(t.Context()))
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(10 * time.Second) // pings
		conn.Cut(wstest.RST)
		w.sleep(2 * time.Second)
		for range 4 {
			require.NoError(t, c.Send(t.Context(), wechatws.Text("12")))
		}
		want := []string{
			"wechatws.client.away.age gauge s {wechatws.client.name=a} 2",
			"wechatws.client.connection.attempts counter {attempt} {wechatws.client.name=a} 1",
			"wechatws.client.connection.disconnected counter {connection} {wechatws.client.name=a,wechatws.disconnect.cause=closed} 0",
			"wechatws.client.connection.disconnected counter {connection} {wechatws.client.name=a,wechatws.disconnect.cause=half_open} 0",
			"wechatws.client.connection.disconnected counter {connection} {wechatws.client.name=a,wechatws.disconnect.cause=local} 0",
			"wechatws.client.connection.disconnected counter {connection} {wechatws.client.name=a,wechatws.disconnect.cause=lost} 1",
			"wechatws.client.connection.disconnected counter {connection} {wechatws.client.name=a,wechatws.disconnect.cause=protocol} 0",
			"wechatws.client.connection.opened counter {connection} {wechatws.client.name=a} 1",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=closed} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=connecting} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=failed} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=idle} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=offline} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=open} 0",
			"wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=waiting} 1",
			"wechatws.client.inbox.messages updown {message} {wechatws.client.name=a} 0",
			"wechatws.client.inbox.messages_max gauge {message} {wechatws.client.name=a} 1",
			"wechatws.client.last_error.age gauge s {wechatws.client.name=a} 2",
			"wechatws.client.messages.skipped counter {message} {wechatws.client.name=a} 0",
			"wechatws.client.network.io counter By {network.io.direction=receive,wechatws.client.name=a} 16",
			"wechatws.client.network.io counter By {network.io.direction=transmit,wechatws.client.name=a} 15",
			"wechatws.client.network.messages counter {message} {network.io.direction=receive,wechatws.client.name=a} 1",
			"wechatws.client.network.messages counter {message} {network.io.direction=transmit,wechatws.client.name=a} 3",
			"wechatws.client.queue.dropped counter {message} {wechatws.client.name=a} 1",
			"wechatws.client.queue.messages updown {message} {wechatws.client.name=a} 3",
			"wechatws.client.queue.messages_max gauge {message} {wechatws.client.name=a} 3",
			"wechatws.client.queue.size updown By {wechatws.client.name=a} 6",
			"wechatws.client.rtt.last gauge s {wechatws.client.name=a} 0.04",
			"wechatws.client.rtt.max gauge s {wechatws.client.name=a} 0.04",
			"wechatws.client.rtt.smoothed gauge s {wechatws.client.name=a} 0.04",
			"wechatws.client.rtt.smoothed_max gauge s {wechatws.client.name=a} 0.04",
			"wechatws.client.state.age gauge s {wechatws.client.name=a,wechatws.client.state=waiting} 2",
		}
		require.Equal(t, want, m.lines())
		require.Len(t, want, 32, "the number is in the documentation")

		require.NoError(t, m.Close())
		require.Empty(t, m.lines())
	})
}

func TestAggregate(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		m := newMeter(t, wsotel.WithAggregation())
		before := len(m.lines())
		require.NotZero(t, before, "there before the first client")
		var removes []func()
		for i := range 20 {
			c := w.client()
			removes = append(removes, m.Add(fmt.Sprint(i), c))
			if i < 5 {
				w.connect(c)
			}
		}
		lines := m.lines()
		require.Len(t, lines, before+1, "more clients are no more series, but for the age of state open")
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.state=open} 5")
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.state=idle} 15")
		require.Contains(t, lines, "wechatws.client.connection.opened counter {connection} {} 5")
		for _, remove := range removes {
			remove()
		}
		lines = m.lines()
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.state=open} 0")
		require.Contains(t, lines, "wechatws.client.connection.opened counter {connection} {} 5", "counters do not fall")
	})
}

func TestClientsOfOneNameAndOfNone(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		m := newMeter(t)
		for _, name := range []string{"pool", "pool", "", "not \xff UTF-8"} {
			defer m.Add(name, w.client())()
		}
		lines := m.lines()
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.name=pool,wechatws.client.state=idle} 2")
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.name=,wechatws.client.state=idle} 1")
		require.Contains(t, lines, "wechatws.client.count updown {client} {wechatws.client.name=not \uFFFD UTF-8,wechatws.client.state=idle} 1")
	})
}

func TestMetricsMayBeUsedInsideCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		m := newMeter(t)
		c := w.client()
		var opened, closed []string
		var remove func()
		c.OnOpen(func(context.Context, wechatws.OpenEvent) {
			remove = m.Add("a", c)
			opened = m.lines()
		})
		c.OnClose(func(context.Context, wechatws.CloseEvent) {
			remove()
			closed = m.lines()
		})
		w.connect(c)
		synctest.Wait() // Connect may return before OnOpen has run
		w.close(c)
		synctest.Wait()
		require.Contains(t, opened, "wechatws.client.count updown {client} {wechatws.client.name=a,wechatws.client.state=open} 1")
		require.Empty(t, closed)
	})
}

func TestCollectingWhileClientsComeAndGo(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		m := newMeter(t)
		r := newRecorder()
		var all sync.WaitGroup
		for i := range 4 {
			c := w.client(r.option())
			all.Go(func() {
				for range 20 {
					remove := m.Add(fmt.Sprint("pool", i%2), c)
					_ = c.Connect(t.Context())
					w.close(c)
					remove()
				}
			})
			all.Go(func() {
				for range 20 {
					if err := m.reader.Collect(t.Context(), &metricdata.ResourceMetrics{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		synctest.Wait()
		require.Len(t, r.attempts(w), 80)
	})
}

func TestNewMetricsOnTheGlobalProvider(t *testing.T) {
	m, err := wsotel.NewMetrics()
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

// A refusing provider's meters make no instrument of a certain name, and take no
// callback when the name is empty.
type refusing struct {
	noop.MeterProvider
	name string
}

var errRefused = errors.New("refused")

func (r refusing) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{name: r.name}
}

type refusingMeter struct {
	noop.Meter
	name string
}

func (r refusingMeter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	if name == r.name {
		return nil, errRefused
	}
	return noop.Int64ObservableCounter{}, nil
}

func (r refusingMeter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	if name == r.name {
		return nil, errRefused
	}
	return noop.Float64ObservableGauge{}, nil
}

func (r refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	if r.name == "" {
		return nil, errRefused
	}
	return noop.Registration{}, nil
}

func TestErrorsOfTheMeterAreReturned(t *testing.T) {
	for _, name := range []string{"wechatws.client.network.io", "wechatws.client.rtt.max", ""} {
		_, err := wsotel.NewMetrics(wsotel.WithMeterProvider(refusing{name: name}))
		require.ErrorIs(t, err, errRefused, name)
	}
}

func TestANilClientIsFoundAtOnce(t *testing.T) {
	m := newMeter(t)
	require.PanicsWithValue(t, "wsotel: Add: client is nil", func() { m.Add("a", nil) })
}
