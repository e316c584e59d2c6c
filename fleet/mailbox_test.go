package fleet_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// Messages that are sent while their room is removed do not stay.
func TestSendsThatRaceWithRemoveLeaveNothing(t *testing.T) {
	t.Parallel()
	const rooms = 200
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	w.add(rooms)
	var racing sync.WaitGroup
	for i := range rooms {
		room := fmt.Sprint("r", i)
		racing.Go(func() {
			for {
				err := w.fleet.Send(w.ctx(), room, "hello")
				if errors.Is(err, fleet.ErrNoRoom) {
					return
				}
				if !assert.NoError(t, err) {
					return
				}
			}
		})
		racing.Go(func() {
			_, err := w.fleet.Control().Remove(w.ctx(), room)
			assert.NoError(t, err)
		})
	}
	racing.Wait()
	// Of a process that was lost between looking the room up and storing the message, and a message to
	// a room that exists.
	w.late("r0")
	require.NoError(t, w.fleet.Control().Add(w.ctx(), fleet.Spec{ID: "kept", Endpoint: "ws://127.0.0.1:1"}))
	require.NoError(t, w.fleet.Send(w.ctx(), "kept", "hello"))
	w.worker("a")
	out := w.stream("wechatws-out")
	require.Eventually(t, func() bool {
		info, err := out.Info(w.ctx())
		return err == nil && info.State.Msgs == 1
	}, patience, tick)
}

// late stores a message to a room as a Send does that looked the room up long before.
func (w *world) late(room string) {
	w.Helper()
	m := nats.NewMsg(outOf(room))
	m.Header.Set("Fleet-To", room)
	m.Data = []byte("late")
	_, err := w.jetStream().PublishMsg(w.ctx(), m)
	require.NoError(w, err)
}

// A room that is added again gets no messages to the one of that ID that was removed.
func TestARoomThatIsAddedAgainGetsNothingOld(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	w.add(1)
	_, err := w.fleet.Control().Remove(w.ctx(), "r0")
	require.NoError(t, err)
	w.late("r0")
	w.add(1)
	require.ErrorIs(t, w.fleet.Control().Add(w.ctx(), w.spec("r0")), fleet.ErrRoomExists)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "new"))
	w.worker("a")
	assert.Equal(t, `"new"`, w.receive(w.conn("r0")))
}

// NATS removes a message that has expired and that no worker drops.
func TestNATSKnowsWhenAMessageExpires(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	w.add(1)
	out := w.stream("wechatws-out")
	for after, ttl := range map[time.Duration]string{
		time.Millisecond: "1m0s", 1500 * time.Millisecond: "1m1s", time.Hour: "1h1m0s", 1 << 62: "",
	} {
		require.NoError(t, w.fleet.Send(w.ctx(), "r0", "hello", fleet.ExpireAfter(after)))
		m, err := out.GetLastMsgForSubject(w.ctx(), outOf("r0"))
		require.NoError(t, err)
		assert.Equal(t, ttl, m.Header.Get("Nats-TTL"), after)
		assert.Equal(t, after.String(), m.Header.Get("Fleet-Expires"))
	}
}

// To hold rooms costs NATS no request for each of them while there are no messages, also when they are
// connected to again.
func TestRoomsWithoutMessagesAskForNone(t *testing.T) {
	t.Parallel()
	const rooms = 50
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""), fleet.WithShards(1))
	nc, err := nats.Connect(w.fleet.URL())
	require.NoError(t, err)
	defer nc.Close()
	asked, err := nc.SubscribeSync("$JS.API.STREAM.MSG.GET.wechatws-out")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	w.add(rooms)
	w.worker("a")
	open := func() bool { return w.srv.OpenConns() == rooms }
	require.Eventually(t, open, patience, tick)
	for _, conn := range w.srv.Conns() {
		conn.Cut(wstest.RST)
	}
	require.Eventually(t, func() bool { return len(w.srv.Conns()) == 2*rooms && open() }, patience, tick)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "hello"))
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(w.srv.Conns(), func(c *wstest.Conn) bool { return len(c.Received()) > 0 })
	}, patience, tick)
	n, _, err := asked.Pending()
	require.NoError(t, err)
	assert.LessOrEqual(t, n, 5, "one for the shard, and for the message")
}
