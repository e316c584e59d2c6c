package trials_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A proxy is a network that can be cut. What is sent while it is cut arrives later, as TCP has
// it, and nobody is told.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	open  chan struct{} // closed while it is not cut
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.open)
	p.done.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

func (p *proxy) addr() string { return p.Addr().String() }

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.open)
}

func (p *proxy) gate() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
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
	<-p.gate()
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		p.drop(c)
		return
	}
	if !p.keep(far) {
		p.drop(c)
		return
	}
	p.done.Go(func() { p.copy(far, c) })
	p.copy(c, far)
}

func (p *proxy) copy(to, from net.Conn) {
	defer p.drop(to)
	defer p.drop(from)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-p.gate()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		c.Close()
		return false
	}
	p.conns[c] = true
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
	select {
	case <-p.open:
	default:
		close(p.open)
	}
	p.mu.Unlock()
	p.done.Wait()
}
