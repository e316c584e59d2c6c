package inspect

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/wechatws/wechatws"
)

// clients are those that were given to Add.
type clients struct {
	changes atomic.Uint64 // how many times any of them has changed at once
	seen    uint64        // of these; guarded by mu

	mu    sync.Mutex
	list  []*watched // in the order in which they were added
	added int        // how many there ever were
}

func (c *clients) add(name string, client *wechatws.Client) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added++
	w := watch(strconv.Itoa(c.added), name, client, &c.changes)
	c.list = append(c.list, w)
	return func() {
		w.unwatch()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = slices.DeleteFunc(c.list, func(one *watched) bool { return one == w })
	}
}

// look calls see with every client, or, if all is false, with those whose state has changed.
// It does not block.
func (c *clients) look(all bool, see func(*row)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := c.changes.Load()
	if !all && changes == c.seen {
		return
	}
	c.seen = changes
	var r row
	for _, w := range c.list {
		if w.look(all, &r) {
			see(&r)
		}
	}
}

// reconnect calls Reconnect of a client, or returns errNoClient.
func (c *clients) reconnect(id string) error {
	c.mu.Lock()
	at := slices.IndexFunc(c.list, func(one *watched) bool { return one.id == id })
	if at < 0 {
		c.mu.Unlock()
		return errNoClient
	}
	client := c.list[at].client
	c.mu.Unlock()
	return client.Reconnect()
}
