package serial

import (
	"errors"
	"sync"
	"time"
)

// To wake the goroutine that runs items takes a system call, which costs more than all other
// work on a message. So while messages follow each other closely and the queue is idle, the
// reader goroutine runs the items itself. (Echoes of 60 bytes take a third less CPU time, a
// feed a tenth.)
//
// When the items then take too long, or one of them waits for something that is to be read,
// the reading is handed off: another goroutine becomes the reader. The old one runs the rest
// of the items, and then ends its work with ErrHandedOff.

const (
	// busyFor is the longest time between two items of a busy reader. Any other reader runs
	// no items, and keeps a small stack.
	busyFor = 20 * time.Millisecond
	// handOffAfter is the longest time for which nothing is read.
	handOffAfter = 10 * time.Millisecond
)

// ErrHandedOff ends the work of a goroutine that is not the reader any more.
var ErrHandedOff = errors.New("handed off")

// A ReaderSource is what a [Reader] reads.
type ReaderSource interface {
	Source
	// ReadAll reads items and passes them to [Reader.Put] until that returns false or nothing
	// is left to read.
	ReadAll() error
	// ReadOn calls [Reader.Read], and goes on as the caller of the one before would have.
	// It is called on a new goroutine.
	ReadOn()
}

// A Reader is the producer of a [Queue]: one goroutine at a time, which reads items from a
// source. Its fields must be set before it is used.
type Reader struct {
	Queue  *Queue
	Source ReaderSource

	last time.Time // when the last item was read; used on the reader goroutine only

	mu sync.Mutex // guards the fields below

	number uint64      // of the goroutine that reads: how many were the reader before it
	away   bool        // it runs items
	since  time.Time   // when it began to
	timer  *time.Timer // calls check; nil before it was needed
	armed  bool        // timer is running. It is not stopped when away ends, which would cost more
}

// Read calls ReadAll of the source. It returns its error, or ErrHandedOff when another
// goroutine is the reader. If runtime.Goexit ends the goroutine, another one becomes the
// reader.
func (r *Reader) Read() error {
	number, returned := r.reader(), false
	defer func() {
		if !returned {
			r.replace(number)
		}
	}()
	err := r.Source.ReadAll()
	returned = true
	if r.reader() != number {
		return ErrHandedOff
	}
	return err
}

// reader returns the number of the goroutine that reads.
func (r *Reader) reader() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// replace makes another goroutine the reader, if the one of that number still is.
func (r *Reader) replace(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number == number {
		r.replaceLocked()
	}
}

// replaceLocked makes another goroutine the reader. It is called with mu held.
func (r *Reader) replaceLocked() {
	r.number++
	r.away = false
	go r.Source.ReadOn()
}

// Put is [Queue.Put] for an item that was read at the given time. A busy reader runs the
// items of an idle queue itself. If Put returns false, another goroutine is the reader, and
// ReadAll must return. It is called by ReadAll only.
func (r *Reader) Put(item Item, at time.Time, count, bytes int) (goOn bool) {
	busy := at.Sub(r.last) < busyFor
	r.last = at
	if !r.Queue.put(item, count, bytes, r.Source) {
		return true
	}
	if !busy {
		go r.Queue.run()
		return true
	}
	return r.runItems()
}

// runItems runs the items of the queue until there is none, and reports whether the caller is
// the reader after that. The next reader may be running items of its own by then, since the
// queue has become idle before.
func (r *Reader) runItems() bool {
	r.mu.Lock()
	number := r.number
	r.away, r.since = true, time.Now()
	if !r.armed {
		r.arm(handOffAfter)
	}
	r.mu.Unlock()
	r.Queue.loop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number != number {
		return false
	}
	r.away = false
	return true
}

// arm starts the timer. It is called with mu held.
func (r *Reader) arm(after time.Duration) {
	r.armed = true
	if r.timer == nil {
		r.timer = time.AfterFunc(after, r.check)
	} else {
		r.timer.Reset(after)
	}
}

// check hands the reading off when the reader has run items for too long. The timer calls it.
func (r *Reader) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	if !r.away {
		return
	}
	if left := handOffAfter - time.Since(r.since); left > 0 {
		r.arm(left)
		return
	}
	r.replaceLocked()
}

// HandOff makes another goroutine the reader if the present one is running items. It must be
// called before an item waits for something that is to be read. It may be called from any
// goroutine.
func (r *Reader) HandOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		r.replaceLocked()
	}
}
