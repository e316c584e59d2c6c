package fleet_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
	"github.com/wechatws/wechatws/wstest"
)

// What a worker has sent to NATS may arrive when the room is another worker's already.

// A claim that comes late is refused.
func TestALateClaim(t *testing.T) {
	t.Parallel()
	w, slow := newLateWorld(t, "$KV.wechatws-rooms.claim.", "nothing")
	room := w.roomOf("a", "b")
	require.NoError(t, w.fleet.Control().Add(w.ctx(), w.spec(room)))
	b := w.through(slow).worker("b")
	slow.untilHeldUp() // b is alone, and claims it
	a := w.worker("a")
	conn := w.conn(room)
	s, err := w.fleet.Control().Get(w.ctx(), room)
	require.NoError(t, err)
	require.Equal(t, "a", s.Worker)

	slow.letGo()
	left := a.Stats().Lease // the leases take what came before the next renewal first
	require.Eventually(t, func() bool { now := a.Stats().Lease; defer func() { left = now }(); return now > left }, patience, tick)
	require.Eventually(t, b.Ready, patience, tick)
	after, err := w.fleet.Control().Get(w.ctx(), room)
	require.NoError(t, err)
	assert.Equal(t, s, after)
	assert.Len(t, w.srv.Conns(), 1)
	select {
	case <-conn.Done():
		assert.Fail(t, "the holder was disturbed")
	default:
	}
}

// A message that a former holder publishes late is refused, by the stream itself.
func TestALateMessage(t *testing.T) {
	t.Parallel()
	w, slow := newLateWorld(t, "PUB wechatws.in.", "PUB wechatws.in._held.") // markers pass
	room := w.roomOf("a", "b")
	require.NoError(t, w.fleet.Control().Add(w.ctx(), w.spec(room)))
	w.through(slow).worker("b")
	require.NoError(t, w.conn(room).Send(`{"msg_type":"late"}`))
	slow.untilHeldUp()
	w.worker("a")
	require.NoError(t, w.conn(room).Send(`{"msg_type":"in time"}`))
	got := w.handle("g")
	assert.Equal(t, "in time", got.next().Type)

	slow.letGo()
	require.NoError(t, w.conns(room)[1].Send(`{"msg_type":"last"}`))
	assert.Equal(t, "last", got.next().Type, "and none before it")
}

// A message to a room is in the stream until it is written.
func TestAMessageOutlivesItsHolder(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.srv.AnswerAlways(wstest.Status(503, nil, ""))
	a := w.worker("a")
	require.Eventually(t, func() bool { return len(w.srv.Handshakes()) > 0 }, patience, tick)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "for whoever comes"))
	// It is given to a's client, which cannot write it.
	require.Eventually(t, func() bool {
		queued := 0
		a.Clients(func(_ string, c *wechatws.Client) bool { queued += c.Stats().Queued; return true })
		return queued == 1
	}, patience, tick)
	a.stop()
	assert.Zero(t, a.Stats().Errors, "it is not lost")
	w.srv.AnswerAlways(wstest.Accept())
	w.worker("b")
	assert.Equal(t, `"for whoever comes"`, w.receive(w.conn("r0")))
}

// roomOf is a room that belongs to the first of these workers.
func (w *world) roomOf(workers ...string) string {
	var hashes []uint64
	for _, name := range workers {
		hashes = append(hashes, placement.Hash(name))
	}
	for n := 0; ; n++ {
		room := fmt.Sprint("room", n)
		if placement.Best(placement.HashOf(placement.Shard(room, 4096)), hashes) == 0 {
			return room
		}
	}
}

// conns are all connections of a room.
func (w *world) conns(room string) (list []*wstest.Conn) {
	for _, c := range w.srv.Conns() {
		if c.Request().URL.Query().Get("room") == room {
			list = append(list, c)
		}
	}
	return list
}

// newLateWorld is a world with a slow way to its NATS.
func newLateWorld(t *testing.T, pattern, except string) (*world, *slowWay) {
	t.Helper()
	w := &world{T: t, srv: wstest.NewServer()}
	t.Cleanup(w.srv.Close)
	f, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(2*time.Second))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	return w, newSlowWay(t, f.URL()[len("nats://"):], pattern, except)
}

// through returns the same world by the slow way.
func (w *world) through(s *slowWay) *world {
	w.Helper()
	f, err := fleet.Open(w.ctx(), fleet.WithNATS("nats://"+s.Addr().String()), fleet.WithLogger(slog.New(slog.NewTextHandler(w.Output(), nil))))
	require.NoError(w, err)
	w.Cleanup(f.Close)
	return &world{T: w.T, srv: w.srv, fleet: f}
}

// A slowWay carries bytes to NATS, and holds the first that have a pattern up until they are let
// go, and what comes behind them on that connection, without any notification.
type slowWay struct {
	net.Listener
	t       *testing.T
	pattern []byte
	except  []byte
	once    sync.Once
	heldUp  chan struct{}
	gone    chan struct{}
	arrived chan struct{}
}

func newSlowWay(t *testing.T, to, pattern, except string) *slowWay {
	t.Helper()
	s := &slowWay{
		t: t, pattern: []byte(pattern), except: []byte(except),
		heldUp: make(chan struct{}), gone: make(chan struct{}), arrived: make(chan struct{}),
	}
	s.Listener = relay(t, to, func(carrying *sync.WaitGroup, near, far net.Conn) {
		held := make(chan bool, 1)
		carrying.Go(func() {
			defer near.Close()
			_, _ = io.Copy(anyway{near}, far)
			if <-held {
				close(s.arrived)
			}
		})
		carrying.Go(func() { held <- s.carry(far.(*net.TCPConn), near) })
	})
	return s
}

// anyway takes what cannot be written any more, too.
type anyway struct{ net.Conn }

func (a anyway) Write(b []byte) (int, error) {
	_, _ = a.Conn.Write(b)
	return len(b), nil
}

// carry carries the bytes of a client, and reports whether they were held up. That is the end of the
// connection then: the server has read all of it when it closes, too.
func (s *slowWay) carry(far *net.TCPConn, near net.Conn) (held bool) {
	defer far.CloseWrite()
	buffer := make([]byte, 1<<16)
	for {
		n, err := near.Read(buffer)
		if b := buffer[:n]; bytes.Contains(b, s.pattern) && !bytes.Contains(b, s.except) {
			s.once.Do(func() {
				held = true
				close(s.heldUp)
				<-s.gone
			})
		}
		if _, e := far.Write(buffer[:n]); err != nil || e != nil || held {
			return held
		}
	}
}

func (s *slowWay) untilHeldUp() { s.wait(s.heldUp) }

// letGo returns when NATS has it.
func (s *slowWay) letGo() {
	close(s.gone)
	s.wait(s.arrived)
}

func (s *slowWay) wait(c chan struct{}) {
	s.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		require.Fail(s.t, "it has not come about")
	}
}
