package wsotel

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/internal/tally"
)

// scope is the name of the meter and of the tracer.
const scope = "github.com/wechatws/wechatws/metrics/wsotel"

// Metrics are the observable instruments of any number of clients. Make them with
// [NewMetrics], and add clients at any time with [Metrics.Add]. The methods may be called
// from any goroutine, including callbacks of the clients.
type Metrics struct {
	set          *tally.Set
	named        bool
	registration metric.Registration
}

// NewMetrics registers the instruments with a meter, without clients. It starts no goroutine:
// the reader of the meter's provider calls [wechatws.Client.Stats] of the clients when it
// collects, until [Metrics.Close]. The error is the meter's, or that about a nil option.
func NewMetrics(options ...MetricsOption) (*Metrics, error) {
	c := metricsConfig{provider: otel.GetMeterProvider()}
	for _, option := range options {
		if option == nil {
			return nil, errors.New("wsotel: NewMetrics: an option is nil")
		}
		option(&c)
	}
	meter := c.provider.Meter(scope)
	m := &Metrics{set: tally.NewSet(c.aggregate), named: !c.aggregate}

	var all []metric.Observable
	var observers []func(metric.Observer, *tally.Total, attribute.Set)
	for _, f := range numbers {
		instrument, err := f.make(meter)
		if err != nil {
			return nil, err
		}
		all = append(all, instrument)
		observers = append(observers, func(o metric.Observer, t *tally.Total, attributes attribute.Set) {
			f.read(t, func(value int64, own ...attribute.KeyValue) {
				o.ObserveInt64(instrument, value, with(attributes, own...))
			})
		})
	}
	for _, f := range times {
		instrument, err := meter.Float64ObservableGauge(prefix+f.name, metric.WithUnit("s"), metric.WithDescription(f.description))
		if err != nil {
			return nil, err
		}
		all = append(all, instrument)
		observers = append(observers, func(o metric.Observer, t *tally.Total, attributes attribute.Set) {
			f.read(t, func(value time.Duration, own ...attribute.KeyValue) {
				o.ObserveFloat64(instrument, value.Seconds(), with(attributes, own...))
			})
		})
	}
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, total := range m.set.Totals() {
			var attributes attribute.Set
			if m.named {
				attributes = attribute.NewSet(ClientName(total.Name))
			}
			for _, observe := range observers {
				observe(o, &total, attributes)
			}
		}
		return nil
	}, all...)
	if err != nil {
		return nil, err
	}
	m.registration = registration
	return m, nil
}

// Add reports a client, until remove is called, under a name that is the value of the
// attribute wechatws.client.name; with [WithAggregation] it is not used. Clients with the same
// name, such as a pool, are reported together. Names should be few and stable: an id that
// changes with every start makes new series with every start.
//
// Counters begin at zero with Add: call it before Connect to count everything. The counts of a
// removed client remain in the total of its name, so that no counter decreases; the name's
// series end when its last client is removed, and restart at zero if the name is used again.
// With WithAggregation they never end.
//
// Add does not block, and panics if client is nil. The client may be in any state, then and
// when it is removed. The Metrics reference the client until remove is called; remove may be
// called more than once. A client that is added twice is counted twice.
func (m *Metrics) Add(name string, client *wechatws.Client) (remove func()) {
	if client == nil { // here, and not in the middle of a collection
		panic("wsotel: Add: client is nil")
	}
	return m.set.Add(strings.ToValidUTF8(name, "\uFFFD"), client)
}

// Close ends the reporting; it does not close the clients. The error is the meter's.
func (m *Metrics) Close() error { return m.registration.Unregister() }

// ClientName returns the attribute wechatws.client.name, the name of the client of metrics and
// spans. Pass it to [WithAttributes].
func ClientName(name string) attribute.KeyValue {
	return attribute.String("wechatws.client.name", strings.ToValidUTF8(name, "\uFFFD"))
}

const prefix = "wechatws.client."

var (
	received = attribute.String("network.io.direction", "receive")
	sent     = attribute.String("network.io.direction", "transmit")
)

func inState(s wechatws.State) attribute.KeyValue {
	return attribute.String("wechatws.client.state", s.String())
}

// with returns the attributes of an observation.
func with(attributes attribute.Set, own ...attribute.KeyValue) metric.MeasurementOption {
	if len(own) == 0 {
		return metric.WithAttributeSet(attributes)
	}
	return metric.WithAttributeSet(attribute.NewSet(append(attributes.ToSlice(), own...)...))
}

// A kind makes an instrument of a meter.
type kind func(m metric.Meter, name, unit, description string) (metric.Int64Observable, error)

func counter(m metric.Meter, name, unit, description string) (metric.Int64Observable, error) {
	return m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
}

// current makes an up-down counter: its values are summed over clients, unlike those of a gauge.
func current(m metric.Meter, name, unit, description string) (metric.Int64Observable, error) {
	return m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
}

func gauge(m metric.Meter, name, unit, description string) (metric.Int64Observable, error) {
	return m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
}

// A number is an instrument that counts something.
type number struct {
	kind
	name, unit, description string
	read                    func(t *tally.Total, observe func(value int64, own ...attribute.KeyValue))
}

func (n number) make(m metric.Meter) (metric.Int64Observable, error) {
	return n.kind(m, prefix+n.name, n.unit, n.description)
}

// numbers are all instruments that count something.
var numbers = []number{
	{current, "count", "{client}", "Clients by state.",
		func(t *tally.Total, observe func(int64, ...attribute.KeyValue)) {
			for i, state := range tally.States {
				observe(int64(t.Clients[i]), inState(state))
			}
		}},
	{counter, "connection.attempts", "{attempt}", "Connection attempts.", one(func(t *tally.Total) int { return t.Attempts })},
	{counter, "connection.opened", "{connection}", "Connection attempts that ended in a connection that was open and logged in.", one(func(t *tally.Total) int { return t.Opens })},
	{counter, "connection.disconnected", "{connection}", "Connections that had been open and ended without Close, by cause.",
		func(t *tally.Total, observe func(int64, ...attribute.KeyValue)) {
			for _, cause := range tally.Causes {
				observe(int64(cause.Of(t.Disconnects)), attribute.String("wechatws.disconnect.cause", cause.Name))
			}
		}},
	{counter, "network.messages", "{message}", "Messages that have arrived, answers to heartbeats among them, and that a socket has taken, without heartbeats and logins.",
		func(t *tally.Total, observe func(int64, ...attribute.KeyValue)) {
			observe(t.MessagesIn, received)
			observe(t.MessagesOut, sent)
		}},
	{counter, "network.io", "By", "Size of the data of these messages.",
		func(t *tally.Total, observe func(int64, ...attribute.KeyValue)) {
			observe(t.BytesIn, received)
			observe(t.BytesOut, sent)
		}},
	{counter, "messages.skipped", "{message}", "Messages received that were larger than the read limit, and skipped.", one(func(t *tally.Total) int64 { return t.Skipped })},
	{counter, "queue.dropped", "{message}", "Messages that were given up before they were sent: expired, dropped from a full queue, or refused by the peer.", one(func(t *tally.Total) int64 { return t.Dropped })},
	{current, "queue.messages", "{message}", "Messages in the outbound queue.", one(func(t *tally.Total) int { return t.Queued })},
	{current, "queue.size", "By", "Size of the messages in the outbound queue.", one(func(t *tally.Total) int { return t.QueuedBytes })},
	{gauge, "queue.messages_max", "{message}", "The most messages that a client's outbound queue has ever held.", one(func(t *tally.Total) int { return t.MaxQueued })},
	{current, "inbox.messages", "{message}", "Messages that have arrived and wait for a callback or are in one.", one(func(t *tally.Total) int { return t.Inbox })},
	{gauge, "inbox.messages_max", "{message}", "The most messages that a client's inbox has ever held.", one(func(t *tally.Total) int { return t.MaxInbox })},
}

// one observes a number without attributes of its own.
func one[N int | int64](of func(*tally.Total) N) func(*tally.Total, func(int64, ...attribute.KeyValue)) {
	return func(t *tally.Total, observe func(int64, ...attribute.KeyValue)) { observe(int64(of(t))) }
}

// times are all gauges in seconds. They are ages, and not timestamps as for Prometheus:
// OpenTelemetry has no convention for a timestamp, and a data point has its own time.
var times = []struct {
	name, description string
	read              func(t *tally.Total, observe func(value time.Duration, own ...attribute.KeyValue))
}{
	{"state.age", "For how long the client that has been in the state for the longest has been in it. Absent for a state that no client is in, and for idle.",
		func(t *tally.Total, observe func(time.Duration, ...attribute.KeyValue)) {
			for i, state := range tally.States {
				age(t.Since[i], observe, inState(state))
			}
		}},
	{"away.age", "For how long the client that has been away for the longest has not been open, whatever states it has been in since. Absent while all are open, closed or idle.",
		func(t *tally.Total, observe func(time.Duration, ...attribute.KeyValue)) { age(t.AwaySince, observe) }},
	{"last_error.age", "How long it is since an attempt failed or a connection ended last. Absent before the first time.",
		func(t *tally.Total, observe func(time.Duration, ...attribute.KeyValue)) { age(t.LastErrorAt, observe) }},
	{"rtt.last", "Round-trip time measured last; of several clients the mean. Absent, as all round-trip times, before the first measurement.", measured(func(t *tally.Total) time.Duration { return t.RTT })},
	{"rtt.smoothed", "Weighted average of the round-trip times; of several clients the mean.", measured(func(t *tally.Total) time.Duration { return t.SmoothedRTT })},
	{"rtt.smoothed_max", "Weighted average of the round-trip times; of several clients that of the slowest.", measured(func(t *tally.Total) time.Duration { return t.MaxSmoothedRTT })},
	{"rtt.max", "The longest round-trip time ever measured.", measured(func(t *tally.Total) time.Duration { return t.MaxRTT })},
}

// measured observes a duration, unless there is none.
func measured(of func(*tally.Total) time.Duration) func(*tally.Total, func(time.Duration, ...attribute.KeyValue)) {
	return func(t *tally.Total, observe func(time.Duration, ...attribute.KeyValue)) {
		if d := of(t); d > 0 {
			observe(d)
		}
	}
}

// age observes how long ago a moment was, unless there is none.
func age(at time.Time, observe func(time.Duration, ...attribute.KeyValue), own ...attribute.KeyValue) {
	if !at.IsZero() {
		observe(time.Since(at), own...)
	}
}
