package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/inspect"
)

// Rows brings the clients of all workers, and what has gone wrong with them.
func TestRows(t *testing.T) {
	w := newWorld(t)
	w.add(300) // more than a worker puts into one message
	w.worker("a")
	w.worker("b")
	w.until("both hold rooms", func(r map[string]fleet.Status) bool {
		n := heldBy(r)
		return n["a"]+n["b"] == 300 && n["a"] > 100 && n["b"] > 100
	})
	require.NoError(t, w.fleet.Control().Add(w.ctx(), fleet.Spec{ID: "wrong", Endpoint: "ws://127.0.0.1:1?token=secret"}))

	rows := w.fleet.Rows()
	seen := map[string]inspect.Row{}
	where := map[string]int{}
	require.Eventually(t, func() bool {
		clear(seen)
		clear(where)
		for r := range rows {
			seen[r.Name] = r
			where[r.Where]++
		}
		return len(seen) == 301 && seen["wrong"].Stats.LastError != nil && seen["r0"].Stats.State == wechatws.StateOpen
	}, patience, 20*time.Millisecond)
	assert.Greater(t, where["a"], 100)
	assert.Greater(t, where["b"], 100)
	wrong := seen["wrong"].Stats
	assert.Equal(t, wechatws.StateWaiting, wrong.State)
	assert.NotContains(t, wrong.LastError.Error(), "secret")
	assert.WithinDuration(t, time.Now(), wrong.LastErrorAt, time.Minute)
	assert.WithinDuration(t, time.Now(), seen["r0"].Stats.Since, time.Minute)
}

// An error of a server may be of any length, and the rows of a worker must fit into one message.
func TestRowsTellTheBeginningOfAnError(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	long := func(context.Context, int, error) (wechatws.Endpoint, error) {
		return wechatws.Endpoint{}, errors.New(strings.Repeat("äöü", 10_000))
	}
	w.workerWith(func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
		return r.NewClient("", wechatws.WithEndpoint(long))
	}, fleet.WithWorkerName("a"))
	rows := w.fleet.Rows()
	var said error
	require.Eventually(t, func() bool {
		for r := range rows {
			said = r.Stats.LastError
		}
		return said != nil
	}, patience, 20*time.Millisecond)
	assert.Less(t, len(said.Error()), 600)
	assert.True(t, utf8.ValidString(said.Error()))
	assert.Contains(t, said.Error(), "äöü")
}
