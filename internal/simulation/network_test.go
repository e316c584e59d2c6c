package simulation

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A network is between the clients' sockets and the server.
type network struct {
	upHeld, downHeld bool // nothing moves in this direction
	rate             int  // bytes per second, each way; 0: unlimited
	refuse           int  // how many of the next dials are refused
	dialsHeld        bool
	conns            []*conn       // all that there ever were
	moving           bool          // a timer will move bytes
	pongs            int           // that the server has sent
	broken           int           // the last connection on which a write has failed
	timers           time.Duration // calls of after, each a nanosecond later than it was asked for
}

// A conn is one connection: for the client, the net.Conn that the dial function returns.
type conn struct {
	world  *world
	number int // from 1

	out     []byte // the client's socket has taken it, the server has not
	taken   stream // of all that the socket has taken
	ending  bool   // that contains a close frame
	failAt  int    // bytes until writes fail; -1: never
	sending []byte // the server has written it, it has not arrived
	in      []byte // has arrived, and is not read
	leaving bool   // the server closes the connection behind sending
	gone    bool   // it has: nothing more arrives, and writes fail
	reset   bool
	closed  bool // by the client

	readLimit, writeLimit time.Time
	server                server
	ends
}

// tooMuchAhead is how many bytes a pong may be behind on a link with small buffers, if it is to come in time.
const tooMuchAhead = 16_000

// moveEvery is the time between two moves on a slow network.
const moveEvery = 97 * time.Millisecond

// dial is the client's dial function.
func (w *world) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := w.hook(ctx, "Dial"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer stop()
	for w.dialsHeld && ctx.Err() == nil {
		w.changed.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case w.refuse > 0:
		w.refuse--
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	for _, other := range w.conns {
		if !other.closed {
			w.fail("connections: connection %d is made while %d exists", len(w.conns)+1, other.number)
		}
	}
	c := &conn{world: w, number: len(w.conns) + 1, failAt: -1}
	c.server.conn = c
	c.lastRead = time.Now()
	c.taken = stream{frame: c.hasTaken, malformed: func(why string) { w.fail("frames: %s", why) }}
	c.server.frames = stream{request: c.server.handshake, frame: c.server.receive, limit: w.Settings.Limit, exceed: c.server.tooBig}
	c.starved = w.deaf || w.silent || w.upHeld || w.downHeld || w.sessionHeld()
	c.held = w.sessionHeld()
	w.conns = append(w.conns, c)
	w.note("dialed: connection %d", c.number)
	return c, nil
}

// newest returns the last connection, or nil.
func (w *world) newest() *conn {
	if len(w.conns) == 0 {
		return nil
	}
	return w.conns[len(w.conns)-1]
}

func passed(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case passed(c.readLimit):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case c.reset:
			return 0, syscall.ECONNRESET
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.in = c.in[n:]
			c.hasRead(n)
			w.pump()
			return n, nil
		case c.gone:
			return 0, io.EOF
		}
		w.changed.Wait()
	}
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (n int, err error) {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	c.writing++
	defer func() { c.writing-- }()
	for {
		room := w.Settings.Buffer - len(c.out)
		switch {
		case c.closed:
			return n, net.ErrClosed
		case passed(c.writeLimit):
			return n, os.ErrDeadlineExceeded
		case c.failAt == 0, c.gone, c.reset:
			w.broken, c.starved = c.number, true
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		case room <= 0:
			w.changed.Wait()
			continue
		}
		k := min(len(p), room)
		if c.failAt >= 0 {
			k = min(k, c.failAt)
			c.failAt -= k
		}
		if len(c.out) == 0 {
			c.lastAcked = time.Now()
		}
		c.out = append(c.out, p[:k]...)
		c.taken.write(p[:k])
		n += k
		c.written += k
		p = p[k:]
		w.pump()
	}
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.closed {
		c.hasClosed()
		c.closed = true
		w.note("closed: connection %d, %d bytes unread", c.number, len(c.in))
		c.in, c.sending = nil, nil
		w.pump()
		w.changed.Broadcast()
	}
	return nil
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readLimit, t) }

// SetWriteDeadline implements [net.Conn].
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeLimit, t) }

func (c *conn) setDeadline(limit *time.Time, t time.Time) error {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	*limit = t
	if left := time.Until(t); !t.IsZero() && left > 0 {
		w.after(left, w.changed.Broadcast)
	}
	w.changed.Broadcast()
	return nil
}

// LocalAddr implements [net.Conn].
func (c *conn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// RemoteAddr implements [net.Conn].
func (c *conn) RemoteAddr() net.Addr { return c.LocalAddr() }

// after calls fn with mu held, unless the run is over by then. No two calls are at the same instant:
// their order would not follow from the seed.
func (w *world) after(d time.Duration, fn func()) {
	w.timers++
	time.AfterFunc(d+w.timers, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			fn()
		}
	})
}

// pump moves bytes, now or soon. It is called with mu held.
func (w *world) pump() {
	if w.rate == 0 && w.Settings.Latency == 0 {
		w.move(0)
		return
	}
	if w.moving || !w.mayMove() {
		return
	}
	w.moving = true
	every, quantum := w.Settings.Latency, 0
	if w.rate > 0 {
		every = moveEvery
		quantum = max(1, int(time.Duration(w.rate)*moveEvery/time.Second))
	}
	w.after(every, func() {
		w.moving = false
		w.move(quantum)
		w.pump()
	})
}

// mayMove reports whether there are bytes that can move.
func (w *world) mayMove() bool {
	for _, c := range w.alive() {
		if c.mayMoveUp() || c.mayMoveDown() {
			return true
		}
	}
	return false
}

// alive returns the connections on which anything can still happen: the newest two, since the
// server reads what a client has written before it closed its end.
func (w *world) alive() []*conn { return w.conns[max(0, len(w.conns)-2):] }

func (c *conn) mayMoveUp() bool {
	return !c.world.upHeld && len(c.out) > 0 && !c.reset && (c.closed || c.server.reads())
}

func (c *conn) mayMoveDown() bool {
	if c.world.downHeld || c.closed || c.reset {
		return false
	}
	return len(c.sending) > 0 && len(c.in) < c.world.Settings.Buffer || len(c.sending) == 0 && c.leaving && !c.gone
}

// move moves at most quantum bytes of each stream; 0: all.
func (w *world) move(quantum int) {
	for again := true; again; again = quantum == 0 && again {
		again = false
		for _, c := range w.alive() {
			if c.mayMoveUp() {
				c.moveUp(quantum)
				again = true
			}
			if c.mayMoveDown() {
				c.moveDown(quantum)
				again = true
			}
		}
	}
	w.changed.Broadcast()
}

func (c *conn) moveUp(most int) {
	n := len(c.out)
	if most > 0 {
		n = min(n, most)
	}
	b := c.out[:n]
	c.out = c.out[n:]
	c.lastAcked = time.Now()
	c.server.frames.write(b)
}

func (c *conn) moveDown(most int) {
	n := min(len(c.sending), c.world.Settings.Buffer-len(c.in))
	if most > 0 {
		n = min(n, most)
	}
	if n > 0 {
		c.in = append(c.in, c.sending[:n]...)
		c.sending = c.sending[n:]
		c.hasArrived(n)
	}
	if c.world.Settings.Buffer < 1000 && len(c.sending) > tooMuchAhead {
		c.starved = true // a buffer is sent every 97 ms, which is less than slowestLink
	}
	if len(c.sending) == 0 && c.leaving {
		c.gone = true
		c.world.changed.Broadcast()
	}
}
