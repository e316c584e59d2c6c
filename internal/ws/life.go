package ws

import (
	"net"
	"syscall"
	"time"
)

// LastRead returns when bytes last arrived, and the time of NewSocket before that.
func (s *Socket) LastRead() time.Time { return s.at(s.lastRead.Load()) }

// SlowestLink is the rate in bytes per second of the slowest link for which times are made.
const SlowestLink = 8 << 10

// Life is what a [Socket] shows of its peer.
type Life struct {
	// Heard is when bytes last arrived, or when the peer last took some of those that waited for
	// it: it is alive long before it can answer what is behind them.
	Heard time.Time
	// Waits is since when bytes wait of which the peer takes none; zero: none wait. It may be in the
	// future.
	Waits time.Time
	// Arrived is how many bytes have arrived.
	Arrived int64
	// Acked is the place in the outgoing stream up to which the peer has acknowledged it, or, if
	// that is unknown, the socket has taken it.
	Acked int64
}

// Life looks at the connection, by a system call if it has been written to since the peer had
// acknowledged everything. What happens between two looks counts as happening at the second one.
func (s *Socket) Life() Life {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, acked := s.look()
	waits, progress := s.accepted > acked, acked > s.acked
	if progress {
		s.acked = acked
	}
	if progress && s.acks && (waits || s.waits > 0) { // otherwise lastTaken is exact
		s.lastTaken.Store(now)
	}
	switch {
	case !waits:
		s.waits = 0
	case progress || s.waits == 0:
		s.waits = now
	}
	life := Life{Heard: s.at(max(s.lastRead.Load(), s.lastTaken.Load())), Arrived: s.arrived.Load(), Acked: s.acked}
	if s.waits > 0 {
		life.Waits = s.at(s.waits)
	}
	return life
}

// LastTaken returns when the peer last took some of the bytes that had waited for it for longWait, as
// it does on a slow link; zero: it never did. It looks at the connection as Life does.
func (s *Socket) LastTaken() (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	if s.backlog.taken > 0 {
		at = s.at(s.backlog.taken)
	}
	return at
}

// look returns the time, and how many bytes the peer has acknowledged by then. It is called with mu
// held.
func (s *Socket) look() (now, acked int64) {
	now, acked = s.now(), s.taken
	if s.acks && s.backlog.acked < s.taken { // otherwise nothing was waiting at the last look, and nothing has been written since
		n, _ := s.unacked()
		acked -= int64(n)
	}
	s.backlog.look(now, s.accepted, acked)
	return now, acked
}

// longWait is how long bytes must have waited to show that the link is slow: while messages follow
// each other closely, some bytes wait at every look.
const longWait = time.Second

// A backlog shows from one look to the next whether the peer takes bytes that wait for long.
type backlog struct {
	acked int64 // at the last look
	upTo  int64 // what was accepted at an earlier one, and will show how long it waits
	since int64 // nanoseconds from born to that one
	long  bool  // after longWait, the peer had not taken all of that
	taken int64 // nanoseconds from born to the look that found that it had taken some since; 0: none has
}

func (b *backlog) look(now, accepted, acked int64) {
	all := acked >= b.upTo
	long := b.long || !all && now-b.since >= int64(longWait)
	if long && acked > b.acked {
		b.taken = now
	}
	if b.acked, b.long = acked, long && !all; all {
		b.upTo, b.since = accepted, now
	}
}

// at returns the time of so many nanoseconds from born.
func (s *Socket) at(d int64) time.Time { return s.born.Add(time.Duration(d)) }

// beneath returns the connection below c, by the method of [tls.Conn] that other types have too, or
// c.
func beneath(c net.Conn) net.Conn {
	if upper, ok := c.(interface{ NetConn() net.Conn }); ok {
		return upper.NetConn()
	}
	return c
}

// rawConn returns the RawConn of c, or nil.
func rawConn(c syscall.Conn) syscall.RawConn {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// unacked returns how many of the bytes that the socket has taken wait for the peer's
// acknowledgement, and whether that is known.
func (s *Socket) unacked() (n int, known bool) {
	if s.raw == nil {
		return 0, false
	}
	if err := s.raw.Control(func(fd uintptr) { n, known = unacked(fd) }); err != nil {
		return 0, false
	}
	return n, known
}
