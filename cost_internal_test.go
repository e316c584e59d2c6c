//go:build !race

package wechatws

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/internal/ws"
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

// A message is encoded with the allocations of json.Marshal.
func TestEncodingAllocatesWhatJSONMarshalDoes(t *testing.T) {
	allocations := func(marshal func(any) ([]byte, error)) float64 {
		return testing.AllocsPerRun(1000, func() { _, _ = marshal(&answer) })
	}
	assert.LessOrEqual(t, allocations(jsonCodec{}.Marshal), allocations(json.Marshal))
}

// The parts of an idle client are no larger than a size class of the allocator, which adds eight bytes
// to what is larger than 512.
func TestAnIdleClientIsSmall(t *testing.T) {
	for _, tt := range []struct {
		part       string
		size, most uintptr
	}{
		{"Client", unsafe.Sizeof(Client{}), 1152 - 8},
		{"config", unsafe.Sizeof(config{}), 480},
		{"link", unsafe.Sizeof(link{}), 1152 - 8},
		{"session", unsafe.Sizeof(session{}), 256},
		{"ws.Conn", unsafe.Sizeof(ws.Conn{}), 768 - 8},
	} {
		assert.LessOrEqual(t, tt.size, tt.most, tt.part)
	}
}
