package audit

import (
	"net/http"
	"strconv"
	"time"
)

// Holder returns the room, the worker and the fence that a connection was made for.
func Holder(r *http.Request) (room, worker string, fence uint64) {
	q := r.URL.Query()
	fence, _ = strconv.ParseUint(q.Get("fence"), 10, 64)
	return q.Get("room"), q.Get("worker"), fence
}

// A Judge reports whether rooms are held twice while messages come, and keeps nothing of them. Its zero value
// is ready. It is for one goroutine at a time.
type Judge struct{ rooms map[string]*heard }

// heard is what a Judge knows about a room.
type heard struct {
	fence       uint64 // the highest one
	worker      string
	first, last time.Time // messages under it
	former      time.Time // the last message under a lower one
}

// Twice records a message to a room that has arrived at a time, in any order. It reports whether the message
// shows that one under a lower fence has arrived behind one under a higher fence, or that two workers have the
// same fence.
func (j *Judge) Twice(room, worker string, fence uint64, at time.Time) bool {
	h := j.rooms[room]
	switch {
	case h == nil:
		if j.rooms == nil {
			j.rooms = map[string]*heard{}
		}
		j.rooms[room] = &heard{fence: fence, worker: worker, first: at, last: at}
		return false
	case fence < h.fence:
		h.former = later(h.former, at)
		return !at.Before(h.first)
	case fence > h.fence:
		h.former = later(h.former, h.last)
		h.fence, h.worker, h.first, h.last = fence, worker, at, at
		return h.former.After(at)
	case worker != h.worker:
		return true
	}
	h.last = later(h.last, at)
	if at.Before(h.first) {
		known := h.former.After(h.first)
		h.first = at
		return !known && h.former.After(at)
	}
	return false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
