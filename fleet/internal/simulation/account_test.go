package simulation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
	"github.com/wechatws/wechatws/wstest"
)

// An account has what became of each room and each message.
type account struct {
	mu       sync.Mutex
	names    []string // of rooms, in the order in which they were added
	rooms    map[string]*room
	judge    audit.Judge
	mistakes []string
}

// A room is one room's part of the account.
type room struct {
	conn  *wstest.Conn // the newest one
	fence uint64       // the highest one that was written under
	by    string       // the worker that has
	wrote time.Time

	removed time.Time // zero: it has not been

	said    int   // messages that the backend has sent
	stored  []int // of these, in the order in which NATS has stored them
	at      []time.Time
	longest time.Duration // from there until one was handled
	handled int           // of stored
	again   int           // handled before
	running string

	sent     int          // messages to the room that a Send was called for
	accepted map[int]bool // true: the Send has returned nil; false: its outcome is unknown
	brief    map[int]time.Time
	written  []int // as the backend has received them
	twice    int
}

// briefly is how long a message may wait that expires.
const briefly = 3 * time.Second

func newAccount() *account { return &account{rooms: map[string]*room{}} }

func (a *account) add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names = append(a.names, name)
	a.rooms[name] = &room{wrote: time.Now(), accepted: map[int]bool{}, brief: map[int]time.Time{}}
}

// mistake records what must not happen. a.mu must be held.
func (a *account) mistake(format string, args ...any) {
	a.mistakes = append(a.mistakes, fmt.Sprintf(format, args...))
}

func (a *account) wrong() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.mistakes)
}

func (a *account) connected(c *wstest.Conn) {
	name, fence, _ := fenceOf(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.rooms[name]; r != nil && fence >= r.fence {
		r.conn = c
	}
}

// written is called for each message that the backend receives.
func (a *account) written(c *wstest.Conn, v words) {
	name, fence, worker := fenceOf(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[name]
	switch {
	case r == nil:
		return
	case a.judge.Twice(name, worker, fence, time.Now()):
		a.mistake("room %s: worker %s has written under fence %d after worker %s under %d", name, worker, fence, r.by, r.fence)
	case fence > r.fence:
		r.fence, r.by = fence, worker
	}
	r.wrote = time.Now()
	if v.Type != note && v.Type != question {
		return
	}
	if stored, ok := r.brief[v.N]; ok && !stored.IsZero() && time.Since(stored) > briefly+time.Second {
		a.mistake("room %s: message %d was delivered after it had expired", name, v.N)
	}
	if !r.accepted[v.N] { // it may be stored late, or twice
		return
	}
	if len(r.written) > 0 {
		switch last := r.written[len(r.written)-1]; {
		case v.N < last:
			a.mistake("room %s: message %d was delivered after message %d", name, v.N, last)
			return
		case v.N == last:
			r.twice++
			return
		}
	}
	r.written = append(r.written, v.N)
}

// speaker returns the connection on which the backend says something in a room, or nil, and the number of
// what it says.
func (a *account) speaker(name string) (*wstest.Conn, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[name]
	if r == nil || r.conn == nil {
		return nil, 0
	}
	r.said++
	return r.conn, r.said
}

// stored is called by the cluster for each message that a stream stores.
func (a *account) stored(s natssim.Stored) {
	var v words
	in, out := strings.HasSuffix(s.Stream, "-in"), strings.HasSuffix(s.Stream, "-out")
	if !in && !out || json.Unmarshal(s.Data, &v) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[v.Room]
	switch {
	case r == nil:
	case out:
		if _, ok := r.brief[v.N]; ok {
			r.brief[v.N] = s.At
		}
	case v.Type != said: // an answer
	case len(r.stored) > 0 && v.N <= r.stored[len(r.stored)-1]:
		a.mistake("room %s: message %d is in the stream after message %d", v.Room, v.N, r.stored[len(r.stored)-1])
	default:
		r.stored, r.at = append(r.stored, v.N), append(r.at, time.Now())
	}
}

// handling is called before a process handles a message, and the result after that.
func (a *account) handling(process string, v words) (done func(finished bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[v.Room]
	if r.running != "" {
		a.mistake("room %s: process %s handles message %d while process %s handles one", v.Room, process, v.N, r.running)
	}
	r.running = process
	return func(finished bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		r.running = ""
		if finished {
			a.handledOne(process, r, v)
		}
	}
}

// lost is called when a process is lost: what it is handling is not handled.
func (a *account) lost(process string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.rooms {
		if r.running == process {
			r.running = ""
		}
	}
}

func (a *account) handledOne(process string, r *room, v words) {
	at := slices.Index(r.stored, v.N)
	switch {
	case at < 0:
		a.mistake("room %s: process %s has handled message %d, which is not in the stream", v.Room, process, v.N)
	case at > r.handled:
		a.mistake("room %s: process %s has handled message %d before message %d", v.Room, process, v.N, r.stored[r.handled])
		r.handled = at + 1
	case at < r.handled:
		r.again++
	default:
		r.handled++
		r.longest = max(r.longest, time.Since(r.at[at]))
	}
}

// send is called before a Send, and the result after it.
func (a *account) send(name string, expires bool) (n int, done func(err error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[name]
	r.sent++
	n = r.sent
	if expires {
		r.brief[n] = time.Time{}
	}
	r.accepted[n] = true // it may be delivered before Send returns
	return n, func(err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if err != nil {
			r.accepted[n] = false
			r.written = slices.DeleteFunc(r.written, func(other int) bool { return other == n })
		}
	}
}

// open returns what is not delivered and not handled.
func (a *account) open() (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.names {
		r := a.rooms[name]
		if r.handled < len(r.stored) {
			list = append(list, fmt.Sprintf("%s: %d of %d messages are handled", name, r.handled, len(r.stored)))
		}
		for n := range r.sent {
			_, brief := r.brief[n+1]
			if r.accepted[n+1] && !brief && r.removed.IsZero() && !slices.Contains(r.written, n+1) {
				list = append(list, fmt.Sprintf("%s: message %d of %d is not delivered", name, n+1, r.sent))
				break
			}
		}
	}
	return list
}

// latencies returns the longest time from the storage of a message until it was handled, by room.
func (a *account) latencies() map[string]time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := map[string]time.Duration{}
	for name, r := range a.rooms {
		list[name] = r.longest
	}
	return list
}

// sums returns how much has happened, for the log.
func (a *account) sums() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var said, stored, handled, again, sent, written, twice int
	for _, r := range a.rooms {
		said, stored, handled, again = said+r.said, stored+len(r.stored), handled+r.handled, again+r.again
		sent, written, twice = sent+r.sent, written+len(r.written), twice+r.twice
	}
	return fmt.Sprintf("said %d, stored %d, handled %d, handled again %d; sent %d, delivered %d, twice %d", said, stored, handled, again, sent, written, twice)
}
