package ws

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Socket is the network connection below TLS and WebSocket. It records when bytes arrive and
// when the peer takes some, which shows that the peer is alive long before a message is complete.
//
// At first, Write blocks as usual. After [NewConn] it does not: it writes what the socket takes
// at once, and keeps the rest for the goroutine that flushes. So a goroutine that waits for the
// socket holds no lock of TLS, which writes on the reading goroutine too: an answer to a
// KeyUpdate, or an alert. Such bytes go behind the rest, and are written with it, or by the next
// flush.
//
// Read is called by one goroutine at a time; all other methods may be called from any.
type Socket struct {
	net.Conn
	raw   syscall.RawConn // of the TCP connection at the bottom; nil: unknown
	fence func() error    // see NewSocket; may be nil
	born  time.Time

	refusal    atomic.Pointer[error] // the error of fence
	lastRead   atomic.Int64          // nanoseconds from born to when bytes last arrived
	arrived    atomic.Int64          // bytes that have arrived
	lastTaken  atomic.Int64          // nanoseconds from born to when the peer last took some of what waited for it
	readFailed atomic.Bool           // nothing more can arrive
	cleared    atomic.Bool           // the fence has permitted the write under way

	acks    bool     // it is known how much the peer has acknowledged
	foreign *closing // Close may block, in a connection of a user's type or for the fence; nil: it does not

	mu       sync.Mutex         // guards the fields below
	changed  sync.Cond          // flushing is false, or err is set
	live     bool               // Write does not block
	flushing bool               // a goroutine flushes; only that one writes to the socket
	out      []byte             // to be written: the argument of Write while that runs, otherwise the rest
	rest     *[]byte            // the buffer of out, unless it is an argument of Write
	accepted int64              // bytes given to Write
	taken    int64              // bytes of these that the socket has taken
	acked    int64              // bytes of these that the peer has acknowledged at the last look; if unknown, taken
	waits    int64              // nanoseconds from born to the look since which the peer takes none of the others; 0: there are none
	backlog  backlog            // of what waits for the peer
	err      error              // of the first write that failed
	once     func(uintptr) bool // attempt, made once because it would be allocated for each write; nil: a write may block
}

const (
	// oneWrite is how many bytes are written without a deadline where a write may block. The
	// progress of larger writes is recorded after each writeSlice.
	oneWrite   = 4 << 10
	writeSlice = time.Second
	// longWrite is how long a write where there is room never takes: one that takes longer has waited
	// for the peer.
	longWrite = 100 * time.Millisecond
	// maxRest bounds the rest, to which TLS may add while the socket takes nothing.
	maxRest = 2 * BufferSize
	// sendBuffer bounds the socket's buffer if it is unknown how much of it the peer has taken: an
	// answer to what is behind it then takes less than 10 s at 64 kbit/s.
	sendBuffer = 64 << 10
	// maxEmptyReads is how many times in a row a user's connection may return neither bytes nor
	// an error.
	maxEmptyReads = 100
)

var errRest = errors.New("the socket takes nothing, and too much of TLS's own is waiting for it")

// NewSocket returns the Socket of c. fence is called right before each write to c; its error
// prevents the write, and aborts the connection. It must neither panic nor block; it may abort the
// connection, and may be nil.
//
// A c that is neither a [*net.TCPConn] nor a [*net.UnixConn] may be of a user's type: its Close
// is called on a goroutine of its own, and any write to it may block.
func NewSocket(c net.Conn, fence func() error) *Socket {
	s := &Socket{Conn: c, fence: fence, born: time.Now()}
	s.changed.L = &s.mu
	switch below := beneath(c).(type) {
	case *net.TCPConn:
		s.raw = rawConn(below)
	case *net.UnixConn:
		s.raw = rawConn(below)
	}
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		if s.raw != nil && canWriteAtOnce {
			s.once = func(fd uintptr) bool { s.attempt(fd); return true }
		}
	default: // also a type that embeds one of these, since its Write may be its own
		s.foreign = new(closing)
	}
	if fence != nil { // it is called in raw.Write, for which Close waits
		s.foreign = new(closing)
	}
	if _, s.acks = s.unacked(); !s.acks {
		if c, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
			_ = c.SetWriteBuffer(sendBuffer)
		}
	}
	if c, ok := c.(interface{ SetLinger(seconds int) error }); ok && fence != nil {
		// Without this the kernel would go on sending for minutes after the end of the
		// connection, whatever the fence says by then.
		_ = c.SetLinger(0)
	}
	return s
}

// now returns the nanoseconds since born, at least 1.
func (s *Socket) now() int64 { return max(int64(time.Since(s.born)), 1) }

// Read implements [net.Conn], and records when bytes arrive.
func (s *Socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n == 0 && err == nil && len(p) > 0 {
		n, err = s.readAgain(p)
	}
	s.hasRead(n, err)
	return n, err
}

// readAgain is the rest of Read after a read without bytes and without an error.
func (s *Socket) readAgain(p []byte) (n int, err error) {
	for range maxEmptyReads {
		if n, err = s.Conn.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// hasRead records what Read returns.
func (s *Socket) hasRead(n int, err error) {
	if n > 0 {
		s.lastRead.Store(s.now())
		s.arrived.Store(s.arrived.Load() + int64(n)) // no other goroutine reads
	}
	if err != nil {
		s.readFailed.Store(true)
	}
}

// ReadFailed reports whether a read has failed, so that nothing more can arrive.
func (s *Socket) ReadFailed() bool { return s.readFailed.Load() }

// Refusal returns the error of the fence, or nil.
func (s *Socket) Refusal() error {
	if err := s.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// Close implements [net.Conn]. It is [Socket.Abort].
func (s *Socket) Close() error {
	s.Abort()
	return nil
}

// Abort closes the connection at once. It does not block.
func (s *Socket) Abort() {
	if s.foreign == nil {
		s.Conn.Close()
		return
	}
	s.foreign.once.Do(func() {
		s.foreign.calls.Go(func() { s.Conn.Close() })
	})
}

// DropUnsent has Abort discard what the peer has not acknowledged, and reset the connection. Without
// it the kernel would go on sending for minutes. It does not block, and has no effect on a foreign
// connection.
func (s *Socket) DropUnsent() {
	if tcp, ok := s.Conn.(*net.TCPConn); ok && s.foreign == nil {
		_ = tcp.SetLinger(0)
	}
}

// End aborts the connection, and waits until the Close of a foreign one has returned.
func (s *Socket) End() {
	s.Abort()
	if s.foreign != nil {
		s.foreign.calls.Wait()
	}
}

// A closing is the call of Close.
type closing struct {
	once  sync.Once
	calls sync.WaitGroup
}

// goLive makes Write return without waiting for the socket from now on.
func (s *Socket) goLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = true
}

// seal prevents any further write. Only a write that may block, and is under way, may still take
// bytes.
func (s *Socket) seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = net.ErrClosed
	}
	s.changed.Broadcast()
	if s.once != nil { // ends await
		_ = s.Conn.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Accepted returns the place in the outgoing stream after all that was given to Write.
func (s *Socket) Accepted() int64 {
	accepted, _ := s.progress()
	return accepted
}

// progress returns how many bytes were given to Write, and how many of these the socket has
// taken.
func (s *Socket) progress() (accepted, taken int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, s.taken
}

// idle reports whether the socket has taken all bytes, and may take some more without blocking.
func (s *Socket) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once != nil && s.accepted == s.taken && s.err == nil
}

// Write implements [net.Conn]. See [Socket] for when it blocks.
func (s *Socket) Write(p []byte) (int, error) {
	var refusal error
	if !s.cleared.Load() {
		refusal = s.permitted()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
	case refusal != nil:
		s.err = refusal
	case len(s.out) > maxRest:
		s.err = errRest
	}
	if s.err != nil {
		return 0, s.err
	}
	s.accepted += int64(len(p))
	if s.once == nil || s.flushing || len(s.out) > 0 {
		s.keep(p)
	} else {
		s.writeAtOnce(p)
	}
	if !s.live {
		s.drain()
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// writeAtOnce writes what the socket takes of p without blocking, and keeps the rest. It is called
// with mu held.
func (s *Socket) writeAtOnce(p []byte) {
	s.out = p
	err := s.raw.Write(s.once)
	p, s.out = s.out, nil
	if s.err == nil {
		s.err = err
	}
	if len(p) > 0 && s.err == nil {
		s.keep(p)
	}
}

// flush blocks until the socket has taken the rest.
func (s *Socket) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	return s.err
}

// permitted calls the fence, and aborts the connection if that refuses the write. It is called
// without mu, since the fence may abort the connection too.
func (s *Socket) permitted() error {
	if s.fence == nil {
		return nil
	}
	err := s.fence()
	if err != nil {
		s.refusal.Store(&err)
		s.Abort()
	}
	return err
}

// keep appends p to the rest. It is called with mu held.
func (s *Socket) keep(p []byte) {
	if s.rest == nil {
		s.rest = buffers.Get().(*[]byte)
	}
	*s.rest = append(append((*s.rest)[:0], s.out...), p...)
	s.out = *s.rest
}

// drain waits until the socket has taken the rest, or a write has failed. It is called with mu
// held, and releases it meanwhile.
func (s *Socket) drain() {
	for s.flushing && s.err == nil {
		s.changed.Wait()
	}
	if s.flushing || len(s.out) == 0 || s.err != nil {
		return
	}
	s.flushing = true
	defer func() {
		s.flushing = false
		s.changed.Broadcast()
		if s.rest != nil {
			release(s.rest)
		}
		s.rest, s.out = nil, nil
	}()
	for len(s.out) > 0 && s.err == nil {
		if s.once != nil {
			s.await()
		} else {
			s.writeBlocking()
		}
	}
}

// attempt writes as much of out as the socket takes without blocking, after permitted. It is called
// with mu held, by the function given to raw.Write.
func (s *Socket) attempt(fd uintptr) {
	if s.err != nil {
		return
	}
	n, err := writeAtOnce(fd, s.out)
	s.out = s.out[n:]
	s.taken += int64(n)
	s.err = err
}

// await writes some bytes of out, after waiting for the socket. The place of the attempt is in
// the function given to raw.Write, which would miss that the socket has become writable before;
// and under mu, so that seal has an effect at once.
func (s *Socket) await() {
	s.mu.Unlock()
	err := s.raw.Write(func(fd uintptr) bool {
		refusal := s.permitted()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = refusal
		}
		before := s.taken
		s.attempt(fd)
		return s.taken > before || s.err != nil
	})
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	if s.err == nil && !s.acks {
		s.lastTaken.Store(s.now())
	}
}

// writeBlocking writes out where a write may block. It is called with mu held, and releases it
// meanwhile.
func (s *Socket) writeBlocking() {
	out, buffer := s.out, s.rest
	s.out, s.rest = nil, nil // what Write is called with meanwhile has another buffer
	s.mu.Unlock()
	n, err := 0, net.ErrClosed // after runtime.Goexit in a method of a user's connection
	began := time.Now()
	defer func() {
		s.mu.Lock()
		if n > 0 && (n < len(out) || time.Since(began) > longWrite) { // otherwise there may have been room all the time
			s.lastTaken.Store(s.now())
		}
		s.taken += int64(n)
		if s.err == nil {
			s.err = err
		}
		if n < len(out) { // the rest goes before what was appended meanwhile
			later, laterBuffer := s.out, s.rest
			s.out, s.rest = out[n:], buffer
			s.keep(later)
			buffer = laterBuffer
		}
		if buffer != nil {
			release(buffer)
		}
	}()
	n, err = s.writeSliceOf(out)
}

// writeSliceOf writes p, for no longer than writeSlice if it is large.
func (s *Socket) writeSliceOf(p []byte) (n int, err error) {
	if len(p) <= oneWrite {
		return s.writeSome(p)
	}
	until := time.Now().Add(writeSlice)
	if err = s.Conn.SetWriteDeadline(until); err == nil {
		n, err = s.writeSome(p)
	}
	_ = s.Conn.SetWriteDeadline(time.Time{})
	// A deadline that passes early was set by another goroutine: TLS sets one to write its
	// close_notify alert.
	if errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(until) {
		err = nil
	}
	return n, err
}

// writeSome writes p, or a part of it, if the fence permits it.
func (s *Socket) writeSome(p []byte) (n int, err error) {
	if err = s.permitted(); err != nil {
		return 0, err
	}
	if n, err = s.Conn.Write(p); n == 0 && err == nil {
		err = io.ErrShortWrite // of a user's connection, which would be called for ever
	}
	return n, err
}
