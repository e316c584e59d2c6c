//go:build !race

package wechatws

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// A message alone costs the context of its callbacks, and a copy of its data where that may be
// retained. Under the race detector a sync.Pool drops some of what it is given.
func TestAllocationsOfALoneMessage(t *testing.T) {
	for name, test := range map[string]struct {
		noCopy bool
		most   float64
	}{"OnMessage": {false, 2}, "OnMessageNoCopy": {true, 1}} {
		for where, deliver := range map[string]func(l *link, b *batch){
			"on the reader goroutine":     func(l *link, b *batch) { l.reader.Put(b, b.at, 1, b.size()) },
			"on the goroutine of its own": func(l *link, b *batch) { l.client.inbox.Put(b, 1, b.size(), l) },
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // in virtual time no hand-off is due
					c, l, f := feedClient(t)
					received := make(chan struct{}, 1)
					on := c.OnMessage
					if test.noCopy {
						on = c.OnMessageNoCopy
					}
					on(func(context.Context, Message) { received <- struct{}{} })
					assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
						f.put(comment)
						deliver(l, f.batch(l))
						<-received
					}), test.most)
				})
			})
		}
	}
}

// A message that requests wait for costs each of them a call of match, and no memory: its type is
// found once, and it is copied only for the request that takes it.
func TestWaitingRequestsAllocateNothing(t *testing.T) {
	for _, n := range []int{0, 1000} {
		assert.Zero(t, testing.AllocsPerRun(100, passOf(t, requestsOf(n)...)), "%d requests", n)
		assert.Zero(t, testing.AllocsPerRun(100, passOf(t, calls(n)...)), "%d calls", n)
	}
}
