package inspect

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// A watched client is one with its history. States and errors are noted as they
// happen, because they are rare and because what is interesting has happened before
// somebody comes to look; numbers are asked for when somebody does.
type watched struct {
	id, name string
	client   *wechatws.Client
	changes  *atomic.Uint64 // of all clients together
	unwatch  func()

	moved atomic.Bool // since the last look

	mu     sync.Mutex
	since  time.Time
	strip  strip
	errors recent
}

func watch(id, name string, client *wechatws.Client, changes *atomic.Uint64) *watched {
	w := &watched{id: id, name: name, client: client, changes: changes}
	stateChanges := client.OnStateChange(func(_ context.Context, change wechatws.StateChange) { w.changed(change) })
	errors := client.OnError(func(_ context.Context, err error) { w.failed(err) })
	w.unwatch = func() { stateChanges(); errors() }

	w.mu.Lock()
	defer w.mu.Unlock()
	s, now := client.Stats(), time.Now()
	if w.since.IsZero() { // otherwise a callback was faster
		w.begin(&s, now)
	}
	return w
}

// begin is called with mu held, like all that has Stats given to it: Stats taken one
// after the other must be noted in that order.
func (w *watched) begin(s *wechatws.Stats, now time.Time) {
	w.since = s.Since
	if w.since.IsZero() {
		w.since = now
	}
	w.strip.begin(w.since, now, s.State)
}

// notice notes the state that the client is in.
func (w *watched) notice(s *wechatws.Stats) {
	if w.since.IsZero() {
		w.begin(s, time.Now())
	}
	if s.Since.IsZero() || s.Since.Before(w.since) {
		return
	}
	w.since = s.Since
	w.strip.move(s.Since, s.State)
}

// changed notes a state that was entered. The client may have left it already, when
// another callback has kept this one waiting: then it is put where the state that
// came after it began, which is the latest that it can have been.
func (w *watched) changed(change wechatws.StateChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.client.Stats()
	w.notice(&s)
	w.strip.touch(s.Since, change.To)
	if change.Err != nil && change.To != wechatws.StateClosed {
		// Of an attempt that failed OnError was told as well, just before.
		if text := plain(change.Err); change.From == wechatws.StateOpen || text != w.errors.newest() {
			w.errors.add(s.Since, text)
		}
	}
	w.tell()
}

func (w *watched) failed(err error) {
	now, text := time.Now(), plain(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors.add(now, text)
	w.tell()
}

func (w *watched) tell() {
	w.moved.Store(true)
	w.changes.Add(1)
}

// look fills in a row, or reports false when only changes are asked for and there is
// none.
func (w *watched) look(all bool, r *row) bool {
	if moved := w.moved.Load() && w.moved.Swap(false); !moved && !all {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.client.Stats()
	w.notice(&s)
	*r = row{
		id: w.id, name: w.name,
		state: s.State, since: w.since.UnixMilli(), attempt: s.Attempt,
		attempts: s.Attempts, opens: s.Opens, drops: s.Drops,
		in: s.MessagesIn, inBytes: s.BytesIn, out: s.MessagesOut, outBytes: s.BytesOut, dropped: s.Dropped,
		queued: s.Queued, queuedBytes: s.QueuedBytes, queuedMost: s.QueuedMost,
		inbox: s.Inbox, inboxMost: s.InboxMost,
		rtt: s.SmoothedRTT.Microseconds(), worstRTT: s.WorstRTT.Microseconds(),
		strip: w.strip.text(), errors: w.errors.json(),
	}
	if !s.RetryAt.IsZero() {
		r.retryAt = s.RetryAt.UnixMilli()
	}
	return true
}
