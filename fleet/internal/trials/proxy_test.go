package trials_test

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A proxy is a network that can be cut without a notification. What is written while it is cut
// stays where it would with packets that are lost: in the sender's kernel. It arrives
// later, unless the sender has thrown it away by then, which is a reset.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	open  [2]chan struct{}  // by direction: closed while it is not cut
	conns map[net.Conn]bool // true: it was reset while it was cut off
	done  sync.WaitGroup
}

// Directions, seen from the side that has dialed.
const (
	there = iota
	back
)

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to, conns: map[net.Conn]bool{}}
	for d := range p.open {
		p.open[d] = make(chan struct{})
		close(p.open[d])
	}
	p.done.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

func (p *proxy) addr() string { return p.Addr().String() }

func (p *proxy) cut() { p.cutWays(there, back) }

// cutWays cuts the directions.
func (p *proxy) cutWays(directions ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		p.open[d] = make(chan struct{})
	}
	for c := range p.conns {
		_ = c.SetReadDeadline(time.Now()) // readers must wait at the gate
	}
}

// mend first checks which connections were reset, since a socket reports that only once: the error could
// go to a writer, and a reader would read what was discarded.
func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.conns[c] = wasReset(c)
	}
	p.reopen()
}

// reopen ends all cuts. The mutex must be held.
func (p *proxy) reopen() {
	for _, open := range p.open {
		select {
		case <-open:
		default:
			close(open)
		}
	}
}

// dead reports whether a connection was reset, or is gone.
func (p *proxy) dead(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	reset, there := p.conns[c]
	return reset || !there
}

func (p *proxy) gate(direction int) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[direction]
}

func (p *proxy) isCut(direction int) bool {
	select {
	case <-p.gate(direction):
		return false
	default:
		return true
	}
}

func (p *proxy) accept() {
	for {
		c, err := p.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.carry(c) })
	}
}

func (p *proxy) carry(c net.Conn) {
	if !p.keep(c) {
		return
	}
	for d := range p.open {
		if p.isCut(d) { // it would not have been answered
			<-p.gate(d)
			p.drop(c)
			return
		}
	}
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		p.drop(c)
		return
	}
	if !p.keep(far) {
		p.drop(c)
		return
	}
	p.done.Go(func() { p.copy(far, c, there) })
	p.copy(c, far, back)
}

func (p *proxy) copy(to, from net.Conn, direction int) {
	defer p.drop(to)
	defer p.drop(from)
	buffer := make([]byte, 32<<10)
	for {
		if p.isCut(direction) {
			<-p.gate(direction)
			if p.dead(from) || p.dead(to) {
				return
			}
			_ = from.SetReadDeadline(time.Time{})
			continue // it may have been cut again before that
		}
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			_ = from.SetReadDeadline(time.Time{}) // the other direction may have been cut only
		}
	}
}

// wasReset reports whether the other side has discarded what it had not delivered.
func wasReset(c net.Conn) (yes bool) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		yes = err != nil || code != 0
	})
	return yes || err != nil
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		c.Close()
		return false
	}
	p.conns[c] = false
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *proxy) end() {
	p.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.reopen()
	p.mu.Unlock()
	p.done.Wait()
}
