package fleet

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// counters are cumulative since the worker was made.
type counters struct {
	taken, released, in, out, unpublished, overBudget, expired, undeliverable, errors atomic.Int64
}

// WorkerStats is a snapshot of a worker. Counters are cumulative since it was made.
type WorkerStats struct {
	Name    string
	Session string        // empty: it has no lease now
	Lease   time.Duration // the rest of its lease without another renewal
	Ready   bool          // see Worker.Ready
	Rooms   int           // held now
	Open    int           // of these, with an open connection
	Shards  int           // of which it holds rooms, or may
	Unheld  int           // shards of the whole fleet that no worker holds, as last known to this one

	Taken    int64 // rooms that it began to hold
	Released int64 // rooms that it handed over or gave up
	In       int64 // messages from rooms that are in the stream
	// Unpublished counts messages from rooms that clients had received and that are not published, because
	// the room was given up before, or because NATS refuses them. One that NATS has stored without an answer
	// is counted, too. A room that is handed over publishes first what it has received, for a second at most.
	Unpublished int64
	OverBudget  int64 // messages from rooms that were dropped; see WithRoomBudget
	Out         int64 // messages to rooms that were delivered
	Expired     int64 // messages to rooms that had expired
	// Undeliverable counts messages to rooms that no client can write, for example because they were
	// larger than the client's whole queue. They are dead letters, see [Control.DeadLetters], but for those
	// that [Fleet.Send] has not stored, which are dropped.
	Undeliverable int64
	Errors        int64 // errors that were reported to the functions of Worker.OnError
}

// Stats returns a snapshot. It does not block. Its cost is proportional to the number of rooms.
func (w *Worker) Stats() WorkerStats {
	c := &w.counters
	s := WorkerStats{
		Name: w.cfg.name, Ready: w.Ready(), Shards: int(w.shards.Load()), Unheld: int(w.unheld.Load()),
		Taken: c.taken.Load(), Released: c.released.Load(), In: c.in.Load(), Unpublished: c.unpublished.Load(), OverBudget: c.overBudget.Load(),
		Out: c.out.Load(), Expired: c.expired.Load(), Undeliverable: c.undeliverable.Load(), Errors: c.errors.Load(),
	}
	if session := w.leased.Load(); session != nil {
		s.Session, s.Lease = session.id, max(0, session.left())
	}
	w.held.Range(func(_, h any) bool {
		s.Rooms++
		if c := h.(*holding).client.Load(); c != nil && c.State() == wechatws.StateOpen {
			s.Open++
		}
		return true
	})
	return s
}

// Clients calls fn for the client of each room that the worker holds, until it returns false. The
// clients belong to the worker, and must not be closed.
func (w *Worker) Clients(fn func(room string, c *wechatws.Client) bool) {
	w.held.Range(func(_, v any) bool {
		h := v.(*holding)
		c := h.client.Load()
		return c == nil || fn(h.id, c)
	})
}

// Ready reports whether the worker has a lease, knows all shards, and does not drain.
func (w *Worker) Ready() bool {
	s := w.leased.Load()
	if s == nil || !w.synced.Load() || s.left() <= 0 {
		return false
	}
	select {
	case <-w.drained:
		return false
	default:
		return true
	}
}

// Alive reports whether [Worker.Run] is running, whether or not NATS can be reached. A program that is
// not alive should be restarted; a program that is alive but not ready should not.
func (w *Worker) Alive() bool { return w.ran.Load() && !w.ended.Load() }

// ServeHTTP answers health checks with 200 or 503: a path that ends in /ready by [Worker.Ready], and
// all others by [Worker.Alive].
func (w *Worker) ServeHTTP(rw http.ResponseWriter, r *http.Request) { serveHealth(rw, r, w) }

// serveHealth answers a health check.
func serveHealth(rw http.ResponseWriter, r *http.Request, of interface {
	Alive() bool
	Ready() bool
}) {
	ok, what := of.Alive(), "alive"
	if strings.HasSuffix(r.URL.Path, "/ready") {
		ok, what = of.Ready(), "ready"
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		rw.WriteHeader(http.StatusServiceUnavailable)
		what = "not " + what
	}
	_, _ = rw.Write([]byte(what + "\n"))
}
