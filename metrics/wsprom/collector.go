package wsprom

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/internal/tally"
)

// Options say how a Collector reports. The zero value is a good one for some hundred
// clients at most.
type Options struct {
	// Aggregate reports all clients as one, without the label client: counts are
	// summed, and wechatws_clients tells how many clients are in which state. The number
	// of series is then the same for one client and for ten thousand. Default false:
	// 30 series for every name.
	Aggregate bool
}

// A Collector is a prometheus.Collector of any number of clients. Make it with New,
// register it once, and Add clients at any time. Its methods may be called from any
// goroutine, and from inside a client's callbacks.
type Collector struct {
	set     *tally.Set
	metrics []metric
}

// New makes a Collector without clients. Nothing runs in the background, and so there
// is nothing to close.
func New(o Options) *Collector {
	var labels []string
	if !o.Aggregate {
		labels = []string{"client"}
	}
	c := &Collector{set: tally.NewSet(o.Aggregate)}
	for _, f := range families {
		m := metric{family: f, named: !o.Aggregate}
		own := labels
		if f.label != "" {
			own = append(labels[:len(labels):len(labels)], f.label)
		}
		m.desc = prometheus.NewDesc("wechatws_"+f.name, f.help, own, nil)
		c.metrics = append(c.metrics, m)
	}
	return c
}

// Add reports a client from now on, under a name, until remove is called. The name is
// the value of the label client; with Options.Aggregate it is not used. Clients of the
// same name are reported as one: a pool of them, say. The names should be few and
// stable: an id that is new on every start makes new series on every start.
//
// What a client counts is counted from Add on. Add it before Connect to count
// everything. A removed client's counts stay in the total of its name, so that no
// counter falls; the name's series end when its last client is removed, and begin at
// zero if the name comes back, which Prometheus takes as a restart. With
// Options.Aggregate they never end.
//
// Add does not block, and panics when client is nil. The collector holds on to the
// client until remove is called, which may be done more than once; the state of the
// client does not matter to either. A client that is added twice is counted twice.
func (c *Collector) Add(name string, client *wechatws.Client) (remove func()) {
	if client == nil { // here, and not in the middle of a scrape
		panic("wsprom: Add: client is nil")
	}
	return c.set.Add(strings.ToValidUTF8(name, "\uFFFD"), client)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector: it takes a snapshot of every client, which
// waits for no network and no callback, and sends what they come to.
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

// families are everything that is reported. Moments are given as such and not as the
// time that has passed since, as Prometheus advises: time() - x does not stand still
// when a target cannot be scraped any more.
var families = []family{
	{"clients", "Clients by state. Of a single client: 1 for the state that it is in, 0 for the others.", gauge, "state",
		func(t *tally.Total, emit func(float64, ...string)) {
			for i, state := range tally.States {
				emit(float64(t.Clients[i]), state.String())
			}
		}},
	{"state_start_timestamp_seconds", "Unix time at which the client that has been in the state for the longest came into it. Absent for a state that no client is in, and for idle.", gauge, "state",
		func(t *tally.Total, emit func(float64, ...string)) {
			for i, state := range tally.States {
				moment(t.Since[i], emit, state.String())
			}
		}},

	{"connection_attempts_total", "Connection attempts.", counter, "", one(func(t *tally.Total) int { return t.Attempts })},
	{"connections_opened_total", "Connection attempts that ended in a connection that was open and logged in.", counter, "", one(func(t *tally.Total) int { return t.Opens })},
	{"connections_dropped_total", "Connections that had been open and ended without Close, by cause: the peer closed it, it was lost, half_open (the peer fell silent), protocol (what came could not be taken), local (Reconnect or Disconnect).", counter, "cause",
		func(t *tally.Total, emit func(float64, ...string)) {
			for _, cause := range tally.Causes {
				emit(float64(cause.Of(t.Disconnects)), cause.Name)
			}
		}},
	{"last_error_timestamp_seconds", "Unix time at which an attempt failed or a connection was dropped last. Absent before the first time.", gauge, "",
		func(t *tally.Total, emit func(float64, ...string)) { moment(t.LastErrorAt, emit) }},

	{"received_messages_total", "Messages that have arrived, answers to heartbeats among them.", counter, "", one(func(t *tally.Total) int64 { return t.MessagesIn })},
	{"received_bytes_total", "Size of the data of the messages that have arrived.", counter, "", one(func(t *tally.Total) int64 { return t.BytesIn })},
	{"sent_messages_total", "Messages that a socket has taken; neither heartbeats nor the login.", counter, "", one(func(t *tally.Total) int64 { return t.MessagesOut })},
	{"sent_bytes_total", "Size of the data of the messages that a socket has taken.", counter, "", one(func(t *tally.Total) int64 { return t.BytesOut })},
	{"dropped_messages_total", "Messages that were given up before they were sent: expired, or dropped from a full queue.", counter, "", one(func(t *tally.Total) int64 { return t.Dropped })},

	{"queue_messages", "Messages in the outbound queue.", gauge, "", one(func(t *tally.Total) int { return t.Queued })},
	{"queue_bytes", "Size of the messages in the outbound queue.", gauge, "", one(func(t *tally.Total) int { return t.QueuedBytes })},
	{"queue_messages_max", "The most messages that a client's outbound queue has ever held.", gauge, "", one(func(t *tally.Total) int { return t.MaxQueued })},
	{"inbox_messages", "Messages that have arrived and wait for a callback or are in one.", gauge, "", one(func(t *tally.Total) int { return t.Inbox })},
	{"inbox_messages_max", "The most messages that a client's inbox has ever held.", gauge, "", one(func(t *tally.Total) int { return t.MaxInbox })},

	{"rtt_last_seconds", "Round-trip time measured last; of several clients the mean. Absent, as all round-trip times, before the first measurement.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.RTT })},
	{"rtt_smoothed_seconds", "Weighted average of the round-trip times; of several clients the mean.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.SmoothedRTT })},
	{"rtt_smoothed_max_seconds", "Weighted average of the round-trip times; of several clients that of the slowest.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.SmoothedRTTMost })},
	{"rtt_worst_seconds", "The longest round-trip time ever measured.", gauge, "", duration(func(t *tally.Total) time.Duration { return t.MaxRTT })},
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
