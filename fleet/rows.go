package fleet

import (
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/inspect"
)

const (
	// rowsAtOnce is how many rows a worker puts into one message, and errorAtMost how much of
	// each error, in bytes: together always less than the 1 MB that NATS takes by default.
	rowsAtOnce  = 200
	errorAtMost = 500
	// rowsAfter is how old rows may be before the next request.
	rowsAfter = time.Second
	// rowsUntil is how long a row is shown that no worker sends again.
	rowsUntil = 10 * time.Second
)

// A row is a room's client as its worker sees it.
type row struct {
	Room  string         `json:"room"`
	Stats wechatws.Stats `json:"stats"` // LastError is cut
}

// rows is one message of a worker.
type rows struct {
	Worker string    `json:"worker"`
	Now    time.Time `json:"now"` // by the worker's clock
	Rows   []row     `json:"rows"`
}

// Rows returns an iterator over the clients of all rooms of all workers, for the page of package
// inspect:
//
//	page := inspect.New()
//	page.AddRows(f.Rows())
//
// A range over it does not block: it yields what is known, and requests newer rows from the workers over
// NATS. That is a few hundred bytes a room every two seconds: good for thousands of rooms, and not for
// a hundred thousand. Rows may be called any number of times.
func (f *Fleet) Rows() iter.Seq[inspect.Row] {
	c := &collector{f: f, seen: map[[2]string]seenRow{}}
	return c.yield
}

// A collector keeps the newest rows, since a page must not wait for NATS.
type collector struct {
	f *Fleet

	mu     sync.Mutex
	asking bool
	asked  time.Time
	seen   map[[2]string]seenRow // by worker and room
}

type seenRow struct {
	inspect.Row
	at time.Time
}

func (c *collector) yield(yield func(inspect.Row) bool) {
	c.mu.Lock()
	if !c.asking && time.Since(c.asked) > rowsAfter {
		c.asking, c.asked = true, time.Now()
		go c.ask()
	}
	list := make([]inspect.Row, 0, len(c.seen))
	for key, r := range c.seen {
		if time.Since(r.at) > rowsUntil {
			delete(c.seen, key)
			continue
		}
		list = append(list, r.Row)
	}
	c.mu.Unlock()
	for _, r := range list {
		if !yield(r) {
			return
		}
	}
}

// ask sends a request to all workers, and takes the answers that come within a second.
func (c *collector) ask() {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
	}()
	inbox := c.f.nc.NewInbox()
	answers, err := c.f.nc.SubscribeSync(inbox)
	if err != nil {
		return
	}
	defer answers.Unsubscribe()
	m := request(c.f.rowsSubject(), askRows)
	m.Reply = inbox
	if c.f.nc.PublishMsg(m) != nil {
		return
	}
	until := time.Now().Add(time.Second)
	for {
		m, err := answers.NextMsg(max(time.Until(until), time.Millisecond))
		if err != nil {
			return
		}
		var r rows
		if json.Unmarshal(m.Data, &r) == nil {
			c.take(r)
		}
	}
}

func (c *collector) take(r rows) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	ahead := r.Now.Sub(now)
	ours := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
	for _, one := range r.Rows {
		s := one.Stats
		ours(&s.Since)
		ours(&s.RetryAt)
		ours(&s.AwaySince)
		ours(&s.LastErrorAt)
		ours(&s.ReceivedAt)
		ours(&s.PartialAt)
		ours(&s.TakenAt)
		c.seen[[2]string{r.Worker, one.Room}] = seenRow{inspect.Row{Name: one.Room, Where: r.Worker, Stats: s}, now}
	}
}

func (f *Fleet) rowsSubject() string { return f.name + ".everybody.rows" }

// sendRows answers a collector.
func (w *Worker) sendRows(m *nats.Msg) {
	r := rows{Worker: w.cfg.name}
	send := func() {
		r.Now = time.Now()
		if b, err := json.Marshal(r); err == nil {
			_ = m.Respond(b)
		}
		r.Rows = nil
	}
	w.held.Range(func(_, v any) bool {
		h := v.(*holding)
		one := row{Room: h.id}
		if c, p := h.client.Load(), h.problem.Load(); c != nil {
			one.Stats = c.Stats()
		} else if p != nil {
			one.Stats = wechatws.Stats{State: wechatws.StateFailed, Since: p.at, LastError: p.err, LastErrorAt: p.at}
		} else {
			return true
		}
		if err := one.Stats.LastError; err != nil {
			one.Stats.LastError = errors.New(beginning(err.Error()))
		}
		if r.Rows = append(r.Rows, one); len(r.Rows) == rowsAtOnce {
			send()
		}
		return true
	})
	if len(r.Rows) > 0 {
		send()
	}
}

// beginning returns as much of the text of an error as a row has.
func beginning(text string) string {
	if len(text) <= errorAtMost {
		return text
	}
	return strings.ToValidUTF8(text[:errorAtMost], "") + "…"
}
