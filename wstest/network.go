package wstest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Network is a network in memory. Its connections behave as TCP does: they
// have buffers, backpressure, deadlines, FIN and RST, and errors of the same
// types. Blocking on them is what testing/synctest calls durable, so that virtual
// time advances while all goroutines wait for the network. Make it with [NewNetwork].
// Its methods may be called from any goroutine.
type Network struct {
	mu          sync.Mutex
	changed     *sync.Cond // when the network goes up
	down        bool
	unreachable bool
	latency     time.Duration
	listeners   map[string]*listener
	streams     map[*stream]struct{}
	ports       int
	clients     int
	maxClients  int
	dials       []Dial
}

// A Dial is one call of [Network.DialContext], recorded when it returned.
type Dial struct {
	At   time.Time // start of the call
	Addr string
	Err  error
}

// NewNetwork makes a network that is up, without latency.
func NewNetwork() *Network {
	n := &Network{listeners: map[string]*listener{}, streams: map[*stream]struct{}{}, ports: 40000}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Down makes the network silently lose all packets: bytes, FIN and RST of open
// connections arrive after [Network.Up], since TCP would retransmit them, and a dial
// blocks until Up or until its context ends.
func (n *Network) Down() { n.setDown(true) }

// Up ends [Network.Down].
func (n *Network) Up() { n.setDown(false) }

func (n *Network) setDown(down bool) {
	n.mu.Lock()
	n.down = down
	n.changed.Broadcast()
	streams := make([]*stream, 0, len(n.streams))
	for s := range n.streams {
		streams = append(streams, s)
	}
	n.mu.Unlock()
	for _, s := range streams {
		s.wake()
	}
}

// Unreachable makes dials fail at once with ENETUNREACH while unreachable is true.
func (n *Network) Unreachable(unreachable bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unreachable = unreachable
}

// SetLatency delays what is written from now on by d in each direction. Default 0.
func (n *Network) SetLatency(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency = d
}

func (n *Network) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// Clients returns the number of connections made by [Network.DialContext] that the
// dialing side has not closed yet.
func (n *Network) Clients() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clients
}

// MaxClients returns the maximum of [Network.Clients] since the network was made.
func (n *Network) MaxClients() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.maxClients
}

// Dials returns all dials that have returned, in the order in which they did.
func (n *Network) Dials() []Dial {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Dial(nil), n.dials...)
}

// Listen listens on an address of this network, such as "server.test:80". There is no
// DNS: any host name is valid. It fails with EADDRINUSE if the address is taken.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{network: n, addr: addr, accepted: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// free returns the first address of server.test, from port on, at which nothing listens.
func (n *Network) free(port int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.listeners[fmt.Sprintf("server.test:%d", port)] != nil {
		port++
	}
	return fmt.Sprintf("server.test:%d", port)
}

// DialContext connects to a listener of this network. It fails with ECONNREFUSED
// if there is none at addr, and while the network is down it blocks until ctx ends.
func (n *Network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	began := time.Now()
	c, err := n.dial(ctx, addr)
	if err != nil {
		err = &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
	}
	n.mu.Lock()
	n.dials = append(n.dials, Dial{At: began, Addr: addr, Err: err})
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (n *Network) dial(ctx context.Context, addr string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	defer stop()
	n.mu.Lock()
	for n.down && !n.unreachable && ctx.Err() == nil {
		n.changed.Wait()
	}
	unreachable, l := n.unreachable, n.listeners[addr]
	n.ports++
	from := fmt.Sprintf("client.test:%d", n.ports)
	n.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case unreachable:
		return nil, syscall.ENETUNREACH
	case l == nil:
		return nil, syscall.ECONNREFUSED
	}
	client, server := n.pipe(from, addr)
	n.count(+1)
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		client.Close()
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		client.Close()
		return nil, ctx.Err()
	}
}

// count keeps the number of open client ends.
func (n *Network) count(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clients += by
	n.maxClients = max(n.maxClients, n.clients)
}

// listener implements net.Listener.
type listener struct {
	network  *Network
	addr     string
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr)
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(l.addr) }

// address implements net.Addr.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
