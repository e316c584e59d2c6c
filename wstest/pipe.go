package wstest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is the number of bytes that a stream holds before a write blocks: large enough for
// the messages of most tests, and small enough for tests that fill it.
const bufferSize = 64 << 10

// pipe makes the two ends of a connection.
func (n *Network) pipe(clientAddr, serverAddr string) (client, server *end) {
	there, back := newStream(n), newStream(n)
	client = &end{network: n, in: back, out: there, local: address(clientAddr), remote: address(serverAddr), client: true}
	server = &end{network: n, in: there, out: back, local: address(serverAddr), remote: address(clientAddr)}
	return client, server
}

// A stream carries bytes one way.
type stream struct {
	network *Network

	mu      sync.Mutex // guards all following fields
	changed *sync.Cond

	segments []segment
	size     int // bytes in segments

	eof, reset             bool // what the writer's end did; seen when it has arrived
	readerGone, writerGone bool // the end was closed
	readTimer, writeTimer  *time.Timer
	readLimit, writeLimit  time.Time // deadlines
	finArrives             time.Time
}

// A segment is bytes that arrive at a certain time.
type segment struct {
	data    []byte
	arrives time.Time
}

func newStream(n *Network) *stream {
	s := &stream{network: n}
	s.changed = sync.NewCond(&s.mu)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.streams[s] = struct{}{}
	return s
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// wakeAt wakes all waiting goroutines at a time. It returns nil if that has passed: then
// the caller must wake them. (In a bubble of synctest a timer that is due at once
// occasionally crashes the race detector of Go 1.26.)
func (s *stream) wakeAt(at time.Time) *time.Timer {
	left := time.Until(at)
	if left <= 0 {
		return nil
	}
	return time.AfterFunc(left, s.wake)
}

// arrival returns when bytes that are written now arrive.
func (s *stream) arrival() time.Time {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	return time.Now().Add(s.network.latency)
}

func passed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case passed(s.readLimit):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		if !s.network.isDown() {
			switch {
			case s.reset:
				return 0, syscall.ECONNRESET
			case len(s.segments) > 0 && passed(s.segments[0].arrives):
				return s.take(p), nil
			case len(s.segments) == 0 && s.eof && passed(s.finArrives):
				return 0, io.EOF
			}
		}
		s.changed.Wait()
	}
}

// take moves bytes that have arrived into p.
func (s *stream) take(p []byte) (n int) {
	for len(s.segments) > 0 && n < len(p) && passed(s.segments[0].arrives) {
		first := &s.segments[0]
		k := copy(p[n:], first.data)
		n += k
		if first.data = first.data[k:]; len(first.data) == 0 {
			s.segments = s.segments[1:]
		}
	}
	s.size -= n
	s.changed.Broadcast()
	return n
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writerGone:
			return n, net.ErrClosed
		case passed(s.writeLimit):
			return n, os.ErrDeadlineExceeded
		case s.reset:
			return n, syscall.ECONNRESET
		case s.readerGone && !s.network.isDown():
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		case s.size < bufferSize:
			k := min(len(p), bufferSize-s.size)
			at := s.arrival()
			s.segments = append(s.segments, segment{append([]byte(nil), p[:k]...), at})
			s.size += k
			n += k
			p = p[k:]
			s.changed.Broadcast()
			if at.After(time.Now()) {
				s.wakeAt(at)
			}
		default:
			s.changed.Wait()
		}
	}
}

// setDeadline sets a deadline, and the timer that wakes the waiting goroutines then.
func (s *stream) setDeadline(limit *time.Time, timer **time.Timer, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	*limit = at
	if !at.IsZero() {
		*timer = s.wakeAt(at)
	}
	s.changed.Broadcast()
}

// endOf records that the reader or the writer has closed its end.
func (s *stream) endOf(reader, reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reader {
		s.readerGone = true
		s.stop(&s.readTimer)
	} else {
		s.writerGone, s.eof = true, true
		s.finArrives = s.arrival()
		s.wakeAt(s.finArrives)
		s.stop(&s.writeTimer)
	}
	s.reset = s.reset || reset
	s.changed.Broadcast()
	if s.readerGone && s.writerGone {
		s.network.mu.Lock()
		delete(s.network.streams, s)
		s.network.mu.Unlock()
	}
}

func (s *stream) stop(timer **time.Timer) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
}

// An end is one side's net.Conn.
type end struct {
	network       *Network
	in, out       *stream
	local, remote address
	client        bool
	once          sync.Once
}

func (e *end) fault(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: e.local, Addr: e.remote, Err: err}
}

func (e *end) Read(p []byte) (int, error) {
	n, err := e.in.read(p)
	return n, e.fault("read", err)
}

func (e *end) Write(p []byte) (int, error) {
	n, err := e.out.write(p)
	return n, e.fault("write", err)
}

// Close sends a FIN behind what was written.
func (e *end) Close() error {
	e.close(false)
	return nil
}

// close closes with a FIN or an RST.
func (e *end) close(reset bool) {
	e.once.Do(func() {
		e.in.endOf(true, reset)
		e.out.endOf(false, reset)
		if e.client {
			e.network.count(-1)
		}
	})
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readLimit, &e.in.readTimer, t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeLimit, &e.out.writeTimer, t)
	return nil
}
