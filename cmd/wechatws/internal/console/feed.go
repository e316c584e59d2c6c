package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
)

// The entries that may wait for a screen that is slower than the server, and the size of the messages
// that they hold.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 64 << 20
)

// A feed passes entries from the client's callbacks to the view. put never blocks, also when
// the view has ended: a callback that waits for the screen would delay all callbacks behind
// it. The oldest entries beyond maxWaiting are discarded and counted.
type feed struct {
	ready chan struct{} // has a token when there may be entries to take

	mu      sync.Mutex
	entries []entry
	bytes   int // of the messages of entries
	skipped int
}

func newFeed() *feed { return &feed{ready: make(chan struct{}, 1)} }

func (f *feed) put(e entry) {
	f.mu.Lock()
	f.entries = append(f.entries, e)
	f.bytes += e.bytes()
	for len(f.entries) > 1 && (len(f.entries) > maxWaiting || f.bytes > maxWaitingBytes) { // the newest entries are the useful ones
		f.bytes -= f.entries[0].bytes()
		f.entries = f.entries[1:]
		f.skipped++
	}
	f.mu.Unlock()
	f.wake()
}

// wake makes the view look again.
func (f *feed) wake() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// take returns the entries since the last take.
func (f *feed) take() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := f.entries
	if f.skipped > 0 {
		text := fmt.Sprintf("%d lines skipped: they came faster than they could be shown", f.skipped)
		entries = append([]entry{{at: entries[0].at, kind: failure, text: text}}, entries...)
	}
	f.entries, f.bytes, f.skipped = nil, 0, 0
	return entries
}

// listen registers callbacks that put an entry for each message and event.
func (s *session) listen() {
	s.client.OnMessage(func(_ context.Context, m wechatws.Message) {
		s.feed.put(s.whole(s.format.message(m), message{"received", m.Connection, m.Type, m.Binary, m.Data}))
	})
	s.client.OnOpen(func(_ context.Context, e wechatws.OpenEvent) {
		s.note("open: connection %d, after %v", e.Connection, short(e.Timings.Total))
	})
	s.client.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		if e.Err != nil { // nil after Close, which is shown as a state
			s.note("connection %d has ended: %v", e.Connection, e.Err)
		}
	})
	s.client.OnError(func(_ context.Context, err error) { s.fail(err) })
	s.client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		s.moved(c)
		switch c.To {
		case wechatws.StateOpen: // OnOpen has more details
		case wechatws.StateConnecting:
			s.note("connecting: attempt %d", c.Attempt)
		case wechatws.StateWaiting:
			s.note("waiting: attempt %d in %v", c.Attempt, short(c.RetryIn))
		case wechatws.StateFailed:
			s.fail(fmt.Errorf("given up, /connect tries again: %w", c.Err))
		default:
			s.note("%v", c.To)
		}
	})
}

// roundTrip formats a round-trip time, "-" if none has been measured.
func roundTrip(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return short(d).String()
}

// short rounds to a readable number of digits.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
