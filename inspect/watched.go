package inspect

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
)

// A watched client is a client with its history. States and errors are recorded as they
// happen, because they are rare and because the interesting ones happen before the page
// is opened; numbers are read while it is open.
type watched struct {
	id, name string
	client   *wechatws.Client
	changes  *atomic.Uint64 // of all clients together
	unwatch  func()

	moved atomic.Bool // since the last look

	mu sync.Mutex
	history
}

func watch(id, name string, client *wechatws.Client, changes *atomic.Uint64) *watched {
	w := &watched{id: id, name: name, client: client, changes: changes}
	w.mu.Lock() // callbacks come after the state that the history begins with
	defer w.mu.Unlock()
	stateChanges := client.OnStateChange(func(_ context.Context, change wechatws.StateChange) { w.changed(change) })
	errors := client.OnError(func(_ context.Context, err error) { w.failed(err) })
	w.unwatch = func() { stateChanges(); errors() }
	s := client.Stats()
	w.notice(&s)
	return w
}

// changed notes a state that was entered, by when it was: another callback may have kept
// this one waiting.
func (w *watched) changed(change wechatws.StateChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.move(change.At, change.To)
	if change.Err != nil && change.To != wechatws.StateClosed {
		// OnError was called with the error of a failed attempt as well, just before.
		if text := plain(change.Err); change.From == wechatws.StateOpen || text != w.errors.newest() {
			w.errors.add(change.At, text)
		}
	}
	w.signal()
}

func (w *watched) failed(err error) {
	now, text := time.Now(), plain(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors.add(now, text)
	w.signal()
}

func (w *watched) signal() {
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
	*r = w.row(&s)
	r.id, r.name, r.here = w.id, w.name, true
	return true
}
