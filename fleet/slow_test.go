package fleet_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A worker whose NATS answers slowly keeps its lease, also when an answer was once too late
// to be waited for.
func TestALeaseOutlivesALateAnswer(t *testing.T) {
	w := &world{T: t}
	server, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithDir(t.TempDir()), fleet.WithLease(4*time.Second))
	require.NoError(t, err)
	defer server.Close()
	far := newFarAway(t, server.URL()[len("nats://"):])
	w.fleet, err = fleet.Open(w.ctx(), fleet.WithNATS("nats://"+far.Addr().String()))
	require.NoError(t, err)
	defer w.fleet.Close()
	worker, err := w.fleet.NewWorker(func(context.Context, *fleet.Room) (*wechatws.Client, error) { return nil, nil })
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()
	for !worker.Ready() {
		time.Sleep(10 * time.Millisecond)
	}
	session := worker.Stats().Session

	far.delay.Store(int64(800 * time.Millisecond)) // longer than an answer is waited for
	time.Sleep(time.Second)
	far.delay.Store(int64(220 * time.Millisecond))
	for range 80 { // twice the lease
		time.Sleep(100 * time.Millisecond)
		if !assert.Equal(t, session, worker.Stats().Session) {
			break
		}
	}
	cancel()
	require.NoError(t, <-ended)
}

// farAway carries bytes to a server, which take their time.
type farAway struct {
	net.Listener
	delay atomic.Int64
}

func newFarAway(t *testing.T, to string) *farAway {
	t.Helper()
	f := &farAway{}
	f.Listener = relay(t, to, func(carrying *sync.WaitGroup, near, far net.Conn) {
		carrying.Go(func() { f.carry(far, near) })
		carrying.Go(func() { f.carry(near, far) })
	})
	return f
}

// relay listens, and connects each connection to a server. carry begins to carry bytes both ways, in
// goroutines of carrying, which the end of the test waits for.
func relay(t *testing.T, to string, carry func(carrying *sync.WaitGroup, near, far net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			carry(&carrying, near, far)
		}
	})
	t.Cleanup(func() {
		l.Close()
		carrying.Wait()
	})
	return l
}

// carry carries what comes from one side to the other, half of the delay later.
func (f *farAway) carry(to, from net.Conn) {
	type piece struct {
		at    time.Time
		bytes []byte
	}
	pieces := make(chan piece, 4096)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer to.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			_, _ = to.Write(p.bytes)
		}
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			pieces <- piece{time.Now().Add(time.Duration(f.delay.Load()) / 2), append([]byte(nil), buffer[:n]...)}
		}
		if err != nil {
			break
		}
	}
	close(pieces)
	writing.Wait()
}
