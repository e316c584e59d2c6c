package inspect

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"
)

const (
	// tickEvery is how often all rows are looked at. Heartbeats come every three
	// seconds, so that looking more often would mostly show the same.
	tickEvery = 2 * time.Second
	// glanceEvery is how often rows marked as changed are looked at: viewers see a change
	// of state at once, and an outage of a thousand clients takes few updates.
	glanceEvery = 250 * time.Millisecond
	// rateOver is the longest time between two looks that a rate is taken from.
	rateOver = 5 * tickEvery
	// updatesBehind is how many updates a viewer may be behind: eight seconds at
	// least.
	updatesBehind = 32
)

// A feed sends rows to viewers: all of them when a viewer joins, then what changes. It
// looks at the clients once for all viewers together, and only while there are any.
type feed struct {
	// source calls see with every row, or, if all is false, with those whose state has
	// changed. It is called by one goroutine at a time, and must not block; see does not
	// retain the row.
	source func(all bool, see func(*row))

	mu      sync.Mutex
	rows    map[string]*shown
	order   []*shown // in the order of the source
	viewers map[*viewer]struct{}
	stop    chan struct{} // ends the goroutine that looks; nil while there is none
	looked  time.Time     // when all rows were looked at last
	tick    int64         // how many times tickEvery has passed since the first look
	looks   int64         // how many looks at all rows there were
}

// A viewer is one open event stream.
type viewer struct {
	first   []byte      // all rows, when the viewer joined
	updates chan []byte // changes since; closed when the viewer is too slow
}

// head is the data that viewers receive in addition to the rows.
type head struct {
	Process   string `json:"process"`
	Reconnect bool   `json:"reconnect"` // it is allowed

	Now    int64 `json:"now"` // unix ms
	Tick   int64 `json:"tick"`
	TickMS int64 `json:"tick_ms"`
	Ticks  int   `json:"ticks"` // of the sparklines
	CellMS int64 `json:"cell_ms"`
	Cells  int   `json:"cells"` // of the strips
}

// join adds a viewer, until leave.
func (f *feed) join(h head) *viewer {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &viewer{first: f.everything(h), updates: make(chan []byte, updatesBehind)}
	if f.viewers == nil {
		f.viewers = map[*viewer]struct{}{}
	}
	f.viewers[v] = struct{}{}
	if f.stop == nil {
		f.stop = make(chan struct{})
		go f.run(f.stop)
	}
	return v
}

func (f *feed) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgo(v)
}

// forgo stops looking with the last viewer. It may be called again for the same one.
func (f *feed) forgo(v *viewer) {
	delete(f.viewers, v)
	if len(f.viewers) == 0 && f.stop != nil {
		close(f.stop)
		f.stop = nil
	}
}

// now returns all rows.
func (f *feed) now(h head) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.everything(h)
}

// run looks until it is stopped.
func (f *feed) run(stop chan struct{}) {
	glances := time.NewTicker(glanceEvery)
	defer glances.Stop()
	for {
		select {
		case <-glances.C:
		case <-stop:
			return
		}
		f.mu.Lock()
		if f.stop != stop { // just now; another may be looking already
			f.mu.Unlock()
			return
		}
		now := time.Now()
		// A glance too early rather than too late, so that ticks do not drift.
		if all := now.Sub(f.looked) > tickEvery-glanceEvery/2; all {
			f.publish(f.update(now, true))
		} else if b := f.update(now, false); b != nil {
			f.publish(b)
		}
		f.mu.Unlock()
	}
}

// publish sends an update to all viewers. A viewer that is too far behind is removed, and
// may join again.
func (f *feed) publish(update []byte) {
	for v := range f.viewers {
		select {
		case v.updates <- update:
		default:
			close(v.updates)
			f.forgo(v)
		}
	}
}

// update looks, and returns what has changed as JSON. A look at all rows always returns
// an update, with the time if nothing else, so that viewers see that the stream is alive.
func (f *feed) update(now time.Time, all bool) []byte {
	b := f.updateHead(now, all)
	begin := len(b)
	f.look(now, all, func(t *shown, had *row) {
		if len(b) > begin {
			b = append(b, ',')
		}
		b = t.appendChanges(b, had)
	})
	if !all {
		if len(b) == begin {
			return nil
		}
		return append(b, "]}"...)
	}
	b = append(b, `],"gone":[`...)
	begin = len(b)
	f.forget(func(id string) {
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), id...), '"')
	})
	return append(b, "]}"...)
}

// updateHead begins an update. It has the tick, at which the page advances its charts,
// only when all rows are looked at.
func (f *feed) updateHead(now time.Time, all bool) []byte {
	b := append(make([]byte, 0, 256), `{"now":`...)
	b = strconv.AppendInt(b, now.UnixMilli(), 10)
	if all {
		b = strconv.AppendInt(append(b, `,"tick":`...), f.tick+f.ticksUntil(now), 10)
	}
	return append(b, `,"rows":[`...)
}

// ticksUntil is how many ticks have passed since the last look at all rows.
func (f *feed) ticksUntil(now time.Time) int64 {
	if f.looked.IsZero() {
		return 1
	}
	return int64((now.Sub(f.looked) + tickEvery/2) / tickEvery)
}

// look brings the rows up to date, and shows each that has changed with what it was,
// nil when it is new.
func (f *feed) look(now time.Time, all bool, changed func(t *shown, had *row)) {
	ticks, between := int64(0), now.Sub(f.looked)
	if all {
		ticks = f.ticksUntil(now)
	}
	if ticks > 0 {
		f.tick += ticks
		f.looked = now
	}
	if all {
		f.looks++
	}
	if f.rows == nil {
		f.rows = map[string]*shown{}
	}
	f.source(all, func(r *row) {
		t := f.rows[r.id]
		fresh := t == nil
		if fresh {
			t = &shown{row: row{inRate: unknown, outRate: unknown}}
			f.rows[r.id] = t
			f.order = append(f.order, t)
		}
		r.inRate, r.outRate = t.inRate, t.outRate
		if all {
			t.look = f.looks
		}
		if ticks > 0 {
			t.note(r, f.tick, ticks, between)
		}
		switch {
		case fresh:
			t.row = *r
			changed(t, nil)
		case t.row != *r:
			had := t.row
			t.row = *r
			changed(t, &had)
		}
	})
}

// forget forgets rows that the last look at all rows has not seen.
func (f *feed) forget(gone func(id string)) {
	kept := f.order[:0]
	for _, t := range f.order {
		if t.look == f.looks {
			kept = append(kept, t)
			continue
		}
		delete(f.rows, t.id)
		gone(t.id)
	}
	clear(f.order[len(kept):])
	f.order = kept
}

// everything returns all rows with their recent values, as JSON. Without viewers the rows
// are out of date, so it looks at them first.
func (f *feed) everything(h head) []byte {
	now := time.Now()
	if f.stop == nil {
		f.look(now, true, func(*shown, *row) {})
		f.forget(func(string) {})
	}
	h.Now, h.Tick = now.UnixMilli(), f.tick
	h.TickMS, h.Ticks = tickEvery.Milliseconds(), seriesTicks
	h.CellMS, h.Cells = cellLength.Milliseconds(), stripCells
	b, _ := json.Marshal(h) // numbers and a string always have JSON
	b = append(b[:len(b)-1], `,"rows":[`...)
	for i, t := range f.order {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendAll(b, f.tick)
	}
	return append(b, "]}"...)
}
