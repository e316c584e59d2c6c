package wechatws

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A wire is the network connection below TLS and the WebSocket library. It records when
// bytes last arrived, since those of an incomplete message show that the peer is alive long
// before the library returns the message. Closing it ends a connection at once, without a
// close handshake.
//
// From goLive on it also gathers writes. The link's writer calls cork, writes messages, and
// calls uncork, which writes them with one system call and returns how much the socket has
// taken. Every other write, of a ping, a pong or a close frame, must not block for long,
// since the library ends a connection on which a control frame takes 5 s, and such a
// connection may be merely slow. The bytes of these are written along with a write that is
// under way, or finished on a goroutine of the wire.
//
// Read is called by one goroutine at a time; all other methods may be called from any.
type wire struct {
	net.Conn
	born    time.Time
	raw     syscall.RawConn // nil: the connection is not a socket of the standard library
	fence   func() error    // see package fence; may be nil
	foreign bool            // the connection is of a user's type

	refusal atomic.Pointer[error] // the error of fence

	lastRead   atomic.Int64 // nanoseconds from born to when bytes last arrived
	readFailed atomic.Bool  // nothing more can arrive
	writeSince atomic.Int64 // nanoseconds from born to the last progress of the write under way; zero: there is none

	finishers sync.WaitGroup
	closeOnce sync.Once // for a foreign connection
	closers   sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	changed  sync.Cond  // writing is false, or err is set
	live     bool       // the handshake is over
	corked   bool
	writing  bool    // a goroutine writes, and takes along what is appended to pending
	pending  *[]byte // not given to the socket yet; nil: nothing
	accepted int64   // bytes given to Write since goLive
	written  int64   // bytes of these that the socket has taken
	err      error   // of the first write that failed
	closing  bool    // Close was called; the goroutine that writes closes the connection
}

const (
	// maxPending is how many bytes are gathered at most: enough to make system calls rare.
	maxPending = 64 << 10
	// oneWrite is how many bytes are written without a deadline; it is what the library
	// writes at a time. The progress of larger writes is recorded after each writeSlice.
	oneWrite = 4<<10 + 64
	// writeSlice is the deadline of a large write, which then goes on with another one, and
	// the longest time for which a control frame blocks.
	writeSlice = time.Second
	// closeGrace is how long after Close a pending write may still take.
	closeGrace = time.Second
)

// pendingPool has the buffers of pending, since an idle connection keeps none.
var pendingPool = sync.Pool{New: func() any {
	b := make([]byte, 0, maxPending+oneWrite)
	return &b
}}

func newWire(c net.Conn, fence func() error) *wire {
	w := &wire{Conn: c, born: time.Now(), fence: fence}
	w.changed.L = &w.mu
	switch socket := c.(type) {
	case *net.TCPConn:
		w.raw, _ = socket.SyscallConn()
	case *net.UnixConn:
		w.raw, _ = socket.SyscallConn()
	default: // also a type that embeds one of these, since its Write may be its own
		w.Conn, w.foreign = &userNetConn{Conn: c}, true
	}
	if socket, ok := c.(interface{ SetLinger(seconds int) error }); ok && fence != nil {
		// Without this the kernel would go on sending for minutes after the end of the
		// connection, whatever the fence says by then.
		_ = socket.SetLinger(0)
	}
	return w
}

// permitted calls the fence, right before each write to the socket. Its error closes the
// connection, which ends the reading too.
func (w *wire) permitted() error {
	if w.fence == nil {
		return nil
	}
	err := protect(w.fence)
	if err != nil {
		w.refusal.Store(&err)
		w.abort()
	}
	return err
}

// now returns the nanoseconds since born.
func (w *wire) now() int64 { return int64(time.Since(w.born)) }

// Read implements [net.Conn], and records when bytes arrive.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastRead.Store(w.now())
	}
	if err != nil {
		w.readFailed.Store(true)
	}
	return n, err
}

// silent returns for how long nothing has arrived. The progress of a write counts as well,
// since a peer that empties a full send buffer is alive.
func (w *wire) silent() time.Duration {
	last := max(w.lastRead.Load(), w.writeSince.Load())
	return time.Duration(w.now() - last)
}

// goLive is called after the handshake, in which one goroutine writes and nothing is
// gathered. It blocks while that writes.
func (w *wire) goLive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing {
		w.changed.Wait()
	}
	w.live = true
}

// Write implements [net.Conn]. It blocks while maxPending bytes are gathered; without a cork,
// otherwise for no longer than writeSlice.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.live {
		if err := w.permitted(); err != nil {
			return 0, err
		}
		w.writing = true
		w.mu.Unlock() // Close must not wait for a user's Write
		defer func() {
			w.mu.Lock()
			w.writing = false
			w.changed.Broadcast()
		}()
		return w.Conn.Write(p)
	}
	for w.writing && w.err == nil && w.gathered() >= maxPending {
		w.changed.Wait()
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.pending == nil {
		w.pending = pendingPool.Get().(*[]byte)
	}
	*w.pending = append(*w.pending, p...)
	w.accepted += int64(len(p))
	switch {
	case w.writing: // the goroutine that writes takes it along
	case !w.corked:
		w.writing = true
		if !w.writeOnce(true) {
			w.finishers.Add(1)
			go w.finish()
		} else {
			w.flush()
		}
	case w.gathered() >= maxPending:
		w.writing = true
		w.flush()
	}
	return len(p), w.err
}

// gathered returns how many bytes are pending. It is called with mu held.
func (w *wire) gathered() int {
	if w.pending == nil {
		return 0
	}
	return len(*w.pending)
}

// finish completes a write that has taken longer than writeSlice. It runs on a goroutine of
// its own.
func (w *wire) finish() {
	defer w.finishers.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// Close closes the connection after a pending write, for no longer than closeGrace: the
// library closes the connection right after its reply to a close frame, which may still be
// pending. It does not block.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return nil
	}
	if (w.corked || w.writing) && w.pending != nil && w.err == nil {
		w.closing = true
		time.AfterFunc(closeGrace, w.abort)
		return nil
	}
	w.abort()
	return nil
}

// abort closes the connection at once. It does not block: a user's Close is called on a
// goroutine of its own.
func (w *wire) abort() {
	if !w.foreign {
		w.Conn.Close()
		return
	}
	w.closeOnce.Do(func() {
		w.closers.Go(func() { w.Conn.Close() })
	})
}

// end closes the connection, and waits until all goroutines of the wire have returned.
func (w *wire) end() {
	w.finishers.Wait()
	w.abort()
	w.closers.Wait()
	if c, ok := w.Conn.(*userNetConn); ok {
		c.wait()
	}
}

// seal prevents any further write, and returns the place in the stream up to which the
// socket has taken it.
func (w *wire) seal() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = net.ErrClosed
	}
	w.changed.Broadcast()
	return w.written
}

// flush writes all that is pending, and what is appended meanwhile, and clears writing. It
// is called with mu held, and releases it while it writes.
func (w *wire) flush() {
	for w.gathered() > 0 && w.err == nil {
		w.writeOnce(false)
	}
	w.writeSince.Store(0)
	w.writing = false
	if w.closing {
		w.abort()
	}
	w.changed.Broadcast()
}

// writeOnce writes what is pending, for no longer than writeSlice when it is large or
// limited is true, and reports whether all of it was written or the write failed. It is
// called with mu held, and releases it while it writes.
func (w *wire) writeOnce(limited bool) bool {
	out := w.pending
	w.pending = nil
	n, err := w.give(*out, limited || len(*out) > oneWrite)
	w.written += int64(n)
	if err != nil {
		w.err = err
	}
	if n == len(*out) || w.err != nil {
		release(out)
		return true
	}
	// The rest goes before what was appended meanwhile.
	*out = append((*out)[:0], (*out)[n:]...)
	if w.pending != nil {
		*out = append(*out, *w.pending...)
		release(w.pending)
	}
	w.pending = out
	return false
}

// give writes p to the socket, for no longer than writeSlice if limited is true, and returns
// how many bytes the socket has taken. It is called with mu held, and releases it meanwhile.
func (w *wire) give(p []byte, limited bool) (n int, err error) {
	returned := false
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		if !returned { // runtime.Goexit in a method of a user's connection
			w.err, w.writing = net.ErrClosed, false
			w.changed.Broadcast()
		}
	}()
	if w.writeSince.Load() == 0 {
		w.writeSince.Store(max(w.now(), 1))
	}
	var until time.Time
	if limited {
		until = time.Now().Add(writeSlice)
		err = w.Conn.SetWriteDeadline(until)
	}
	if err == nil {
		err = w.permitted()
	}
	if err == nil {
		n, err = w.Conn.Write(p)
	}
	if limited {
		_ = w.Conn.SetWriteDeadline(time.Time{})
	}
	if n > 0 {
		w.writeSince.Store(w.now())
	}
	// A deadline that passes early was set by another goroutine: TLS sets one to write its
	// close_notify alert.
	if limited && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(until) {
		err = nil
	}
	returned = true
	return n, err
}

// release puts b back into the pool.
func release(b *[]byte) {
	*b = (*b)[:0]
	pendingPool.Put(b)
}

// cork makes Write gather, until uncork is called.
func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
}

// mark returns the place in the stream after all that was given to Write.
func (w *wire) mark() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted
}

// tryUncork writes what was gathered as far as the socket takes it without blocking, and
// reports whether that was all. In either case the caller must call uncork.
func (w *wire) tryUncork() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing || w.err != nil || w.pending == nil {
		return false
	}
	if w.err = w.permitted(); w.err != nil {
		return false
	}
	n, err := writeAtOnce(w.raw, *w.pending)
	w.written += int64(n)
	w.err = err
	if n < len(*w.pending) {
		*w.pending = append((*w.pending)[:0], (*w.pending)[n:]...)
		return false
	}
	release(w.pending)
	w.pending = nil
	return err == nil
}

// uncork writes what was gathered, and returns the place in the stream up to which the
// socket has taken it. It blocks until all is written or a write fails.
func (w *wire) uncork() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	for w.writing && w.err == nil {
		w.changed.Wait()
	}
	if !w.writing {
		w.writing = true
		w.flush()
	}
	return w.written, w.err
}
