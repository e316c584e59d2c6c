package fleet_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// Each mistake of the function that connects is reported, and it is called again after 5 s.
func TestConnectIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	tried, told := map[string]int{}, map[string][]error{}
	failed := errors.New("failed")
	bare, err := wechatws.New(w.srv.URL())
	require.NoError(t, err)
	w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
		if r.URL.Query().Get("refuse") != "" {
			return wstest.Status(http.StatusForbidden, nil, "no")
		}
		return wstest.Accept()
	})
	a := w.workerReporting(func(room string, err error) {
		mu.Lock()
		defer mu.Unlock()
		told[room] = append(told[room], err)
		switch room { // what OnError does wrong ends nothing
		case "panic":
			panic("another bug")
		case "exit":
			runtime.Goexit()
		}
	}, func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		mu.Lock()
		tried[r.ID]++
		first := tried[r.ID] == 1
		mu.Unlock()
		if first {
			switch r.ID {
			case "error":
				return nil, failed
			case "panic":
				panic("a bug")
			case "exit":
				runtime.Goexit()
			case "closed":
				c, err := quietly(ctx, r)
				if err == nil {
					c.OnOpen(func(context.Context, wechatws.OpenEvent) { _ = c.CloseNow() })
				}
				return c, err
			case "connected":
				c, err := quietly(ctx, r)
				if err == nil {
					err = c.Connect(ctx)
				}
				return c, err
			case "misused":
				c, err := quietly(ctx, r)
				if err == nil {
					c.OnOpen(nil)
				}
				return c, err
			case "nil":
				return nil, nil
			case "bare":
				return bare, nil
			case "option":
				return r.NewClient(r.Endpoint, wechatws.WithReadLimit(-5))
			case "refused":
				return r.NewClient(r.Endpoint + "&refuse=yes")
			}
		}
		return quietly(ctx, r)
	}, fleet.WithWorkerName("a"))
	rooms := []string{"error", "panic", "exit", "closed", "connected", "misused", "nil", "bare", "option", "refused"}
	for _, room := range rooms {
		require.NoError(t, w.fleet.Control().Add(w.ctx(), w.spec(room)))
	}
	require.Eventually(t, func() bool { return a.Stats().Open == len(rooms) }, patience, tick)
	mu.Lock()
	defer mu.Unlock()
	for _, room := range rooms {
		assert.Equal(t, 2, tried[room], room)
		assert.Len(t, told[room], 1, room)
	}
	require.ErrorIs(t, told["error"][0], failed)
	var panicked *wechatws.PanicError
	require.ErrorAs(t, told["panic"][0], &panicked)
	assert.Equal(t, "a bug", panicked.Value)
	require.ErrorAs(t, told["exit"][0], &panicked)
	assert.ErrorContains(t, panicked, "Goexit")
	require.ErrorIs(t, told["closed"][0], wechatws.ErrClosed)
	require.ErrorIs(t, told["connected"][0], wechatws.ErrAlreadyConnected)
	require.ErrorContains(t, told["misused"][0], "OnOpen")
	assert.Contains(t, told["nil"][0].Error(), "Room.NewClient")
	assert.Contains(t, told["bare"][0].Error(), "Room.NewClient")
	var wrong *wechatws.OptionError
	require.ErrorAs(t, told["option"][0], &wrong)
	var refused *wechatws.DialError
	require.ErrorAs(t, told["refused"][0], &refused)
	assert.EqualValues(t, len(rooms), a.Stats().Errors)
}

// Of two workers with one name the younger gets the rooms, and the other can go.
func TestTwoWorkersWithOneName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(20)
	elder := w.worker("a")
	w.until("it holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 20 })
	old := elder.Stats().Session
	younger := w.worker("a")
	w.until("the younger holds all", func(r map[string]fleet.Status) bool {
		for _, s := range r {
			if s.Worker != "a" || s.Session == old {
				return false
			}
		}
		return len(r) == 20
	})
	workers, err := w.fleet.Control().Workers(w.ctx())
	require.NoError(t, err)
	assert.Len(t, workers, 2)
	elder.stop()
	require.Eventually(t, func() bool { return younger.Stats().Rooms == 20 }, patience, tick, "it has read all that it was handed")
	assert.EqualValues(t, 20, younger.Stats().Taken)
	assert.Zero(t, elder.Stats().Rooms)
}

// A worker hands its rooms over at the rate of WithMoveRate, one after the other.
func TestMoveRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(20)
	a := w.workerWith(quietly, fleet.WithWorkerName("a"), fleet.WithMoveRate(20))
	w.until("it holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == 20 })
	w.worker("b")
	require.Eventually(t, func() bool { return len(w.srv.Conns()) >= 20 }, patience, tick)
	began := time.Now()
	a.stop()
	// A ticker comes late, but never early: the first turn is a twentieth of a second after the beginning.
	assert.GreaterOrEqual(t, time.Since(began), 20*time.Second/20-50*time.Millisecond)
	w.until("b holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["b"] == 20 })
}

// A worker that is drained while it hands rooms over to one that has joined hands all of them over in
// time, and drops none.
func TestDrainDuringAHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rooms = 60
	w.add(rooms)
	a := w.workerWith(quietly, fleet.WithWorkerName("a"), fleet.WithMoveRate(1), fleet.WithDrainTimeout(15*time.Second))
	w.until("it holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == rooms })
	require.Eventually(t, func() bool { return a.Stats().Open == rooms }, patience, tick)
	w.worker("b")
	w.until("it hands over", func(r map[string]fleet.Status) bool { return heldBy(r)["b"] > 0 })
	a.stop()
	assert.EqualValues(t, rooms, a.Stats().Released, "all are handed over")
	w.until("b holds all", func(r map[string]fleet.Status) bool { return heldBy(r)["b"] == rooms })
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	worker, err := w.fleet.NewWorker(quietly, fleet.WithWorkerName("a"))
	require.NoError(t, err)
	ask := func(path string) int {
		r := httptest.NewRecorder()
		worker.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
		assert.NotEmpty(t, r.Body.String())
		return r.Code
	}
	assert.Equal(t, "a", worker.Name())
	assert.Equal(t, http.StatusServiceUnavailable, ask("/healthz"))
	assert.Equal(t, http.StatusServiceUnavailable, ask("/healthz/ready"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	require.Eventually(t, worker.Ready, patience, tick)
	assert.Equal(t, http.StatusOK, ask("/healthz"))
	assert.Equal(t, http.StatusOK, ask("/healthz/ready"))
	assert.Equal(t, http.StatusOK, ask("/ready"))
	require.Error(t, worker.Run(ctx), "it has run already")
	assert.Equal(t, http.StatusOK, ask("/healthz"), "and still does")
	cancel()
	require.NoError(t, <-ended)
	assert.Equal(t, http.StatusServiceUnavailable, ask("/healthz"))
	assert.Equal(t, http.StatusServiceUnavailable, ask("/ready"))
}

func TestSecrets(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from a file\n"), 0o600))
	t.Setenv("FLEET_TEST_SECRET", "from the environment")
	type looked struct {
		secret string
		err    error
	}
	got := make(chan map[string]looked, 1)
	w.workerWith(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		found := map[string]looked{}
		for _, name := range []string{"env", "file", "unset", "no file", "other", "none"} {
			s, err := r.Secret(ctx, name)
			found[name] = looked{s, err}
		}
		got <- found
		return quietly(ctx, r)
	}, fleet.WithWorkerName("a"), fleet.WithSecrets(fleet.LookUpSecret("env:FLEET_TEST_*", "file:"+filepath.Dir(file)+"/")))
	spec := w.spec("r")
	spec.Secrets = map[string]string{
		"env": "env:FLEET_TEST_SECRET", "file": "file:" + file, "unset": "env:FLEET_TEST_NO_SECRET",
		"no file": "file:" + file + ".none", "other": "vault:x",
	}
	require.NoError(t, w.fleet.Control().Add(w.ctx(), spec))
	found := <-got
	assert.Equal(t, looked{secret: "from the environment"}, found["env"])
	assert.Equal(t, looked{secret: "from a file"}, found["file"])
	require.ErrorContains(t, found["unset"].err, "FLEET_TEST_NO_SECRET")
	require.ErrorIs(t, found["no file"].err, os.ErrNotExist)
	require.ErrorContains(t, found["other"].err, "not permitted")
	require.ErrorContains(t, found["none"].err, `no secret "none"`)
	w.conn("r")
	s, err := w.fleet.Control().Get(w.ctx(), "r")
	require.NoError(t, err)
	assert.Equal(t, spec, s.Spec, "references, and nothing else")
}

func TestNewWorkerReportsEveryWrongOptionByName(t *testing.T) {
	w := newWorld(t)
	for _, one := range []struct {
		connect connectFunc
		given   fleet.WorkerOption
		option  string
	}{
		{nil, fleet.WithMoveRate(1), "fleet.NewWorker"},
		{quietly, nil, "fleet.NewWorker"},
		{quietly, fleet.WithWorkerName(strings.Repeat("x", 129)), "fleet.WithWorkerName"},
		{quietly, fleet.WithWorkerName(""), "fleet.WithWorkerName"},
		{quietly, fleet.WithSecrets(nil), "fleet.WithSecrets"},
		{quietly, fleet.WithMoveRate(0), "fleet.WithMoveRate"},
		{quietly, fleet.WithMoveRate(math.NaN()), "fleet.WithMoveRate"},
		{quietly, fleet.WithDrainTimeout(0), "fleet.WithDrainTimeout"},
	} {
		_, err := w.fleet.NewWorker(one.connect, one.given)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, one.option)
		assert.Equal(t, one.option, wrong.Option)
		assert.NotEmpty(t, wrong.Want)
	}
	_, err := w.fleet.NewWorker(quietly, fleet.WithMoveRate(-1), fleet.WithMoveRate(1))
	require.NoError(t, err, "the later one replaces the earlier one's mistake")
	worker, err := w.fleet.NewWorker(quietly)
	require.NoError(t, err)
	assert.NotEmpty(t, worker.Name())
	worker.Drain()
	worker.Drain()
	require.NoError(t, worker.Run(t.Context()), "it was drained before")
}
