package outbox

import (
	"context"
	"math"
)

// A flush is a call of Flush that waits.
type flush struct {
	upTo   uint64     // the place of the last item that it waits for
	result chan error // of capacity 1
}

// Flush blocks until all items that were accepted before have left. It returns an error when
// ctx ends, when the items are taken back, or when nothing is accepted and nothing is open.
func (o *Outbox[V]) Flush(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.n == 0:
		return o.takenBack
	case o.refuse != nil && !o.open:
		return o.refuse
	}
	ended := ctx.Done()
	f := &flush{o.place, make(chan error, 1)}
	element := o.flushing.PushBack(f)
	o.mu.Unlock()
	select {
	case err := <-f.result:
		o.mu.Lock()
		return err
	case <-ended:
		o.mu.Lock()
		o.flushing.Remove(element)
		return context.Cause(ctx)
	}
}

// changed ends waits that something having left ends. It is called with mu held.
func (o *Outbox[V]) changed() {
	o.admit()
	if o.flushing.Len() == 0 {
		return
	}
	o.endFlushes(o.oldest(), nil)
	if o.refuse != nil && !o.open {
		o.endFlushes(math.MaxUint64, o.refuse)
	}
}

// endFlushes ends the calls of Flush that wait for items before a place only. It is called
// with mu held.
func (o *Outbox[V]) endFlushes(before uint64, err error) {
	for e := o.flushing.Front(); e != nil && e.Value.(*flush).upTo < before; e = o.flushing.Front() {
		e.Value.(*flush).result <- err
		o.flushing.Remove(e)
	}
}

// oldest returns the place of the oldest item. It is called with mu held.
func (o *Outbox[V]) oldest() uint64 {
	if len(o.inFlight) > 0 {
		return o.inFlight[0].place
	}
	if it := o.first(); it != nil {
		return it.place
	}
	return math.MaxUint64
}
