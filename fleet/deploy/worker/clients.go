package main

import (
	"context"
	"sync"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/metrics/wsprom"
)

// clients exports the rooms' clients to Prometheus, all as one. It has the newest client of each room:
// when one has failed permanently, the worker makes another.
type clients struct {
	*wsprom.Collector

	mu     sync.Mutex
	byRoom map[string]*reported
}

type reported struct{ remove func() }

func newClients() *clients {
	return &clients{Collector: wsprom.New(wsprom.WithAggregation()), byRoom: map[string]*reported{}}
}

// add reports a room's client until the room is given up, which ends ctx, or another client is
// added.
func (c *clients) add(ctx context.Context, room string, client *wechatws.Client) {
	r := &reported{c.Add(room, client)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.byRoom[room]; before != nil {
		before.remove()
	}
	c.byRoom[room] = r
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.remove()
		if c.byRoom[room] == r {
			delete(c.byRoom, room)
		}
	})
}
