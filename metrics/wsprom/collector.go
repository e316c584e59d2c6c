package wsprom

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/internal/tally"
)

// A Collector is a [prometheus.Collector] of any number of clients. Make it with [New],
// register it once, and add clients at any time. Its methods may be called from any
// goroutine, including callbacks of the clients.
type Collector struct {
	set     *tally.Set
	metrics []metric
}

// An Option sets one thing about a [Collector].
type Option func(*config)

// config is what the options make.
type config struct {
	aggregate bool
}

// WithAggregation reports all clients together, without the label client: counters are
// summed, and wechatws_clients is the number of clients in each state. The number
// of series is then the same for one client and for ten thousand. The default is 30
// series for each name given to [Collector.Add].
func WithAggregation() Option { return func(c *config) { c.aggregate = true } }

// New makes a Collector without clients. It starts no goroutine and needs no closing.
func New(options ...Option) *Collector {
	var cfg config
	for _, option := range options {
		if option == nil {
			panic("wsprom: New: an option is nil")
		}
		option(&cfg)
	}
	var labels []string
	if !cfg.aggregate {
		labels = []string{"client"}
	}
	c := &Collector{set: tally.NewSet(cfg.aggregate)}
	for _, f := range families {
		m := metric{family: f, named: !cfg.aggregate}
		own := labels
		if f.label != "" {
			own = append(labels[:len(labels):len(labels)], f.label)
		}
		m.desc = prometheus.NewDesc("wechatws_"+f.name, f.help, own, nil)
		c.metrics = append(c.metrics, m)
	}
	return c
}

// Add reports a client, until remove is called, under a name that is the value of the
// label client; with [WithAggregation] it is not used. Clients with the same name, such as
// a pool, are reported together. Names should be few and stable: an id that changes with
// every start makes new series with every start.
//
// Counters begin at zero with Add: call it before Connect to count everything. The counts
// of a removed client remain in the total of its name, so that no counter decreases; the
// name's series end when its last client is removed, and restart at zero if the name is
// used again, which Prometheus takes as a restart. With WithAggregation they never end.
//
// Add does not block, and panics if client is nil. The client may be in any state, then
// and when it is removed. The collector references the client until remove is called;
// remove may be called more than once. A client that is added twice is counted twice.
func (c *Collector) Add(name string, client *wechatws.Client) (remove func()) {
	if client == nil { // here, and not in the middle of a scrape
		panic("wsprom: Add: client is nil")
	}
	return c.set.Add(strings.ToValidUTF8(name, "\uFFFD"), client)
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements [prometheus.Collector]. It takes a snapshot of every client, without
// waiting for the network or for callbacks, and sends their totals.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, total := range c.set.Totals() {
		for _, m := range c.metrics {
			m.read(&total, func(value float64, label ...string) {
				if m.named {
					label = append([]string{total.Name}, label...)
				}
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, value, label...)
			})
		}
	}
}

// A metric is a family as one collector reports it.
type metric struct {
	family
	desc  *prometheus.Desc
	named bool // by the label client
}

// A family is what is reported under one name.
type family struct {
	name, help string
	kind       prometheus.ValueType
	label      string // besides client; empty: none
	read       func(t *tally.Total, emit func(value float64, label ...string))
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// families are all metrics. Times are reported as timestamps and not as ages, as
// Prometheus advises: time() - x still advances when a target can no longer be scraped.
var families = []family{
	{"clients", "Clients by state. For a single client: 1 for its state, 0 for the others.", gauge, "state",
		func(t *tally.Total, emit func(float64, ...string)) {
			for i, state := range tally.States {
				emit(float64(t.Clients[i]), state.String())
			}
		}},
	{"state_start_timestamp_seconds", "Unix time at which the client that is longest in the state entered it. Absent for a state that no client is in, and for idle.", gauge, "state",
		func(t *tally.Total, emit func(float64, ...string)) {
			for i, state := range tally.States {
				moment(t.Since[i], emit, state.String())
			}
		}},
	{"away_start_timestamp_seconds", "Unix time since which the client that has been away for longest is not open, whatever states it has been in since. Absent while all are open, closed or idle.", gauge, "",
		func(t *tally.Total, emit func(float64, ...string)) { moment(t.AwaySince, emit) }},

	{"connection_attempts_total", "Connection attempts.", counter, "", one(func(t *tally.Total) int { return t.Attempts })},
	{"connections_opened_total", "Connection attempts that ended in a connection that was open and logged in.", counter, "", one(func(t *tally.Total) int { return t.Opens })},
	{"disconnects_total", "Connections that had been open and ended without Close, by cause: closed (by the peer), lost, half_open, protocol (invalid data from the peer), local (Reconnect or Disconnect).", counter, "cause",
		func(t *tally.Total, emit func(float64, ...string)) {
			for _, cause := range tally.Causes {
				emit(float64(cause.Of(t.Disconnects)), cause.Name)
			}
		}},
	{"last_error_timestamp_seconds", "Unix time at which an attempt failed or a connection was lost last. Absent before the first time.", gauge, "",
		func(t *tally.Total, emit func(float64, ...string)) { moment(t.LastErrorAt, emit) }},

	{"received_messages_total", "Messages received, including answers to heartbeats.", counter, "", one(func(t *tally.Total) int64 { return t.MessagesIn })},
	{"received_bytes_total", "Size of the data of the messages received.", counter, "", one(func(t *tally.Total) int64 { return t.BytesIn })},
	{"skipped_messages_total", "Messages received that were larger than the read limit, and skipped.", counter, "", one(func(t *tally.Total) int64 { return t.Skipped })},
	{"sent_messages_total", "Messages written to a socket, without heartbeats and the login.", counter, "", one(func(t *tally.Total) int64 { return t.MessagesOut })},
	{"sent_bytes_total", "Size of the data of the messages written to a socket.", counter, "", one(func(t *tally.Total) int64 { return t.BytesOut })},
	{"dropped_messages_total", "Messages dropped before they were sent: expired, removed from a full queue, or refused by the peer.", counter, "", one(func(t *tally.Total) int64 { return t.Dropped })},

	{"queue_messages", "Messages in the outbound queue.", gauge, "", one(func(t *tally.Total) int { return t.Queued })},
	{"queue_bytes", "Size of the messages in the outbound queue.", gauge, "", one(func(t *tally.Total) int { return t.QueuedBytes })},
	{"queue_max_messages", "Maximum number of messages in a client's outbound queue since the client was made.", gauge, "", one(func(t *tally.Total) int { return t.MaxQueued })},
	{"inbox_messages", "Received messages that wait for a callback or are in one.", gauge, "", one(func(t *tally.Total) int { return t.Inbox })},
	{"inbox_max_messages", "Maximum number of messages in a client's inbox since the client was made.", gauge, "", one(func(t *tally.Total) int { return t.MaxInbox })},

	{"rtt_last_seconds", "Latest round-trip time; of several clients the mean. Absent, like all round-trip times, before the first measurement.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.RTT })},
	{"rtt_smoothed_seconds", "Weighted average of the round-trip times; of several clients the mean.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.SmoothedRTT })},
	{"rtt_smoothed_max_seconds", "Weighted average of the round-trip times; of several clients the maximum.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.MaxSmoothedRTT })},
	{"rtt_max_seconds", "Maximum round-trip time since the client was made.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.MaxRTT })},
}

// one reports a number.
func one[N int | int64](of func(*tally.Total) N) func(*tally.Total, func(float64, ...string)) {
	return func(t *tally.Total, emit func(float64, ...string)) { emit(float64(of(t))) }
}

// duration reports a duration, unless there is none.
func duration(of func(*tally.Total) time.Duration) func(*tally.Total, func(float64, ...string)) {
	return func(t *tally.Total, emit func(float64, ...string)) {
		if d := of(t); d > 0 {
			emit(d.Seconds())
		}
	}
}

// moment reports a moment, unless there is none.
func moment(at time.Time, emit func(float64, ...string), label ...string) {
	if !at.IsZero() {
		emit(float64(at.UnixMilli())/1e3, label...)
	}
}
