package standin

import (
	"context"
	"fmt"
	"sync"

	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// The kinds of backend.
const (
	LiveRoom = "liveroom" // rooms, broadcast, counts and a history
	Echo     = "echo"     // returns each message to its sender
	Silent   = "silent"   // sends only what a command sends
)

// Kinds returns the kinds of backend, the default one first.
func Kinds() []string { return []string{LiveRoom, Echo, Silent} }

// A Config describes a backend.
type Config struct {
	Kind   string
	Quirks liveroomtest.Quirks // of LiveRoom
	Addr   string
	TLS    bool
	Log    *Log

	network *wstest.Network // in memory, for tests
}

// maxMessage is the largest message that is read, in bytes.
const maxMessage = 16 << 20

// A Backend is a server with the faults that are on. Its methods may be called from any goroutine.
type Backend struct {
	server *wstest.Server
	room   *liveroomtest.Backend // nil without LiveRoom
	log    *Log
	ready  chan struct{}   // closed when the fields above are set: handshakes wait for it
	ended  context.Context // ends when the backend closes
	end    context.CancelFunc
	faults sync.WaitGroup // that take a time

	doing           sync.Mutex // held by a command
	stopped, frozen bool

	mu sync.Mutex // held while switches are set, and to begin what faults waits for
	on switches
}

// switches are the faults of connections that stay, also for new connections.
type switches struct{ blackhole, deaf, ignorePings bool }

// Start starts a backend. The caller must call Close.
func Start(c Config) (*Backend, error) {
	b := &Backend{log: c.Log, ready: make(chan struct{})}
	b.ended, b.end = context.WithCancel(context.Background())
	options := []wstest.Option{
		wstest.WithAddr(c.Addr), wstest.WithoutRecords(), wstest.WithReadLimit(maxMessage), wstest.WithEvents(b.event),
	}
	if c.network != nil {
		options = append(options, wstest.WithNetwork(c.network))
	}
	if c.TLS {
		options = append(options, wstest.WithTLS())
	}
	err := listening(func() {
		if c.Kind == LiveRoom {
			b.room = liveroomtest.NewBackend(c.Quirks, options...)
			b.server = b.room.Server()
		} else {
			b.server = wstest.NewServer(options...)
		}
	})
	if err != nil {
		b.end()
		return nil, err
	}
	if c.Kind == Echo {
		b.server.OnMessage(echo)
	}
	close(b.ready)
	return b, nil
}

func echo(c *wstest.Conn, m wstest.Message) {
	if m.Binary {
		_ = c.SendBinary(m.Data)
	} else {
		_ = c.Send(m.Text())
	}
}

// listening calls start, which panics if it cannot listen, and returns that as an error.
func listening(start func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	start()
	return nil
}

// Server returns the server.
func (b *Backend) Server() *wstest.Server { return b.server }

// Close ends all connections and returns when all goroutines have ended.
func (b *Backend) Close() {
	b.mu.Lock()
	b.end()
	b.mu.Unlock()
	if b.room != nil {
		b.room.Close()
	} else {
		b.server.Close()
	}
	b.faults.Wait()
}

// event is called with each event of the server.
func (b *Backend) event(e wstest.Event) {
	<-b.ready
	b.log.Event(e)
	if e.Kind != wstest.EventOpen {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.server.Conns() {
		if c.ID() == e.Conn {
			b.on.apply(c)
		}
	}
}

func (on switches) apply(c *wstest.Conn) {
	if on.blackhole {
		c.Blackhole(true)
	}
	if on.deaf {
		c.StopReading()
	}
	if on.ignorePings {
		c.IgnorePings(true)
	}
}
