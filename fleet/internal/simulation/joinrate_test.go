package simulation_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// A worker connects to the rooms that it has taken no faster than it may.
func TestRoomsAreConnectedToAtTheJoinRate(t *testing.T) {
	virtual(t, 19, 3, 30, func(w *world) {
		var mu sync.Mutex
		var conns []time.Time
		w.backend.srv.OnConn(func(c *wstest.Conn) {
			w.account.connected(c)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, time.Now())
		})
		p := w.open("a", 0).work(fleet.WithJoinRate(5))
		w.within(15*time.Second, "the worker holds all rooms", func() []string { return missing(p, 30) })
		mu.Lock()
		defer mu.Unlock()
		slices.SortFunc(conns, time.Time.Compare)
		for n := range len(conns) - 6 { // a handshake takes a little, which may differ
			assert.Greater(w, conns[n+6].Sub(conns[n]), time.Second, "6 connections after number %d", n+1)
		}
	})
}
