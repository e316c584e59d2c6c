package natssim

import "time"

// A group is the servers that agree on a stream, or on which streams there are. It has a leader if one of
// them has reached a majority for long enough.
type group struct {
	c      *Cluster
	peers  []*node
	leader *node
	// deposed is a server that was the leader and has not noticed that it is not. It answers reads.
	deposed  *node
	election int    // number of the one that is under way; elections before it do nothing
	elected  func() // called for a new leader
	waiting  []func()
}

const (
	// A follower waits for so long before it becomes a candidate, and up to twice that.
	electionTimeout = 2 * time.Second
	// A leader that has no majority notices that after so long.
	noticing = 10 * time.Second
)

// quorum reports whether n and those that it can talk with are a majority.
func (g *group) quorum(n *node) bool {
	if n == nil || !n.up {
		return false
	}
	count := 0
	for _, p := range g.peers {
		if g.c.both(n, p) {
			count++
		}
	}
	return count > len(g.peers)/2
}

// changed is called when servers or links have changed.
func (g *group) changed() {
	if g.deposed != nil && (!g.deposed.up || g.leader != nil && g.c.both(g.deposed, g.leader)) {
		g.deposed = nil
	}
	if g.quorum(g.leader) {
		g.election++ // none is needed
		waiting := g.waiting
		g.waiting = nil
		for _, do := range waiting {
			do()
		}
		return
	}
	g.elect(electionTimeout + time.Duration(g.c.rand.Int64N(int64(electionTimeout))))
}

// elect has another leader after d, if there is no majority for the leader then.
func (g *group) elect(d time.Duration) {
	g.election++
	number := g.election
	g.c.schedule(d, func() {
		if number != g.election {
			return
		}
		var candidates []*node
		for _, p := range g.peers {
			if g.quorum(p) {
				candidates = append(candidates, p)
			}
		}
		if len(candidates) == 0 {
			return // servers or links must change before there is one
		}
		if old := g.leader; old != nil && old.up {
			g.deposed = old
			g.c.schedule(noticing, func() {
				if g.deposed == old {
					g.deposed = nil
				}
			})
		}
		g.waiting = nil // what the former leader has proposed and not committed is lost
		g.leader = candidates[g.c.rand.IntN(len(candidates))]
		if g.elected != nil {
			g.elected()
		}
	})
}

// stepDown makes the leader step down, and another server the leader soon.
func (g *group) stepDown() {
	g.leader = nil
	g.waiting = nil
	g.elect(10*time.Millisecond + time.Duration(g.c.rand.Int64N(int64(200*time.Millisecond))))
}

// lose makes a server that has stopped no longer lead: it does not when it is started again.
func (g *group) lose(n *node) {
	if g.leader == n {
		g.leader = nil
		g.waiting = nil
	}
}

// from returns the server that answers a request which has come in at n as the leader, or nil.
func (g *group) from(n *node) *node {
	for _, l := range []*node{g.leader, g.deposed} {
		if l != nil && g.c.reach(n, l) {
			return l
		}
	}
	return nil
}

// commit calls do at once if n is the leader and has a majority. If n has none, it calls do when n has one
// again and is still the leader.
func (g *group) commit(n *node, do func()) {
	switch {
	case n != g.leader:
	case g.quorum(n):
		do()
	default:
		g.waiting = append(g.waiting, do)
	}
}

// changed is called when servers or links have changed.
func (c *Cluster) changed() {
	c.meta.changed()
	for _, s := range c.sorted() {
		s.group.changed()
		for _, p := range s.group.peers {
			s.replicate(p)
		}
		s.wakeConsumers()
	}
}
