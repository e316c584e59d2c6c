package trials_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// A NATS server that is cut off from its peers keeps its clients' connections, and answers
// nothing. Processes that only send and handle leave it as workers do.
func TestSendersAndHandlersLeaveAServerThatIsCutOff(t *testing.T) {
	const room = "room"
	c := newCluster(t)
	opening, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	open := func() *fleet.Fleet { // connected to the first server
		f, err := fleet.Open(opening, fleet.WithName("left"), fleet.WithLease(lease), fleet.WithReplicas(nodes),
			fleet.WithNATS(c.url(), nats.DontRandomize()))
		require.NoError(t, err)
		t.Cleanup(f.Close)
		return f
	}
	sender, handler := open(), open()
	require.NoError(t, sender.Control().Add(opening, fleet.Spec{ID: room, Endpoint: "ws://server.example"}))

	h, err := handler.NewHandlers(group, fleet.WithFromStart())
	require.NoError(t, err)
	var last atomic.Int64
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		n, err := strconv.ParseInt(string(m.Data), 10, 64)
		last.Store(max(n, last.Load()))
		return err
	})
	handling, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(handling) }()
	defer func() {
		end()
		require.NoError(t, <-ended)
	}()

	nc, err := nats.Connect("nats://"+c.addr(1), nats.Timeout(patience))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	said := int64(0)
	say := func() bool { // what a worker would have received
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m := nats.NewMsg("left.in." + strconv.FormatUint(placement.Hash(room)%partitions, 10) + "." + names.Token(room) + ".n")
		m.Header.Set("Fleet-Type", "n")
		m.Header.Set("Fleet-Worker", "w")
		m.Data = strconv.AppendInt(nil, said+1, 10)
		if _, err := js.PublishMsg(ctx, m); err != nil {
			return false
		}
		said++
		return true
	}
	send := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return sender.Send(ctx, room, wechatws.Text("{}")) == nil
	}
	handled := func() bool { return last.Load() == said }

	until(t, "it can be sent", send)
	until(t, "something is said", say)
	until(t, "it is handled", handled)
	c.cutOff(0)
	defer c.mend(0)
	until(t, "it can be sent again", send)
	until(t, "something is said again", say)
	until(t, "it is handled again", handled)
}

// Where a server has no replica of the bucket of rooms, a sender finds out by its look-ups of rooms.
func TestASenderLeavesAServerThatIsCutOffAndHasNoReplica(t *testing.T) {
	const room = "room"
	c := newCluster(t)
	opening, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	open := func(url string) *fleet.Fleet {
		f, err := fleet.Open(opening, fleet.WithName("left"), fleet.WithLease(lease), fleet.WithReplicas(1),
			fleet.WithNATS(url, nats.DontRandomize()))
		require.NoError(t, err)
		t.Cleanup(f.Close)
		return f
	}
	require.NoError(t, open(c.url()).Control().Add(opening, fleet.Spec{ID: room, Endpoint: "ws://server.example"}))
	rooms, out, cut := c.leader(t, "KV_left-rooms"), c.leader(t, "left-out"), 0
	for cut == rooms || cut == out {
		cut++
	}
	url := "nats://" + c.addr(cut)
	for _, i := range othersThan(cut) {
		url += ",nats://" + c.addr(i)
	}
	sender := open(url)
	send := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return sender.Send(ctx, room, wechatws.Text("{}")) == nil
	}
	until(t, "it can be sent", send)
	c.cutOff(cut)
	defer c.mend(cut)
	until(t, "it cannot be sent", func() bool { return !send() })
	until(t, "it can be sent again", send)
}
