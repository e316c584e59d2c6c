package fleet_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// However many rooms of a partition are behind, their messages take no more memory than a partition may have.
func TestTheMemoryOfAPartitionIsBounded(t *testing.T) {
	const (
		rooms, each, partitions = 60, 8, 16
		size                    = 64 << 10
		parallel                = 4
		most                    = 64<<20/partitions + (parallel+1)*(size+1000)
	)
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""), fleet.WithPartitions(partitions))
	var names []string
	for n := 0; len(names) < rooms; n++ {
		if name := fmt.Sprint("room", n); placement.Hash(name)%partitions == 0 {
			names = append(names, name)
		}
	}
	js := w.jetStream()
	for range each {
		for _, name := range names {
			m := nats.NewMsg("wechatws.in.0." + name + ".large")
			m.Header = nats.Header{"Fleet-Type": {"large"}, "Fleet-Worker": {"a"}}
			m.Data = []byte(strings.Repeat("x", size))
			_, err := js.PublishMsg(w.ctx(), m)
			require.NoError(t, err)
		}
	}
	h := w.handlers(fleet.WithParallel(parallel))
	var mu sync.Mutex
	var largest int64
	handled := 0
	h.OnMessage(func(context.Context, fleet.Message) error {
		time.Sleep(15 * time.Millisecond) // longer than a turn of a room
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, h.Stats().Bytes)
		handled++
		return nil
	})
	w.runHandlers(h)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return handled == rooms*each
	}, patience, tick)
	assert.LessOrEqual(t, largest, int64(most))
	assert.Greater(t, largest, int64(most/2))
}
