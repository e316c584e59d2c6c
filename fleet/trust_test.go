package fleet_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
	"github.com/wechatws/wechatws/wstest"
)

// A guarded world is one whose NATS has the accounts and users of docs/fleet-permissions.md.
type guarded struct {
	*world
	url   string
	owner jetstream.JetStream
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{world: &world{T: t, srv: wstest.NewServer()}}
	t.Cleanup(g.srv.Close)
	for _, user := range []string{"WORKER", "HANDLER", "CONTROLLER", "OWNER", "SENDER"} {
		t.Setenv(user+"_PASSWORD", strings.ToLower(user))
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(documented(t)), 0o600))
	options, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	options.JetStream = true
	g.url = g.natsServer(options).ClientURL()
	g.fleet = g.as("owner")
	g.owner, err = jetstream.New(g.connect("owner"))
	require.NoError(t, err)
	return g
}

// documented returns the configuration of NATS in docs/fleet-permissions.md.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/fleet-permissions.md")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(text), "```\n")
	block, _, found := strings.Cut(after, "```")
	require.True(t, found)
	return block
}

// credentials are what the document says about the connection of a user.
func credentials(user string) []nats.Option {
	list := []nats.Option{nats.UserInfo(user, user)}
	if user != "owner" && user != "sender" {
		list = append(list, nats.CustomInboxPrefix("_INBOX_"+user))
	}
	return list
}

// as opens the fleet as one of the users.
func (g *guarded) as(user string) *fleet.Fleet {
	g.Helper()
	options := []fleet.Option{fleet.WithNATS(g.url, credentials(user)...)}
	if user != "owner" {
		options = append(options, fleet.WithExisting())
	}
	if user == "sender" {
		options = append(options, fleet.WithAPIPrefix("FLEET.API"))
	}
	f, err := fleet.Open(g.ctx(), options...)
	require.NoError(g, err, user)
	g.Cleanup(f.Close)
	return f
}

// connect connects one of the users. What it is not permitted is logged.
func (g *guarded) connect(user string) *nats.Conn {
	g.Helper()
	nc, err := nats.Connect(g.url, append(credentials(user), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { g.Log(user, err) }))...)
	require.NoError(g, err)
	g.Cleanup(nc.Close)
	return nc
}

// work starts a worker for rooms r0 and r1 as its user, and returns the connection of r0.
func (g *guarded) work() (*running, *wstest.Conn) {
	g.Helper()
	g.add(2)
	w := &world{T: g.T, srv: g.srv, fleet: g.as("worker")}
	a := w.worker("a")
	conns := map[string]*wstest.Conn{}
	for range 2 {
		c, err := g.srv.NextConn(g.ctx())
		require.NoError(g, err)
		conns[c.Request().URL.Query().Get("room")] = c
	}
	return a, conns["r0"]
}

// Each user can do its work with the documented permissions.
func TestPermissionsAreEnough(t *testing.T) {
	g := newGuarded(t)
	late := nats.NewMsg(outOf("removed"))
	_, err := g.owner.PublishMsg(g.ctx(), late)
	require.NoError(t, err)
	a, conn := g.work()
	require.Eventually(t, func() bool { return g.snapshot().Out == 0 }, patience, tick, "a worker removes it")
	w := &world{T: t, srv: g.srv, fleet: g.as("handler")}
	handled := w.handle("g")
	require.NoError(t, conn.Send(`{"msg_type":"hi"}`))
	assert.Equal(t, "hi", handled.next().Type)
	require.NoError(t, w.fleet.Send(g.ctx(), "r0", "from a handler"))
	assert.Equal(t, `"from a handler"`, g.receive(conn))

	sender := g.as("sender")
	require.NoError(t, sender.Send(g.ctx(), "r0", "from a sender"))
	assert.Equal(t, `"from a sender"`, g.receive(conn))
	require.ErrorIs(t, sender.Send(g.ctx(), "nowhere", 1), fleet.ErrNoRoom)

	controller := g.as("controller")
	c := controller.Control()
	require.NoError(t, c.Add(g.ctx(), g.spec("r2")))
	g.conn("r2")
	require.NoError(t, c.Update(g.ctx(), g.spec("r2")))
	g.conn("r2")
	require.NoError(t, c.Move(g.ctx(), "r2", "a"))
	_, err = c.Remove(g.ctx(), "r2")
	require.NoError(t, err)
	list, err := c.List(g.ctx())
	require.NoError(t, err)
	assert.Len(t, list, 2)
	stats, err := c.Stats(g.ctx(), "a")
	require.NoError(t, err)
	assert.Equal(t, "a", stats.Name)
	rows := controller.Rows()
	require.Eventually(t, func() bool {
		n := 0
		for range rows {
			n++
		}
		return n == 2
	}, patience, tick)
	require.NoError(t, c.Drain(g.ctx(), "a"))
	require.Eventually(t, func() bool { return !a.Ready() }, patience, tick)
}

func shardOf(room string) string  { return strconv.Itoa(placement.Shard(room, 4096)) }
func recordOf(room string) string { return "$KV.wechatws-rooms.room." + shardOf(room) + "." + room }
func claimOf(room string) string  { return "$KV.wechatws-rooms.claim." + shardOf(room) }
func markerOf(room string) string { return "wechatws.in._held." + shardOf(room) }

// A snapshot is what a user without rights must not change.
type snapshot struct {
	Rooms, In           uint64 // the last sequence
	Leases, Out         uint64 // messages
	Streams, Consumers  int
	RoomsConfig, InConf string
}

func (g *guarded) snapshot() (s snapshot) {
	g.Helper()
	state := func(name string) *jetstream.StreamInfo {
		stream, err := g.owner.Stream(g.ctx(), name)
		require.NoError(g, err)
		s.Streams++
		return stream.CachedInfo()
	}
	rooms, in := state("KV_wechatws-rooms"), state("wechatws-in")
	config := func(i *jetstream.StreamInfo) string {
		text, err := json.Marshal(i.Config)
		require.NoError(g, err)
		return string(text)
	}
	s.RoomsConfig, s.InConf = config(rooms), config(in)
	s.Rooms, s.In, s.Consumers = rooms.State.LastSeq, in.State.LastSeq, in.State.Consumers
	s.Leases = state("KV_wechatws-leases-1").State.Msgs
	s.Out = state("wechatws-out").State.Msgs
	return s
}

// A user that may only send can do nothing but send, and receives nothing of others.
func TestAHostileSenderCanOnlySend(t *testing.T) {
	g := newGuarded(t)
	a, conn := g.work()
	nc := g.connect("sender")
	received := make(chan *nats.Msg, 1<<16)
	sub, err := nc.ChanSubscribe("_INBOX.>", received)
	require.NoError(t, err)
	_, err = nc.ChanSubscribe("wechatws.in.>", received)
	require.NoError(t, err)
	_, err = nc.ChanSubscribe("$KV.>", received)
	require.NoError(t, err)
	before := g.snapshot()

	g.attack(nc, map[string]string{
		"FLEET.API.STREAM.INFO.KV_wechatws-rooms":                         "",
		"FLEET.API.STREAM.INFO.wechatws-in":                               "",
		"FLEET.API.DIRECT.GET.KV_wechatws-rooms." + recordOf("r1"):        "",
		"FLEET.API.DIRECT.GET.KV_wechatws-rooms.$KV.wechatws-rooms.fleet": "",
		"FLEET.API.STREAM.MSG.GET.KV_wechatws-rooms":                      `{"last_by_subj":"` + recordOf("r1") + `"}`,
		outOf("r1"):                           "an acknowledgement",
		"FLEET.API.STREAM.DELETE.wechatws-in": "",
		"$JS.API.STREAM.DELETE.wechatws-in":   "",
		"$JS.API.INFO":                        "",
		"FLEET.API.DIRECT.GET.KV_wechatws-leases-1.$KV.wechatws-leases-1.x": "",
		"FLEET.API.STREAM.MSG.GET.wechatws-out":                             `{"seq":1}`,
		"FLEET.API.CONSUMER.CREATE.KV_wechatws-rooms.x." + recordOf("r1"):   `{}`,
	})
	// What it sends comes behind all that. Of the rest nothing is written to the room.
	require.NoError(t, g.as("sender").Send(g.ctx(), "r0", "hello"))
	assert.Equal(t, `"hello"`, g.receive(conn))
	require.Eventually(t, func() bool { return g.snapshot().Out == 0 }, patience, tick, "what does not belong there is removed")
	after := g.snapshot()
	assert.Equal(t, before, after)
	assert.True(t, a.Ready())
	assert.EqualValues(t, 1, a.Stats().Out)
	g.until("both are held", func(rooms map[string]fleet.Status) bool { return heldBy(rooms)["a"] == 2 })
	require.NoError(t, sub.Unsubscribe())
	for len(received) > 0 {
		m := <-received
		assert.NotContains(t, string(m.Data), `"worker":"a"`, m.Subject)
	}
}

// Directly, no user of the fleet's account can do what is not its work.
func TestUsersAreRefusedWhatIsNotTheirs(t *testing.T) {
	g := newGuarded(t)
	g.work()
	handler, worker := g.as("handler"), g.as("worker")
	js := func(user string) jetstream.JetStream {
		js, err := jetstream.New(g.connect(user))
		require.NoError(t, err)
		return js
	}
	for what, try := range map[string]func(context.Context) error{
		"handler adds":    func(ctx context.Context) error { return handler.Control().Add(ctx, g.spec("no")) },
		"handler removes": func(ctx context.Context) error { _, err := handler.Control().Remove(ctx, "r0"); return err },
		"handler drains":  func(ctx context.Context) error { return handler.Control().Drain(ctx, "a") },
		"handler deletes": func(ctx context.Context) error { return js("handler").DeleteStream(ctx, "wechatws-in") },
		"worker adds":     func(ctx context.Context) error { return worker.Control().Add(ctx, g.spec("no")) },
		"worker drains":   func(ctx context.Context) error { return worker.Control().Drain(ctx, "a") },
		"worker settles": func(ctx context.Context) error {
			_, err := js("worker").Publish(ctx, "$KV.wechatws-rooms.fleet", nil)
			return err
		},
		"handler takes": func(ctx context.Context) error {
			_, err := js("handler").Publish(ctx, claimOf("r0"), nil)
			return err
		},
		"handler speaks": func(ctx context.Context) error {
			_, err := js("handler").Publish(ctx, "wechatws.in.0.r0.hi", nil)
			return err
		},
		"controller deletes": func(ctx context.Context) error { return js("controller").DeleteStream(ctx, "wechatws-in") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		assert.Error(t, try(ctx), what)
		cancel()
	}
	g.until("both are held", func(rooms map[string]fleet.Status) bool { return heldBy(rooms)["a"] == 2 })
	for _, user := range []string{"worker", "handler", "controller"} { // the answers to others
		nc := g.connect(user)
		refused := make(chan error, 1)
		nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
		_, err := nc.SubscribeSync("_INBOX_" + map[string]string{"worker": "handler", "handler": "controller", "controller": "worker"}[user] + ".>")
		require.NoError(t, err)
		require.ErrorIs(t, <-refused, nats.ErrPermissionViolation)
	}
}
