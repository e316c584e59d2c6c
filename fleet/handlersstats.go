package fleet

import "net/http"

// HandlersStats is a snapshot of [Handlers]. Counters are cumulative since they were made.
type HandlersStats struct {
	Group      string
	Ready      bool  // see Handlers.Ready
	Partitions int   // that this process has
	Lag        int64 // messages of these that are not handled
	Held       int   // rooms that wait for another attempt
	Bytes      int64 // about the memory that messages take

	Handled     int64 // messages that are done with, whatever the outcome
	Retried     int64 // attempts that were not the last one
	Undecodable int64 // messages that did not decode into the type of one of their callbacks
	GivenUp     int64 // messages that callbacks have failed for good, see WithAttempts
	Errors      int64 // errors that were reported to the functions of Handlers.OnError
}

// Stats returns a snapshot. It does not block. Its cost is proportional to the number of rooms that have
// messages which are not handled.
func (h *Handlers) Stats() HandlersStats {
	s := HandlersStats{
		Group: h.group, Ready: h.Ready(), Handled: h.handled.Load(), Retried: h.retried.Load(),
		Undecodable: h.undecodable.Load(), GivenUp: h.givenUp.Load(), Errors: h.errors.Load(),
	}
	h.partitions.Range(func(_, v any) bool {
		p := v.(*partition)
		p.mu.Lock()
		defer p.mu.Unlock()
		s.Partitions++
		s.Lag += int64(p.pending) + int64(max(p.waiting, len(p.lines)))
		s.Bytes += int64(p.bytes)
		for _, l := range p.lines {
			if l.held {
				s.Held++
			}
		}
		return true
	})
	return s
}

// Ready reports whether [Handlers.Run] runs and has reached NATS within the time of [WithTakeoverAfter].
func (h *Handlers) Ready() bool {
	at := h.reached.Load()
	return h.Alive() && at != nil && since(*at) < h.cfg.takeover
}

// Alive reports whether [Handlers.Run] is running, whether or not NATS can be reached. A program that is
// not alive should be restarted; a program that is alive but not ready should not.
func (h *Handlers) Alive() bool { return h.ran.Load() && !h.ended.Load() }

// ServeHTTP answers health checks with 200 or 503: a path that ends in /ready by [Handlers.Ready], and all
// others by [Handlers.Alive].
func (h *Handlers) ServeHTTP(rw http.ResponseWriter, r *http.Request) { serveHealth(rw, r, h) }
