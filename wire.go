package wechatws

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A wire is the network connection below TLS and the WebSocket library. It is
// where life is seen: bytes of an unfinished message prove the peer alive long
// before the library hands over the message. It is also where writes are
// gathered, and what is closed to drop a connection at once, since a close
// further up would first try to say good-bye.
type wire struct {
	net.Conn
	born time.Time

	lastRead   atomic.Int64 // when bytes last came in, as nanoseconds since born
	writeSince atomic.Int64 // when the write under way began, zero when there is none

	mu      sync.Mutex // one write at a time
	held    *[]byte    // corked bytes; nil when there is no cork
	written int64      // bytes taken by the socket
	err     error      // of a failed write; final
}

// maxHeld bounds what a cork holds back: large enough to make system calls rare,
// small enough to be let go of when idle.
const maxHeld = 64 << 10

func newWire(c net.Conn) *wire { return &wire{Conn: c, born: time.Now()} }

func (w *wire) now() int64 { return int64(time.Since(w.born)) }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastRead.Store(w.now())
	}
	return n, err
}

// silent is how long nothing has come in. A write that the socket is slow to
// take counts from its own beginning: a peer that drains a full send buffer is
// alive although it has nothing to say.
func (w *wire) silent() time.Duration {
	last := max(w.lastRead.Load(), w.writeSince.Load())
	return time.Duration(w.now() - last)
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		return w.write(p)
	}
	*w.held = append(*w.held, p...)
	if len(*w.held) >= maxHeld {
		w.flush()
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

const (
	// oneWrite is what a slow peer takes soon enough for the write as a whole to
	// be judged; it is what the library writes at a time.
	oneWrite = 4<<10 + 64
	// progressEvery is how often a larger write is looked at.
	progressEvery = time.Second
)

// write is called with mu held. It notes the progress of a large write, which at
// 64 kbit/s takes longer than any silence that is allowed.
func (w *wire) write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	w.writeSince.Store(max(w.now(), 1))
	if len(p) <= oneWrite {
		n, err = w.Conn.Write(p)
	} else {
		n, err = w.writeLarge(p)
	}
	w.writeSince.Store(0)
	w.written += int64(n)
	w.err = err
	return n, err
}

func (w *wire) writeLarge(p []byte) (n int, err error) {
	defer w.Conn.SetWriteDeadline(time.Time{})
	for {
		look := time.Now().Add(progressEvery)
		if err := w.Conn.SetWriteDeadline(look); err != nil {
			return n, err
		}
		k, err := w.Conn.Write(p[n:])
		if n += k; k > 0 {
			w.writeSince.Store(w.now())
		}
		// A deadline that comes early is somebody else's: TLS saying good-bye.
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(look) {
			return n, err
		}
	}
}

func (w *wire) flush() {
	_, _ = w.write(*w.held) // the error is kept
	*w.held = (*w.held)[:0]
}

// cork holds writes back until uncork, so that many messages leave in one
// system call.
func (w *wire) cork() {
	w.mu.Lock()
	w.held = heldPool.Get().(*[]byte)
	w.mu.Unlock()
}

// mark is the offset in the stream after what has been written so far, held
// back or not.
func (w *wire) mark() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written + int64(len(*w.held))
}

// uncork writes what is held back, and returns the offset up to which the
// socket has taken the stream.
func (w *wire) uncork() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(*w.held) > 0 {
		w.flush()
	}
	heldPool.Put(w.held)
	w.held = nil
	return w.written, w.err
}

var heldPool = sync.Pool{New: func() any {
	held := make([]byte, 0, maxHeld+4<<10) // the library writes 4 KiB at a time
	return &held
}}
