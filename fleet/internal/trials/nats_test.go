package trials_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/freeport"
)

const nodes = 3

// A cluster is three NATS servers, each a process of its own.
type cluster struct {
	t         *testing.T
	dir       string
	store     int        // the bytes that each may store; 0: as many as NATS likes
	ports     [nodes]int // for clients
	routes    [nodes]int
	between   [nodes][nodes]*proxy // from one to another
	processes [nodes]*process
	js        jetstream.JetStream // the test's own look at it
}

func newCluster(t *testing.T) *cluster { return newClusterWithin(t, 0) }

func newClusterWithin(t *testing.T, store int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), store: store}
	for tries := 3; !c.begin(); tries-- {
		require.Positive(t, tries, "no NATS servers, with other ports each time")
	}
	nc, err := nats.Connect(c.url(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.PingInterval(time.Second), nats.Timeout(time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // servers are to be killed
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	c.js, err = jetstream.New(nc)
	require.NoError(t, err)
	return c
}

// begin starts all servers on ports of their own. It returns false if one of them could not
// listen: something else has taken a port since it was found free.
func (c *cluster) begin() bool {
	c.t.Helper()
	for i := range nodes {
		c.ports[i], c.routes[i] = freePort(c.t), freePort(c.t)
	}
	for i := range nodes {
		for _, j := range othersThan(i) {
			c.between[i][j] = newProxy(c.t, fmt.Sprint("127.0.0.1:", c.routes[j]))
		}
	}
	for i := range nodes {
		if err := c.launch(i); err != nil {
			c.t.Log(err)
			for j := range i {
				c.kill(j)
			}
			return false
		}
	}
	return true
}

func freePort(t *testing.T) (port int) {
	t.Helper()
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	_, text, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return port
}

// start starts a server where it was.
func (c *cluster) start(i int) {
	c.t.Helper()
	require.NoError(c.t, c.launch(i))
}

// launch starts a server and waits until it listens.
func (c *cluster) launch(i int) error {
	c.t.Helper()
	var peers []string
	for _, j := range othersThan(i) {
		peers = append(peers, c.between[i][j].addr())
	}
	lines, out := io.Pipe()
	p := launch(c.t, out, "nats", "NODE="+strconv.Itoa(i), "DIR="+c.dir, "STORE="+strconv.Itoa(c.store),
		fmt.Sprint("PORT=", c.ports[i]), fmt.Sprint("ROUTE=", c.routes[i]), "PEERS="+strings.Join(peers, " "))
	go func() {
		<-p.ended
		out.Close()
	}()
	var word string
	if _, err := fmt.Fscanln(lines, &word); err != nil || word != ready {
		p.kill()
		return fmt.Errorf("NATS server %d does not listen: %v\n%s", i+1, p.ProcessState, &p.errors)
	}
	p.mustStay(c.t)
	c.processes[i] = p
	return nil
}

func (c *cluster) kill(i int) { c.processes[i].kill() }

// cutOff takes a server away from its peers. Its clients reach it as before.
func (c *cluster) cutOff(i int) { c.withPeers(i, (*proxy).cut) }

func (c *cluster) mend(i int) { c.withPeers(i, (*proxy).mend) }

func (c *cluster) withPeers(i int, do func(*proxy)) {
	for _, j := range othersThan(i) {
		do(c.between[i][j])
		do(c.between[j][i])
	}
}

func othersThan(i int) []int {
	return slices.DeleteFunc([]int{0, 1, 2}, func(j int) bool { return j == i })
}

func (c *cluster) addr(i int) string { return fmt.Sprint("127.0.0.1:", c.ports[i]) }

func (c *cluster) url() string {
	var all []string
	for i := range nodes {
		all = append(all, "nats://"+c.addr(i))
	}
	return strings.Join(all, ",")
}

// stream is how a stream is, as its leader sees it.
func (c *cluster) stream(name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	if i := s.CachedInfo(); i.Cluster.Leader != "" {
		return i, nil
	}
	return nil, errors.New("it has no leader")
}

// leader is which server leads a stream.
func (c *cluster) leader(t *testing.T, stream string) (node int) {
	t.Helper()
	until(t, "there is a leader", func() bool {
		i, err := c.stream(stream)
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(i.Cluster.Leader, "node%d", &node)
		return err == nil
	})
	return node
}

// untilAnswers waits until one of some streams takes requests again, and returns when that was.
func (c *cluster) untilAnswers(t *testing.T, streams ...string) time.Time {
	t.Helper()
	until(t, "one answers", func() bool {
		return slices.ContainsFunc(streams, func(name string) bool { _, err := c.stream(name); return err == nil })
	})
	return time.Now()
}

// untilReplicated waits until all servers are up to date with these streams.
func (c *cluster) untilReplicated(t *testing.T, streams ...string) {
	t.Helper()
	for _, name := range streams {
		until(t, "all servers are up to date with "+name, func() bool {
			i, err := c.stream(name)
			return err == nil && len(i.Cluster.Replicas) == nodes-1 &&
				!slices.ContainsFunc(i.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
		})
	}
}

// until looks again and again until something has come about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
		require.False(t, t.Failed(), "not waiting any more until %s", what)
		require.Less(t, time.Since(began), patience, "waiting until %s", what)
	}
}

// ready is what a server prints when it listens.
const ready = "ready"

// fatal ends the process of a server that cannot go on, as when a port is taken. The server
// itself would stay, without listening.
type fatal struct{}

func (fatal) Fatalf(format string, v ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", v...)
	os.Exit(1)
}

func (fatal) Noticef(string, ...any) {}
func (fatal) Warnf(string, ...any)   {}
func (fatal) Errorf(string, ...any)  {}
func (fatal) Debugf(string, ...any)  {}
func (fatal) Tracef(string, ...any)  {}

func runNATS() error {
	number := func(s string) (n int) { n, _ = strconv.Atoi(s); return n }
	i := number(os.Getenv("NODE"))
	o := &server.Options{
		ServerName: "node" + strconv.Itoa(i), Host: "127.0.0.1", Port: number(os.Getenv("PORT")),
		JetStream: true, StoreDir: filepath.Join(os.Getenv("DIR"), strconv.Itoa(i)), JetStreamMaxStore: int64(number(os.Getenv("STORE"))),
		NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{
			Name: "trials", Host: "127.0.0.1", Port: number(os.Getenv("ROUTE")), NoAdvertise: true,
			Advertise: "127.0.0.1:1", // there is no way past the proxies
		},
	}
	for _, peer := range strings.Fields(os.Getenv("PEERS")) {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: peer})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.SetLogger(fatal{}, false, false)
	s.Start()
	if !s.ReadyForConnections(patience) {
		return errors.New("does not listen")
	}
	fmt.Println(ready)
	s.WaitForShutdown()
	return nil
}
