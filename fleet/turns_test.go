package fleet_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/placement"
	"github.com/wechatws/wechatws/wstest"
)

// Shards that are taken together do not all ask NATS together: what it cannot answer within
// the time that they wait is asked again, and then it never can.
func TestShardsTakeTurnsToAsk(t *testing.T) {
	t.Parallel()
	const rooms = 500
	srv := wstest.NewServer(wstest.WithoutRecords())
	defer srv.Close()
	w := &world{T: t, srv: srv}
	f, err := fleet.Open(w.ctx(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithDir(t.TempDir()))
	require.NoError(t, err)
	defer f.Close()
	w.fleet = f
	w.add(rooms)

	// A subscription to requests and answers counts how many are open.
	nc, err := nats.Connect(f.URL())
	require.NoError(t, err)
	defer nc.Close()
	var mu sync.Mutex
	open, asked, most := map[string]bool{}, 0, 0
	_, err = nc.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(m.Subject, "$JS.API.STREAM.MSG.GET.") {
			open[m.Reply] = true
			asked++
			most = max(most, len(open))
		}
		delete(open, m.Subject)
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())

	worker := w.worker("a")
	w.until("all are held", func(r map[string]fleet.Status) bool { return heldBy(r)["a"] == rooms })
	require.NoError(t, nc.Flush())
	worker.stop()

	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d questions, %d at once", asked, most)
	shards := map[int]bool{}
	for i := range rooms {
		shards[placement.Shard(fmt.Sprint("r", i), 4096)] = true
	}
	assert.GreaterOrEqual(t, asked, len(shards))
	assert.LessOrEqual(t, most, 64+8, "and a few that are not about one shard")
}
