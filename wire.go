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

// A wire is the network connection below TLS and the WebSocket library. It is
// where life is seen: bytes of an unfinished message prove the peer alive long
// before the library hands over the message. It is what is closed to drop a
// connection at once, since a close further up would first try to say good-bye.
//
// And it is where writes are gathered, once it is live. The link's writer puts a
// cork in, writes messages, and takes the cork out, which writes them all in one
// system call and tells how far the socket took them. Everybody else who writes,
// to send a ping, a pong or a close frame, must not block for long, whatever the
// socket does: the library gives a control frame 5 s and then ends the connection,
// which may only be slow. Their bytes go along with what is being written, or are
// finished by a goroutine of the wire's own.
type wire struct {
	net.Conn
	born  time.Time
	raw   syscall.RawConn // nil: the connection is no socket of the standard library
	fence func() error    // see package fence; may be nil

	refusal atomic.Pointer[error] // what fence said

	lastRead   atomic.Int64 // when bytes last came in, as nanoseconds since born
	readFailed atomic.Bool  // nothing more can come in
	writeSince atomic.Int64 // since when the socket has taken nothing of the write under way; zero: there is none

	finishers sync.WaitGroup

	foreign bool      // the connection is of a type of the user's
	hungUp  sync.Once // closing one
	closers sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond // flying has ended
	live     bool
	corked   bool
	flying   bool    // somebody writes, and takes along what becomes pending
	pending  *[]byte // not given to the socket yet; nil while there is nothing
	accepted int64   // bytes given to Write since it is live
	written  int64   // bytes of these that the socket has taken
	err      error   // of a failed write; final
	closing  bool    // Close has left it to who writes
}

const (
	// maxPending bounds what is gathered: large enough to make system calls rare,
	// small enough to be let go of when idle.
	maxPending = 64 << 10
	// oneWrite is what even a slow peer takes soon enough for the write as a whole
	// to be judged; it is what the library writes at a time.
	oneWrite = 4<<10 + 64
	// look is how often the progress of a larger write is looked at, and how long
	// a control frame waits for the socket.
	look = time.Second
	// farewell is how long Close waits for what somebody is about to write.
	farewell = time.Second
)

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
	default: // a type that embeds one of these has a Write of its own
		w.Conn, w.foreign = &userNetConn{Conn: c}, true
	}
	if socket, ok := c.(interface{ SetLinger(seconds int) error }); ok && fence != nil {
		// What the kernel has not got through when the connection ends must not arrive
		// later: it would go on trying for minutes, and ask no fence.
		_ = socket.SetLinger(0)
	}
	return w
}

// permitted asks the fence. When it says no, the connection is closed and reading ends
// as well. It is called right before each write to the socket: whatever time has passed
// since the message was made does not matter.
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

func (w *wire) now() int64 { return int64(time.Since(w.born)) }

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

// silent is how long nothing has come in. A write that the socket is slow to take
// counts from its last progress: a peer that drains a full send buffer is alive
// although it has nothing to say.
func (w *wire) silent() time.Duration {
	last := max(w.lastRead.Load(), w.writeSince.Load())
	return time.Duration(w.now() - last)
}

// goLive ends the handshake, in which one goroutine writes and nothing is
// gathered.
func (w *wire) goLive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.flying {
		w.changed.Wait()
	}
	w.live = true
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.live {
		if err := w.permitted(); err != nil {
			return 0, err
		}
		w.flying = true
		w.mu.Unlock() // Close must not wait for a Write of the user's
		defer func() {
			w.mu.Lock()
			w.flying = false
			w.changed.Broadcast()
		}()
		return w.Conn.Write(p)
	}
	for w.flying && w.err == nil && w.gathered() >= maxPending {
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
	case w.flying: // it is taken along
	case !w.corked:
		w.flying = true
		if !w.writeOnce(true) {
			w.finishers.Add(1)
			go w.finish()
		} else {
			w.flush()
		}
	case w.gathered() >= maxPending:
		w.flying = true
		w.flush()
	}
	return len(p), w.err
}

func (w *wire) gathered() int {
	if w.pending == nil {
		return 0
	}
	return len(*w.pending)
}

// finish goes on with a write that took too long for who began it.
func (w *wire) finish() {
	defer w.finishers.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// Close closes the connection, behind what somebody is about to write: the library
// answers a close frame and closes at once, and the answer may be pending. It does not
// wait for that.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return nil
	}
	if (w.corked || w.flying) && w.pending != nil && w.err == nil {
		w.closing = true
		time.AfterFunc(farewell, w.abort)
		return nil
	}
	w.abort()
	return nil
}

// abort closes the connection whatever is being written. It does not block: the Close of a
// user's type has a goroutine of its own.
func (w *wire) abort() {
	if !w.foreign {
		w.Conn.Close()
		return
	}
	w.hungUp.Do(func() {
		w.closers.Go(func() { w.Conn.Close() })
	})
}

// end waits for the wire's goroutines, and closes the connection.
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

// flush writes all that is pending, and what is added meanwhile, and ends the
// flight. It is called with mu held, and gives it up while it writes.
func (w *wire) flush() {
	for w.gathered() > 0 && w.err == nil {
		w.writeOnce(false)
	}
	w.writeSince.Store(0)
	w.flying = false
	if w.closing {
		w.abort()
	}
	w.changed.Broadcast()
}

// writeOnce gives what is pending to the socket, for no longer than a look when
// it is impatient or large, and reports whether there is nothing left of it to
// write. It is called with mu held, and gives it up while it writes.
func (w *wire) writeOnce(impatient bool) bool {
	out := w.pending
	w.pending = nil
	n, err := w.give(*out, impatient || len(*out) > oneWrite)
	w.written += int64(n)
	if err != nil {
		w.err = err
	}
	if n == len(*out) || w.err != nil {
		release(out)
		return true
	}
	// What is left goes before what was added meanwhile.
	*out = append((*out)[:0], (*out)[n:]...)
	if w.pending != nil {
		*out = append(*out, *w.pending...)
		release(w.pending)
	}
	w.pending = out
	return false
}

// give gives p to the socket, for no longer than a look when it is limited. It is called
// with mu held, and gives it up meanwhile.
func (w *wire) give(p []byte, limited bool) (n int, err error) {
	returned := false
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		if !returned { // runtime.Goexit in a method of the user's connection
			w.err, w.flying = net.ErrClosed, false
			w.changed.Broadcast()
		}
	}()
	if w.writeSince.Load() == 0 {
		w.writeSince.Store(max(w.now(), 1))
	}
	var until time.Time
	if limited {
		until = time.Now().Add(look)
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
	// A deadline that comes early is somebody else's: TLS saying good-bye.
	if limited && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(until) {
		err = nil
	}
	returned = true
	return n, err
}

func release(b *[]byte) {
	*b = (*b)[:0]
	pendingPool.Put(b)
}

// cork holds writes back until uncork.
func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
}

// mark is the place in the stream behind all that has been given to Write.
func (w *wire) mark() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted
}

// tryUncork writes what was held back if the socket takes it at once, and reports
// whether it has. In either case uncork is to be called.
func (w *wire) tryUncork() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flying || w.err != nil || w.pending == nil {
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

// uncork writes what was held back, and returns the place in the stream up to
// which the socket has taken it.
func (w *wire) uncork() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	for w.flying && w.err == nil {
		w.changed.Wait()
	}
	if !w.flying {
		w.flying = true
		w.flush()
	}
	return w.written, w.err
}
