package trials_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// Both streams of messages are full, three servers have no byte that is not reserved, and one of them is
// killed meanwhile: leases are renewed, rooms stay where they are, one is added and taken, and what is
// said in them is handled.
func TestAFullStoreDoesNotStarveWorkers(t *testing.T) {
	const mib = 1 << 20
	c := newClusterWithin(t, (512+nodes*16+16+16+16+64)*mib) // rooms, leases, in, out, groups, dead letters
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	f, err := fleet.Open(ctx, fleet.WithName("full"), fleet.WithReplicas(nodes), fleet.WithNATS(c.url()), fleet.WithMaxIn(16*mib), fleet.WithMaxOut(16*mib))
	require.NoError(t, err)
	f.Close()
	tr := newTrial(t, c, "full", lease, 20, "a", "b")
	until(t, "the stream of dead letters is there", func() bool { _, err := c.stream("full-dead"); return err == nil })
	until(t, "servers know of each other that all is reserved", func() bool {
		_, err = c.js.CreateStream(ctx, jetstream.StreamConfig{Name: "another", Replicas: nodes, MaxBytes: mib})
		if err == nil {
			require.NoError(t, c.js.DeleteStream(ctx, "another"))
		}
		return err != nil
	})
	require.ErrorContains(t, err, "insufficient storage")
	holders := tr.sessions()

	big := bytes.Repeat([]byte("x"), mib/2)
	var flooded uint64
	flood := func() {
		for range 64 {
			until(t, "a message is stored", func() bool {
				ack, err := c.js.Publish(ctx, "full.in.0.flood.x", big)
				if err == nil {
					flooded = ack.Sequence
				}
				return err == nil
			})
		}
		until(t, "a message to a room is refused", func() bool {
			err := tr.fleet.Send(ctx, "closed", wechatws.Text(big))
			return err != nil && strings.Contains(err.Error(), "maximum bytes exceeded")
		})
	}
	require.NoError(t, tr.fleet.Control().Add(ctx, fleet.Spec{ID: "closed", Endpoint: "wss://server.example"})) // the backend has no TLS
	flood()
	in, err := c.stream("full-in")
	require.NoError(t, err)
	require.LessOrEqual(t, in.State.Bytes, uint64(16*mib))
	require.Greater(t, in.State.FirstSeq, uint64(1+2*len(tr.traffic.rooms)), "the rooms' markers are discarded")

	node := c.leader(t, tr.leases()[0])
	c.kill(node)
	time.Sleep(away / 2)
	flood()
	c.start(node)
	time.Sleep(away / 2)
	c.untilReplicated(t, append(tr.streams(), "full-dead", "KV_full-groups")...)
	flood()

	require.NoError(t, tr.fleet.Control().Add(ctx, fleet.Spec{ID: "new", Endpoint: tr.backend.URL()}))
	rooms := append(tr.traffic.rooms, "new")
	for _, room := range rooms {
		until(t, "a worker is in "+room, func() bool { return tr.backend.Viewers(room) > 0 })
		tr.backend.Say(room, "visitor", "still there?")
		until(t, "what is said in "+room+" is handled", func() bool { return tr.handled.since(room, flooded) })
	}
	for room, session := range tr.sessions() {
		if before, ok := holders[room]; ok {
			require.Equal(t, before, session, "the holder of %s", room)
		}
	}
}

// since reports whether a message of a room after that one was handled.
func (h *handled) since(room string, seq uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.list, func(one handling) bool { return one.room == room && one.seq > seq })
}
