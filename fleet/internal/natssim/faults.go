package natssim

import (
	"slices"
	"time"
)

// SetFaults replaces the faults of requests and messages.
func (c *Cluster) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}

// Cut makes everything that one server sends to another one get lost, in this direction, until [Cluster.Heal].
func (c *Cluster) Cut(from, to int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts[[2]*node{c.nodes[from], c.nodes[to]}] = true
	c.changed()
}

// CutProcess makes nothing pass between a process and a server, without an error, until [Cluster.Heal].
func (c *Cluster) CutProcess(process string, server int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutProcesses[link{process, c.nodes[server]}] = true
}

// SlowCommits makes messages with a subject, which may have wildcards, be stored only after d. Until then a
// server refuses others with the subject, as a real one does while one with a condition is in process.
func (c *Cluster) SlowCommits(subject string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow[subject] = d
}

// Hide makes consumers that a process creates not show it messages with a subject, which may have wildcards:
// they are late.
func (c *Cluster) Hide(process, subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden[process] = append(c.hidden[process], subject)
}

// OnRead calls fn, with the cluster locked, before a leader reads the last message of a subject for a process.
// If fn returns a duration, the leader waits for so long and calls it again.
func (c *Cluster) OnRead(fn func(process, subject string) (wait time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onRead = fn
}

// Heal ends all cuts.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cuts)
	clear(c.cutProcesses)
	for _, n := range c.nodes {
		for _, k := range n.conns {
			k.parse()
			k.changed.Broadcast()
		}
	}
	c.changed()
}

// Stop stops a server, as the loss of its power does.
func (c *Cluster) Stop(server int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[server]
	n.up = false
	for _, k := range n.conns {
		k.end()
	}
	n.conns = nil
	c.meta.lose(n)
	for _, s := range c.sorted() {
		s.group.lose(n)
		s.loseConsumers(n)
	}
	c.changed()
}

// Start starts a server again.
func (c *Cluster) Start(server int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[server].up = true
	c.changed()
}

// Wipe empties the store of a server that is stopped. A stream without another replica is gone.
func (c *Cluster) Wipe(server int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[server]
	for _, s := range c.sorted() {
		if s.replicas[n] == nil {
			continue
		}
		if len(s.group.peers) == 1 {
			c.remove(s)
			continue
		}
		s.replicas[n] = newStore(s)
	}
}

// Kill ends all connections of a process, which cannot connect any more, as the loss of the process does.
func (c *Cluster) Kill(process string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed[process] = true
	for _, n := range c.nodes {
		for _, k := range slices.Clone(n.conns) {
			if k.process == process {
				k.end()
				n.forget(k)
			}
		}
	}
}

// DeleteConsumers deletes all consumers of a stream, as another program may do.
func (c *Cluster) DeleteConsumers(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[name]; s != nil {
		for _, k := range s.sortedConsumers() {
			k.end("409 Consumer Deleted")
		}
	}
}

// DeleteStream deletes a stream, as another program may do.
func (c *Cluster) DeleteStream(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[name]; s != nil {
		c.remove(s)
	}
}

// Forget makes a stream lose the messages whose subjects match, as a server does that was lost before its
// disk had them. No watcher is notified.
func (c *Cluster) Forget(name, filter string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[name]; s != nil && s.group.leader != nil {
		s.apply(purge(filter, 0))
	}
}

// StepDown makes the leader of a stream step down. Another one is elected soon.
func (c *Cluster) StepDown(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[name]; s != nil {
		s.group.stepDown()
	}
}

// Streams returns the names of all streams.
func (c *Cluster) Streams() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sorted() {
		names = append(names, s.cfg.Name)
	}
	return names
}

// A Stored is a message that a stream has stored, whether or not it was removed since.
type Stored struct {
	Stream, Subject string
	Seq             uint64
	Header, Data    []byte
	At              time.Time
}

// OnStore calls fn with each message that a stream stores, with the cluster locked.
func (c *Cluster) OnStore(fn func(Stored)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onStore = fn
}
