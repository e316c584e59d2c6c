package natssim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Cluster is a NATS cluster of some servers, or one server. Make one with [New] in the bubble in which
// its clients are.
type Cluster struct {
	mu     sync.Mutex
	rand   *rand.Rand
	nodes  []*node
	events events
	number int         // of events
	timer  *time.Timer // of the next event
	last   map[path]time.Time
	closed bool

	meta    *group
	streams map[string]*stream

	cuts         map[[2]*node]bool
	cutProcesses map[link]bool
	killed       map[string]bool // processes
	faults       Faults
	slow         map[string]time.Duration // by subject, see SlowCommits
	inProcess    map[string]bool          // subjects
	hidden       map[string][]string      // subjects, by process
	onRead       func(process, subject string) time.Duration
	onStore      func(Stored)
}

// Faults are what goes wrong with requests to JetStream, and with what servers send to each other.
type Faults struct {
	// Of a thousand requests to JetStream, so many are lost on their way, are answered without the answer
	// arriving, are executed late, and are answered late.
	LoseRequest, LoseAnswer, Late, LateAnswer int
	// LateBy is the longest delay of a late request or answer.
	LateBy time.Duration
	// LoseMessage is how many of a thousand other messages are lost between two servers.
	LoseMessage int
	// Hop is the longest delay between two servers, and of a command of a client; the default is 1 ms.
	Hop time.Duration
	// Lag is the longest time for which a replica is behind its leader; the default is 1 ms.
	Lag time.Duration
	// Full refuses all publications to streams.
	Full bool
}

// A node is one server.
type node struct {
	number     int
	name, host string
	up         bool
	conns      []*conn
}

func (n *node) forget(k *conn) {
	n.conns = slices.DeleteFunc(n.conns, func(other *conn) bool { return other == k })
}

type link struct {
	process string
	n       *node
}

// A path is what messages cannot overtake each other on.
type path struct {
	from any
	to   *node
}

// New makes a cluster of so many servers.
func New(seed uint64, servers int) *Cluster {
	c := &Cluster{
		rand: rand.New(rand.NewPCG(seed, 0)), last: map[path]time.Time{}, streams: map[string]*stream{},
		cuts: map[[2]*node]bool{}, cutProcesses: map[link]bool{}, killed: map[string]bool{}, slow: map[string]time.Duration{}, inProcess: map[string]bool{}, hidden: map[string][]string{},
	}
	for i := range servers {
		c.nodes = append(c.nodes, &node{number: i, name: fmt.Sprint("n", i+1), host: fmt.Sprint("10.0.0.", i+1), up: true})
	}
	c.meta = &group{c: c, peers: c.nodes}
	c.meta.leader = c.nodes[c.rand.IntN(servers)]
	return c
}

// Close ends all connections. Nothing happens after it.
func (c *Cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	for _, n := range c.nodes {
		for _, k := range n.conns {
			k.end()
		}
	}
}

// URLs returns the URLs of all servers, beginning with one of them.
func (c *Cluster) URLs(first int) string {
	var list []string
	for i := range c.nodes {
		list = append(list, "nats://"+c.nodes[(first+i)%len(c.nodes)].host+":4222")
	}
	return strings.Join(list, ",")
}

// A Dialer connects one process. It is a custom dialer of the NATS client.
type Dialer struct {
	c       *Cluster
	process string
}

// Dialer returns the dialer of a process.
func (c *Cluster) Dialer(process string) Dialer { return Dialer{c, process} }

// Dial connects to the server at an address.
func (d Dialer) Dial(_, address string) (net.Conn, error) { return d.c.dial(d.process, address) }

func (c *Cluster) at(address string) *node {
	for _, n := range c.nodes {
		if n.host+":4222" == address {
			return n
		}
	}
	return nil
}

// An event is something that happens at a time.
type event struct {
	at     time.Time
	number int
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// schedule calls do after d, with mu held.
func (c *Cluster) schedule(d time.Duration, do func()) { c.scheduleAt(time.Now().Add(d), do) }

func (c *Cluster) scheduleAt(at time.Time, do func()) {
	c.number++
	heap.Push(&c.events, event{at, c.number, do})
	c.arm()
}

// after is schedule, and what goes the same way before arrives before.
func (c *Cluster) after(from any, to *node, d time.Duration, do func()) {
	at := time.Now().Add(d)
	if last := c.last[path{from, to}]; at.Before(last) {
		at = last
	}
	c.last[path{from, to}] = at
	c.scheduleAt(at, do)
}

func (c *Cluster) arm() {
	if len(c.events) == 0 || c.closed {
		return
	}
	d := max(0, time.Until(c.events[0].at))
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.run)
		return
	}
	c.timer.Reset(d)
}

// run executes the events that are due.
func (c *Cluster) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && len(c.events) > 0 && !c.events[0].at.After(time.Now()) {
		heap.Pop(&c.events).(event).do()
	}
	c.arm()
}

// hop returns the time that one step takes.
func (c *Cluster) hop() time.Duration {
	most := time.Millisecond
	if c.faults.Hop > 0 {
		most = c.faults.Hop
	}
	return time.Duration(c.rand.Int64N(int64(most)))
}

// chance reports true for so many of a thousand calls.
func (c *Cluster) chance(perMille int) bool { return perMille > 0 && c.rand.IntN(1000) < perMille }

// reach reports whether what a sends arrives at b.
func (c *Cluster) reach(a, b *node) bool {
	return a.up && b.up && (a == b || !c.cuts[[2]*node{a, b}])
}

// both reports whether a and b reach each other.
func (c *Cluster) both(a, b *node) bool { return c.reach(a, b) && c.reach(b, a) }
