package fleet_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

const mib = 1 << 20

// A storedWorld has a NATS of its own, with a store of so many bytes.
type storedWorld struct {
	*world
	url string
	js  jetstream.JetStream
}

func newStoredWorld(t *testing.T, store int64) *storedWorld {
	t.Helper()
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: store,
		NoSigs: true, NoLog: true, MaxPayload: 8 * mib,
	})
	require.NoError(t, err)
	ns.Start()
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	require.True(t, ns.ReadyForConnections(patience))
	nc, err := nats.Connect(ns.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	w := &world{T: t, srv: wstest.NewServer()}
	t.Cleanup(w.srv.Close)
	return &storedWorld{w, ns.ClientURL(), js}
}

func (w *storedWorld) open(options ...fleet.Option) (*fleet.Fleet, error) {
	w.Helper()
	f, err := fleet.Open(w.ctx(), append(options, fleet.WithNATS(w.url), fleet.WithLogger(slog.New(slog.NewTextHandler(w.Output(), nil))))...)
	if err == nil {
		w.Cleanup(f.Close)
	}
	return f, err
}

func (w *storedWorld) info(stream string) *jetstream.StreamInfo {
	w.Helper()
	s, err := w.js.Stream(w.ctx(), stream)
	require.NoError(w, err)
	return s.CachedInfo()
}

// streams are all of a fleet with one replica.
var streams = []string{"wechatws-in", "wechatws-out", "KV_wechatws-rooms", "KV_wechatws-leases-1"}

// When the streams of messages are full, and NATS has no byte that is not reserved, workers
// go on: leases are renewed, rooms added and taken, messages published. The oldest messages from
// rooms are discarded, the newest to rooms refused.
func TestFullStreamsDoNotStarveWorkers(t *testing.T) {
	t.Parallel()
	w := newStoredWorld(t, (512+16+16+16+16+64)*mib) // rooms, leases, in, out, groups, dead letters
	f, err := w.open(fleet.WithMaxIn(16*mib), fleet.WithMaxOut(16*mib))
	require.NoError(t, err)
	w.fleet = f
	got := w.handle("g")
	require.Eventually(t, func() bool {
		_, err := w.js.Stream(w.ctx(), "wechatws-dead")
		return err == nil
	}, patience, tick)
	_, err = w.js.CreateStream(w.ctx(), jetstream.StreamConfig{Name: "another"})
	require.ErrorContains(t, err, "insufficient storage", "all is reserved")
	w.add(1)
	a := w.worker("a")
	conn := w.conn("r0")
	require.Eventually(t, func() bool { return a.Stats().Open == 1 }, patience, tick)
	session := a.Stats().Session
	require.NoError(t, conn.Send(`{"msg_type":"first"}`))
	require.Eventually(t, func() bool { return a.Stats().In == 1 }, patience, tick)

	big := []byte(strings.Repeat("x", mib))
	for range 64 {
		_, err := w.js.Publish(w.ctx(), "wechatws.in.0.flood.x", big)
		require.NoError(t, err)
	}
	in := w.info("wechatws-in")
	assert.LessOrEqual(t, in.State.Bytes, uint64(16*mib))
	assert.Greater(t, in.State.FirstSeq, uint64(2), "what the room has published is discarded, and its fence with it")
	require.NoError(t, f.Control().Add(w.ctx(), fleet.Spec{ID: "closed", Endpoint: "ws://127.0.0.1:1"}))
	for err = nil; err == nil; {
		err = f.Send(w.ctx(), "closed", wechatws.Text(big))
	}
	require.ErrorContains(t, err, "WithMaxOut (16777216)")
	assert.Greater(t, w.info("wechatws-out").State.Bytes, uint64(14*mib), "nothing is discarded")

	renewals, left := 0, a.Stats().Lease
	require.Eventually(t, func() bool {
		now := a.Stats().Lease
		if now > left {
			renewals++
		}
		left = now
		return renewals >= 20
	}, patience, tick, "longer than a lease, of 16 renewals")
	assert.Equal(t, session, a.Stats().Session)
	require.NoError(t, f.Control().Add(w.ctx(), w.spec("new")))
	require.NoError(t, w.conn("new").Send(`{"msg_type":"new"}`))
	require.NoError(t, conn.Send(`{"msg_type":"second"}`))
	types := map[string]bool{}
	for len(types) < 3 {
		if one := got.next(); one.Room != "flood" {
			types[one.Type] = true
		}
	}
	assert.Equal(t, map[string]bool{"first": true, "new": true, "second": true}, types)
	assert.Zero(t, a.Stats().Unpublished)
	select {
	case <-conn.Done():
		assert.Fail(t, "the room was disturbed")
	default:
	}
}

// By default each stream has a maximum size, and those of messages have a maximum age.
func TestEveryStreamHasAMaximumSize(t *testing.T) {
	w := newStoredWorld(t, 4<<30)
	_, err := w.open()
	require.NoError(t, err)
	for _, name := range streams {
		assert.Positive(t, w.info(name).Config.MaxBytes, name)
	}
	assert.EqualValues(t, 1<<30, w.info("wechatws-in").Config.MaxBytes)
	assert.EqualValues(t, 256*mib, w.info("wechatws-out").Config.MaxBytes)
	assert.Equal(t, 24*time.Hour, w.info("wechatws-in").Config.MaxAge)
	assert.Equal(t, 168*time.Hour, w.info("wechatws-out").Config.MaxAge)

	// A size or an age that was set stays.
	_, err = w.open(fleet.WithMaxIn(1<<30), fleet.WithMaxOut(256*mib), fleet.WithKeepOut(168*time.Hour))
	require.NoError(t, err)
	_, err = w.open(fleet.WithMaxIn(2 << 30))
	w.wrongOption(err, "fleet.WithMaxIn", "2147483648", "1073741824")
	_, err = w.open(fleet.WithMaxOut(16*mib), fleet.WithExisting())
	w.wrongOption(err, "fleet.WithMaxOut", "16777216", "268435456")
	_, err = w.open(fleet.WithKeepOut(time.Hour))
	w.wrongOption(err, "fleet.WithKeepOut", "1h0m0s", "168h0m0s")
}

func (w *storedWorld) wrongOption(err error, option, value, want string) {
	w.Helper()
	var wrong *wechatws.OptionError
	require.ErrorAs(w, err, &wrong)
	assert.Equal(w, option, wrong.Option)
	assert.Equal(w, value, wrong.Value)
	assert.Contains(w, wrong.Want, want)
}

// If NATS has no room for a size, Open returns an error at once, which names the option or the bucket.
func TestOpenNamesWhatNATSHasNoRoomFor(t *testing.T) {
	w := newStoredWorld(t, 100*mib)
	_, err := w.open()
	require.ErrorContains(t, err, "cannot reserve 536870912 bytes for bucket wechatws-rooms")
	assert.ErrorContains(t, err, "insufficient storage")

	w = newStoredWorld(t, 1<<30)
	_, err = w.open()
	w.wrongOption(err, "fleet.WithMaxIn", "1073741824", "must be smaller")
	_, err = w.open(fleet.WithMaxIn(128*mib), fleet.WithMaxOut(1<<30))
	w.wrongOption(err, "fleet.WithMaxOut", "1073741824", "must be smaller")
	_, err = w.open(fleet.WithMaxIn(128*mib), fleet.WithMaxOut(64*mib))
	require.NoError(t, err)
}

// When Add refuses because the bucket of rooms is full, rooms can still be removed, updated and moved,
// also with the shortest of specs, which a mark of deletion is longer than.
func TestRoomsOfAFullBucketCanBeRemoved(t *testing.T) {
	t.Parallel()
	w := newStoredWorld(t, 4<<30)
	f, err := w.open(fleet.WithShards(8)) // their claims fit into a sixteenth
	require.NoError(t, err)
	w.fleet = f
	w.worker("a")
	cfg := w.info("KV_wechatws-rooms").Config
	cfg.MaxBytes = 60_000
	_, err = w.js.UpdateStream(w.ctx(), cfg)
	require.NoError(t, err)
	spec := func(i int) fleet.Spec { return fleet.Spec{ID: fmt.Sprint("r", i)} }
	n := 0
	for ; err == nil; n++ {
		err = f.Control().Add(w.ctx(), spec(n))
	}
	require.ErrorContains(t, err, "bucket wechatws-rooms is full")
	require.ErrorContains(t, err, "60000")
	n--
	assert.Greater(t, n, 150)
	for i := range 5 {
		_, err := f.Control().Remove(w.ctx(), fmt.Sprint("r", i))
		require.NoError(t, err)
	}
	require.NoError(t, f.Control().Update(w.ctx(), spec(5)))
	require.NoError(t, f.Control().Move(w.ctx(), "r6", "a"))
}
