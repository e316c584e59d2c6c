package fleet_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// conn is the next connection of a room.
func (w *world) conn(room string) *wstest.Conn {
	w.Helper()
	for {
		c, err := w.srv.NextConn(w.ctx())
		require.NoError(w, err, "no connection of room %s", room)
		if c.Request().URL.Query().Get("room") == room {
			return c
		}
	}
}

func (w *world) spec(room string) fleet.Spec {
	return fleet.Spec{ID: room, Endpoint: w.srv.URL() + "?room=" + room}
}

func TestAddUpdateRemove(t *testing.T) {
	w := newWorld(t)
	control, ctx := w.fleet.Control(), w.ctx()
	spec := w.spec("r")
	require.ErrorIs(t, control.Update(ctx, spec), fleet.ErrNoRoom)
	require.NoError(t, control.Add(ctx, spec))
	require.ErrorIs(t, control.Add(ctx, spec), fleet.ErrRoomExists)
	s, err := control.Get(ctx, "r")
	require.NoError(t, err)
	assert.Equal(t, fleet.Status{Spec: spec}, s, "nobody holds it")

	for range 3 {
		require.NoError(t, w.fleet.Send(ctx, "r", "never delivered"))
	}
	undelivered, err := control.Remove(ctx, "r")
	require.NoError(t, err)
	assert.EqualValues(t, 3, undelivered)
	_, err = control.Remove(ctx, "r")
	require.ErrorIs(t, err, fleet.ErrNoRoom)
	require.ErrorIs(t, w.fleet.Send(ctx, "r", 1), fleet.ErrNoRoom)

	require.NoError(t, control.Add(ctx, spec))
	w.worker("a")
	first := w.conn("r")
	before, err := control.Get(ctx, "r")
	require.NoError(t, err)
	spec.Endpoint += "&v=2"
	spec.Options = map[string]string{"name": "bot"}
	require.NoError(t, control.Update(ctx, spec))
	second := w.conn("r")
	<-first.Done()
	assert.Equal(t, "2", second.Request().URL.Query().Get("v"))
	after, err := control.Get(ctx, "r")
	require.NoError(t, err)
	assert.Equal(t, spec, after.Spec)
	assert.Equal(t, before.Fence, after.Fence, "the holder is the same")
	require.NoError(t, w.fleet.Send(ctx, "r", "to the new one"))
	m, err := second.Receive(ctx)
	require.NoError(t, err)
	assert.Equal(t, `"to the new one"`, m.Text())

	_, err = control.Remove(ctx, "r")
	require.NoError(t, err)
	<-second.Done()
	assert.Empty(t, first.Received())
	list, err := control.List(ctx)
	require.NoError(t, err)
	assert.Empty(t, list)
}

// The fence of a room that is added again is higher than any before.
func TestAFenceNeverComesAgain(t *testing.T) {
	w := newWorld(t)
	w.worker("a")
	got := w.handle("g")
	var last uint64
	for range 3 {
		require.NoError(t, w.fleet.Control().Add(w.ctx(), w.spec("r")))
		conn := w.conn("r")
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		m := got.next()
		require.Greater(t, m.Fence, last)
		last = m.Fence
		_, err := w.fleet.Control().Remove(w.ctx(), "r")
		require.NoError(t, err)
		<-conn.Done()
	}
}

func TestSpecs(t *testing.T) {
	w := newWorld(t)
	for name, one := range map[string]struct {
		spec   fleet.Spec
		option string
	}{
		"no ID":         {fleet.Spec{}, "fleet.Spec.ID"},
		"a long ID":     {fleet.Spec{ID: string(make([]byte, 129))}, "fleet.Spec.ID"},
		"no URL":        {fleet.Spec{ID: "r", Endpoint: "ws://hunter2 x:y/%"}, "fleet.Spec.Endpoint"},
		"user info":     {fleet.Spec{ID: "r", Endpoint: "ws://hunter2:hunter2@host/hunter2?token=hunter2"}, "fleet.Spec.Endpoint"},
		"secret itself": {fleet.Spec{ID: "r", Secrets: map[string]string{"token": "hunter2"}}, "fleet.Spec.Secrets"},
		"no name":       {fleet.Spec{ID: "r", Secrets: map[string]string{"token": "env:"}}, "fleet.Spec.Secrets"},
	} {
		for _, err := range []error{w.fleet.Control().Add(w.ctx(), one.spec), w.fleet.Control().Update(w.ctx(), one.spec)} {
			var wrong *wechatws.OptionError
			require.ErrorAs(t, err, &wrong, name)
			assert.Equal(t, one.option, wrong.Option, name)
			assert.NotEmpty(t, wrong.Want, name)
			assert.NotContains(t, err.Error(), "hunter2", name)
		}
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	w.add(2)
	ctx, cancel := context.WithCancelCause(w.ctx())
	defer cancel(nil)
	over := errors.New("over")
	var told []fleet.Status
	for s, err := range w.fleet.Control().Watch(ctx) {
		if err != nil {
			require.ErrorIs(t, err, over)
			break
		}
		told = append(told, s)
		switch len(told) {
		case 2: // both were yielded; changes come now
			_, err := w.fleet.Control().Remove(ctx, "r1")
			require.NoError(t, err)
		case 3:
			assert.Equal(t, "r1", s.ID)
			assert.True(t, s.Removed)
			w.worker("a")
		case 4:
			assert.Equal(t, "r0", s.ID)
			assert.Equal(t, "a", s.Worker)
			assert.NotZero(t, s.Fence)
			assert.NotEmpty(t, s.Session)
			cancel(over)
		}
	}
	assert.Len(t, told, 4)
	for range w.fleet.Control().Watch(w.ctx()) {
		break
	}
}

// Who watches does not notice that NATS was away.
func TestWatchOutlivesNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	address := w.address()
	server, err := fleet.Open(w.ctx(), fleet.WithListen(address, ""), fleet.WithDir(dir))
	require.NoError(t, err)
	looking, err := fleet.Open(w.ctx(), fleet.WithNATS(server.URL()))
	require.NoError(t, err)
	defer looking.Close()
	require.NoError(t, server.Control().Add(w.ctx(), w.spec("before")))

	var told []string
	stop := server.Close
	defer func() { stop() }()
	for s, err := range looking.Control().Watch(w.ctx()) {
		require.NoError(t, err)
		if told = append(told, s.ID); len(told) > 1 {
			break
		}
		stop()
		again, err := fleet.Open(w.ctx(), fleet.WithListen(address, ""), fleet.WithDir(dir))
		require.NoError(t, err)
		stop = again.Close
		require.NoError(t, again.Control().Add(w.ctx(), w.spec("after")))
	}
	assert.Equal(t, []string{"before", "after"}, told)
}

func TestMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	control := w.fleet.Control()
	w.worker("a")
	b := w.worker("b")
	room := w.roomOf("a", "b")
	require.NoError(t, control.Add(w.ctx(), w.spec(room)))
	w.until("a holds it", func(r map[string]fleet.Status) bool { return r[room].Worker == "a" })
	require.ErrorIs(t, control.Move(w.ctx(), "nowhere", "b"), fleet.ErrNoRoom)
	require.ErrorIs(t, control.Move(w.ctx(), room, "nobody"), fleet.ErrNoWorker)
	require.NoError(t, control.Move(w.ctx(), room, "b"))
	s, err := control.Get(w.ctx(), room)
	require.NoError(t, err)
	assert.Equal(t, "b", s.Worker)
	assert.Equal(t, "b", s.Pinned)

	// It stays b's when b is away for a while.
	b.stop()
	w.until("a holds it", func(r map[string]fleet.Status) bool { return r[room].Worker == "a" })
	w.worker("b")
	w.until("b holds it again", func(r map[string]fleet.Status) bool { return r[room].Worker == "b" })

	require.NoError(t, control.Move(w.ctx(), room, ""))
	w.until("it is where it was", func(r map[string]fleet.Status) bool { return r[room].Worker == "a" && r[room].Pinned == "" })
	require.NoError(t, control.Move(w.ctx(), room, ""), "once more")
}

func TestDrainAndStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	control := w.fleet.Control()
	_, err := control.Stats(w.ctx(), "a")
	require.ErrorIs(t, err, fleet.ErrNoWorker)
	require.ErrorIs(t, control.Drain(w.ctx(), "a"), fleet.ErrNoWorker)

	w.add(10)
	a := w.worker("a")
	w.until("a holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 10 })
	for range 10 {
		_, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return a.Stats().Open == 10 }, patience, tick)
	s, err := control.Stats(w.ctx(), "a")
	require.NoError(t, err)
	assert.Equal(t, "a", s.Name)
	assert.True(t, s.Ready)
	assert.Equal(t, 10, s.Rooms)
	assert.Equal(t, 10, s.Open)
	assert.EqualValues(t, 10, s.Taken)
	assert.Positive(t, s.Lease)
	var workers []fleet.WorkerStatus
	require.Eventually(t, func() bool { // it says so when it renews its lease
		workers, err = control.Workers(w.ctx())
		return err == nil && len(workers) == 1 && workers[0].Rooms == 10
	}, patience, tick)
	assert.Equal(t, "a", workers[0].Name)
	assert.Equal(t, s.Session, workers[0].Session)
	assert.False(t, workers[0].Draining)

	w.worker("b")
	require.NoError(t, control.Drain(w.ctx(), "a"))
	w.until("b holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["b"] == 10 })
	a.stop()
	require.ErrorIs(t, control.Drain(w.ctx(), "a"), fleet.ErrNoWorker)
	assert.EqualValues(t, 10, a.Stats().Released)
	assert.False(t, a.Ready())
	assert.False(t, a.Alive())
}
