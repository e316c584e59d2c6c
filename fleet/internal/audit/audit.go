// Package audit reports, from what a backend receives, whether rooms were held by one worker at a time.
// The backend is a wstest.Server that rooms connect to with ?room=…&worker=…&fence=… in the URL. Only the
// backend sees all connections.
//
// A fence grows with each holder of a room. So a room was held twice if a message under a fence has arrived
// behind one under a higher fence. When a message has arrived is known from the kernel, on Linux: a busy backend
// may read the messages of two connections in another order.
package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/wechatws/wechatws/wstest"
)

// A Hold is one connection's time in a room: from its first message, which is the join, to its last
// one, which may be a close frame. After that the socket may still exist, as that of a stopped process
// does, but the room is not held by it.
type Hold struct {
	Room, Worker string
	Fence        uint64
	Conn         int
	Opened       time.Time // the handshake was accepted
	From, To     time.Time // the first and the last message
	Gone         time.Time // the end of the socket; zero if it still exists
}

const noCloseFrame = 1006

// Holds returns all connections that have sent a message, by room and time.
func Holds(events []wstest.Event) []Hold {
	byConn := map[int]*Hold{}
	var order []int
	for _, e := range events {
		h := byConn[e.Conn]
		switch e.Kind {
		case wstest.EventOpen:
			room, worker, fence := Holder(e.Request)
			byConn[e.Conn] = &Hold{Room: room, Worker: worker, Fence: fence, Conn: e.Conn, Opened: e.At}
			order = append(order, e.Conn)
		case wstest.EventMessage, wstest.EventPing:
			if h.From.IsZero() {
				h.From = e.At
			}
			h.To = e.At
		case wstest.EventClosed:
			h.Gone = e.At
			if e.Code != noCloseFrame && !h.From.IsZero() {
				h.To = e.At
			}
		}
	}
	var holds []Hold
	for _, c := range order {
		if h := byConn[c]; !h.From.IsZero() {
			holds = append(holds, *h)
		}
	}
	slices.SortStableFunc(holds, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(a.Room, b.Room), a.From.Compare(b.From))
	})
	return holds
}

// Twice returns the pairs of holds of one room of which the one with the lower fence had not ended when the
// other one began. Two connections of a worker under one fence are of one holder: a message that was sent on a
// connection that was cut may arrive after the next one has opened.
func Twice(holds []Hold) (pairs [][2]Hold) {
	return overlaps(holds, func(h Hold) time.Time { return h.To })
}

// TwoSockets returns the pairs of which the socket of the one with the lower fence still existed when the
// other one began, with or without messages on it.
func TwoSockets(holds []Hold) (pairs [][2]Hold) {
	return overlaps(holds, func(h Hold) time.Time {
		if h.Gone.IsZero() {
			return time.Unix(1<<40, 0)
		}
		return h.Gone
	})
}

func overlaps(holds []Hold, end func(Hold) time.Time) (pairs [][2]Hold) {
	for i, h := range holds {
		for _, next := range holds[i+1:] {
			if next.Room != h.Room {
				break
			}
			low, high := h, next
			if high.Fence < low.Fence {
				low, high = high, low
			}
			if (low.Fence != high.Fence || low.Worker != high.Worker) && high.From.Before(end(low)) {
				pairs = append(pairs, [2]Hold{low, high})
			}
		}
	}
	return pairs
}

// Gaps returns, for each room that a worker held at a moment, the time from then until another
// connection sent a message. A room without another connection is left out.
func Gaps(holds []Hold, worker string, lost time.Time) (gaps []time.Duration, missing int) {
	for i, h := range holds {
		if h.Worker != worker || h.From.After(lost) || !h.Gone.IsZero() && h.Gone.Before(lost) {
			continue
		}
		rest := holds[i+1:]
		at := slices.IndexFunc(rest, func(n Hold) bool { return n.Room != h.Room || n.From.After(lost) })
		if at < 0 || rest[at].Room != h.Room {
			missing++
			continue
		}
		gaps = append(gaps, rest[at].From.Sub(lost))
	}
	slices.Sort(gaps)
	return gaps, missing
}

// Between returns the length of each gap between two workers in a time: from the end of one worker's
// socket to the first message of the next one.
func Between(holds []Hold, from, to time.Time) (gaps []time.Duration) {
	for i := 1; i < len(holds); i++ {
		a, b := holds[i-1], holds[i]
		if a.Room == b.Room && a.Worker != b.Worker && b.From.After(from) && b.From.Before(to) {
			gaps = append(gaps, b.From.Sub(a.Gone))
		}
	}
	slices.Sort(gaps)
	return gaps
}

// Opened counts connections that a worker has made in a time.
func Opened(holds []Hold, worker string, from, to time.Time) (n int) {
	for _, h := range holds {
		if h.Worker == worker && h.From.After(from) && h.From.Before(to) {
			n++
		}
	}
	return n
}

// Percentile returns a percentile of sorted durations: with 0.99, the one that no more than one in a
// hundred exceeds.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
