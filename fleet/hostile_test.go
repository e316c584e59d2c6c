package fleet_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// Users of the account of the fleet, as letters.
const (
	asWorker, asHandler, asController = "w", "h", "c"
	all, none                         = "whc", ""
)

// fleetSubjects are all subjects that the fleet writes to or listens on, and those of NATS that change its
// streams, with the users who may publish to them.
func fleetSubjects() map[string]string {
	partition := fmt.Sprint(placement.Hash("r0") % 16)
	in, position := "wechatws.in."+partition+".r0.hi", "$KV.wechatws-groups.g.position."+partition
	subjects := map[string]string{
		"$KV.wechatws-rooms.fleet": none, recordOf("r0"): asController, recordOf("new"): asController,
		claimOf("r0"): asWorker + asController, claimOf("new"): asWorker + asController,
		"$KV.wechatws-leases-1.x": asWorker, "$KV.wechatws-leases-2.x": asWorker, "$KV.wechatws-leases-3.x": asWorker,
		position: all, "$KV.wechatws-groups.g.member.x": all,
		in: asWorker + asController, markerOf("r0"): asWorker + asController,
		outOf("r0"): all, outOf("r1"): all, outOf("r0") + ".x": all,
		"wechatws.dead.g": all, "wechatws.dead.to.r0": all,
		"wechatws.shard." + shardOf("r0") + ".room.r0": none, "wechatws.shard." + shardOf("r0") + ".out.r0": none,
		"wechatws.ask.a.drain": asController, "wechatws.ask.a.stats": asWorker + asController, "wechatws.everybody.rows": asWorker + asController,
	}
	for _, stream := range allStreams {
		purge := asController
		if strings.HasPrefix(stream, "KV_wechatws-leases") || stream == "wechatws-out" || stream == "wechatws-dead" || stream == "KV_wechatws-groups" {
			purge += asWorker
		}
		subjects["$JS.API.STREAM.DELETE."+stream] = none
		subjects["$JS.API.STREAM.PURGE."+stream] = purge
		subjects["$JS.API.STREAM.MSG.DELETE."+stream] = asWorker + asController
		for _, api := range []string{"STREAM.CREATE.", "STREAM.UPDATE.", "STREAM.INFO.", "STREAM.MSG.GET.", "DIRECT.GET.", "CONSUMER.CREATE.", "STREAM.LEADER.STEPDOWN."} {
			subjects["$JS.API."+api+stream] = all
		}
		subjects["$JS.API.CONSUMER.DELETE."+stream+".x"] = all
	}
	return subjects
}

var allStreams = []string{"KV_wechatws-rooms", "KV_wechatws-leases-1", "wechatws-in", "wechatws-out", "KV_wechatws-groups", "wechatws-dead"}

// attack publishes harmful messages to all subjects of the fleet: directly, and as the answer to each
// of the requests.
func (g *guarded) attack(nc *nats.Conn, requests map[string]string) {
	g.Helper()
	for subject := range fleetSubjects() {
		for _, payload := range []string{
			`{"session":"x","worker":"x","id":"new","name":"x"}`,
			`{"shard":` + shardOf("r0") + `,"session":"x","since":"2026-01-01T00:00:00Z"}`, // a claim of the right shard
		} {
			m := nats.NewMsg(subject)
			m.Data = []byte(payload)
			m.Header.Set("Fleet-Request", subject[strings.LastIndexByte(subject, '.')+1:])
			require.NoError(g, nc.PublishMsg(m))
		}
	}
	g.answer(nc, requests, func(string) bool { return true })
}

// answer has NATS publish the answer to each of the requests to those subjects of the fleet that are wanted.
// NATS itself refuses the subjects of its API.
func (g *guarded) answer(nc *nats.Conn, requests map[string]string, wanted func(subject string) bool) {
	g.Helper()
	for subject := range fleetSubjects() {
		if wanted(subject) {
			for request, payload := range requests {
				require.NoError(g, nc.PublishRequest(request, subject, []byte(payload)))
			}
		}
	}
	require.NoError(g, nc.Flush())
}

// Each user may publish to the subjects that its work needs, and to no other of the fleet.
func TestWhatEachUserMayPublishTo(t *testing.T) {
	g := newGuarded(t)
	subjects := fleetSubjects()
	for letter, user := range map[string]string{asWorker: "worker", asHandler: "handler", asController: "controller"} {
		nc := g.connect(user)
		var mu sync.Mutex
		refused := map[string]bool{}
		nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			_, subject, found := strings.Cut(err.Error(), `Publish to "`)
			mu.Lock()
			defer mu.Unlock()
			subject, _, _ = strings.Cut(subject, `"`)
			refused[subject] = found
		})
		for subject := range subjects {
			require.NoError(t, nc.Publish(subject, []byte("neither JSON nor anything else")))
		}
		require.NoError(t, nc.Flush())
		var want []string
		for subject, users := range subjects {
			if !strings.Contains(users, letter) {
				want = append(want, subject)
			}
		}
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(refused) >= len(want)
		}, patience, tick, user)
		mu.Lock()
		assert.ElementsMatch(t, want, slices.Collect(maps.Keys(refused)), user)
		mu.Unlock()
	}
}

// Users of the fleet's account can have NATS publish its answers to any subject of the fleet. Such an answer
// drains no worker, takes no room from it, adds none, stops no handlers, and is not written to a room. It can
// replace what has no other keeper than its key: the record of a room, and the settings.
func TestAnAnswerOfNATSIsNothingElse(t *testing.T) {
	for _, user := range []string{"worker", "handler", "controller"} {
		t.Run(user, func(t *testing.T) {
			g := newGuarded(t)
			a, conn := g.work()
			w := &world{T: t, srv: g.srv, fleet: g.as("handler")}
			handled := w.handle("g")
			require.NoError(t, conn.Send(`{"msg_type":"hi"}`))
			assert.Equal(t, "hi", handled.next().Type)
			for _, room := range []string{"r0", "r1"} { // something to be replayed
				require.NoError(t, g.fleet.Send(g.ctx(), room, "hello", fleet.ConfirmedBy(fleet.Match{Type: "yes"})))
			}
			assert.Equal(t, `"hello"`, g.receive(conn))
			session := a.Stats().Session
			nc := g.connect(user)
			nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
			g.answer(nc, map[string]string{
				"$JS.API.INFO":                     "",
				"$JS.API.STREAM.INFO.wechatws-out": "",
				"$JS.API.DIRECT.GET.KV_wechatws-rooms." + recordOf("r1"):                   "",
				"$JS.API.DIRECT.GET.KV_wechatws-rooms." + claimOf("r0"):                    "", // it names the right shard
				"$JS.API.DIRECT.GET.KV_wechatws-rooms.$KV.wechatws-rooms.fleet":            "",
				"$JS.API.STREAM.MSG.GET.wechatws-in":                                       `{"last_by_subj":"` + markerOf("r0") + `"}`,
				"$JS.API.STREAM.MSG.GET.wechatws-out":                                      `{"last_by_subj":"` + outOf("r1") + `"}`,
				"$JS.API.DIRECT.GET.KV_wechatws-leases-1.$KV.wechatws-leases-1." + session: "",
				"$JS.API.DIRECT.GET.KV_wechatws-groups.$KV.wechatws-groups.g.position.0":   "",
				"$KV.wechatws-groups.x":                                                    "",
			}, func(subject string) bool { return subject != recordOf("r0") && subject != "$KV.wechatws-rooms.fleet" })
			require.NoError(t, conn.Send(`{"msg_type":"yes"}`))
			for handled.next().Type != "yes" { // when the position of the group was replaced, messages are handled again
			}
			require.NoError(t, g.fleet.Send(g.ctx(), "r0", "the next one"))
			assert.Equal(t, `"the next one"`, g.receive(conn))
			require.Eventually(t, func() bool { return a.Stats().Undeliverable >= 3 }, patience, tick)
			stats, err := g.fleet.Control().Stats(g.ctx(), "a")
			require.NoError(t, err)
			assert.True(t, stats.Ready)
			assert.Equal(t, session, stats.Session)
			list, err := g.fleet.Control().List(g.ctx())
			require.NoError(t, err)
			require.Len(t, list, 2)
			g.until("both are held", func(rooms map[string]fleet.Status) bool { return heldBy(rooms)["a"] == 2 })
			assert.Len(t, g.srv.Conns(), 2, "no room was connected to again")
		})
	}
}
