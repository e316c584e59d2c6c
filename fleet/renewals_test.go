package fleet_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// Renewals do not wait behind what rooms send: the messages of a worker's rooms fill its connection to NATS
// for longer than the lease lasts.
func TestRenewalsDoNotWaitBehindRooms(t *testing.T) {
	t.Parallel()
	const rooms, lease = 16, 2 * time.Second
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""), fleet.WithLease(lease))
	w.add(rooms)
	narrow := relay(t, w.fleet.URL()[len("nats://"):], func(carrying *sync.WaitGroup, near, far net.Conn) {
		carrying.Go(func() { trickle(far, near) })
		carrying.Go(func() { trickle(near, far) })
	})
	f, err := fleet.Open(w.ctx(), fleet.WithNATS("nats://"+narrow.Addr().String()))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	a := (&world{T: t, srv: w.srv, fleet: f}).worker("a")
	require.Eventually(t, func() bool { return w.srv.OpenConns() == rooms }, patience, tick)
	session := a.Stats().Session
	text := fmt.Sprintf(`{"msg_type":"n","text":%q}`, strings.Repeat("x", 64<<10))
	for _, c := range w.srv.Conns() {
		require.NoError(t, c.Send(text))
	}
	for began := time.Now(); time.Since(began) < 3*lease; time.Sleep(50 * time.Millisecond) {
		require.Equal(t, session, a.Stats().Session)
	}
	assert.Less(t, a.Stats().In, int64(rooms), "the connection was not full for long enough")
	assert.Equal(t, rooms, w.srv.OpenConns())
}

// trickle carries bytes slowly: 64 KiB a second.
func trickle(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 1<<10)
	for {
		n, err := from.Read(buffer)
		time.Sleep(time.Duration(n) * time.Second / (64 << 10))
		if _, e := to.Write(buffer[:n]); err != nil || e != nil {
			return
		}
	}
}
