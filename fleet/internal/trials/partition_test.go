package trials_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cutBetween takes two servers away from each other. Both reach the third one.
func (c *cluster) cutBetween(i, j int) {
	c.between[i][j].cut()
	c.between[j][i].cut()
}

// cutOneWay loses all that a server sends to another one. What that one answers arrives.
func (c *cluster) cutOneWay(from, to int) {
	c.between[from][to].cutWays(there)
	c.between[to][from].cutWays(back)
}

func (c *cluster) mendBetween(i, j int) {
	c.between[i][j].mend()
	c.between[j][i].mend()
}

// wipe removes all that a server that does not run has stored.
func (c *cluster) wipe(i int) {
	c.t.Helper()
	require.NoError(c.t, os.RemoveAll(filepath.Join(c.dir, strconv.Itoa(i))))
}

// Faults between NATS servers disturb no room: of three servers two that reach each other are enough.
func TestNetworksBetweenServers(t *testing.T) {
	rooms, rounds := size()
	c := newCluster(t)
	tr := newTrial(t, c, "between", lease, rooms/3, "a", "b", "c")
	for range rounds {
		for _, i := range tr.servers() {
			j := (i + 1) % nodes
			tr.run(fmt.Sprintf("NATS servers %d and %d of 3 are cut off from each other", i+1, j+1), func(s *scenario) {
				s.Logf("%d led %v, %d led %v", i+1, tr.ledBy(i), j+1, tr.ledBy(j))
				c.cutBetween(i, j)
				time.Sleep(away) // what it is about
				s.undisturbed()
				c.mendBetween(i, j)
				c.untilReplicated(s.T, tr.streams()...)
			})
			tr.run(fmt.Sprintf("NATS server %d of 3 does not hear %d", j+1, i+1), func(s *scenario) {
				s.Logf("%d led %v, %d led %v", i+1, tr.ledBy(i), j+1, tr.ledBy(j))
				c.cutOneWay(i, j)
				time.Sleep(away)
				s.undisturbed()
				c.mendBetween(i, j)
				c.untilReplicated(s.T, tr.streams()...)
			})
		}
		for _, i := range tr.servers() {
			tr.run(fmt.Sprintf("NATS server %d of 3 comes back with an empty store", i+1), func(s *scenario) {
				s.Logf("it led %v", tr.ledBy(i))
				c.kill(i)
				c.wipe(i)
				c.start(i)
				c.untilReplicated(s.T, tr.streams()...)
				s.undisturbed()
			})
		}
	}
	t.Log("\n" + tr.table())
}
