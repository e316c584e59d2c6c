package trials_test

import (
	"context"
	"errors"
	"fmt"
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
)

const nodes = 3

// A cluster is three NATS servers, each a process of its own.
type cluster struct {
	t         *testing.T
	dir       string
	ports     [nodes]int // for clients
	routes    [nodes]int
	processes [nodes]*process
	js        jetstream.JetStream // the test's own look at it
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	for i := range nodes {
		c.ports[i], c.routes[i] = freePort(t), freePort(t)
	}
	for i := range nodes {
		c.start(i)
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

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *cluster) start(i int) {
	c.t.Helper()
	c.processes[i] = start(c.t, nil, "nats", "NODE="+strconv.Itoa(i), "DIR="+c.dir,
		"PORTS="+strings.Trim(fmt.Sprint(c.ports), "[]"), "ROUTES="+strings.Trim(fmt.Sprint(c.routes), "[]"))
}

func (c *cluster) kill(i int) { c.processes[i].kill() }

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

// untilAnswers waits until one of some streams takes requests again, and tells when that was.
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
		require.Less(t, time.Since(began), patience, "waiting until %s", what)
	}
}

func runNATS() error {
	number := func(s string) (n int) { n, _ = strconv.Atoi(s); return n }
	i := number(os.Getenv("NODE"))
	routes := strings.Fields(os.Getenv("ROUTES"))
	o := &server.Options{
		ServerName: "node" + strconv.Itoa(i), Host: "127.0.0.1", Port: number(strings.Fields(os.Getenv("PORTS"))[i]),
		JetStream: true, StoreDir: filepath.Join(os.Getenv("DIR"), strconv.Itoa(i)), NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{Name: "trials", Host: "127.0.0.1", Port: number(routes[i]), NoAdvertise: true},
	}
	for _, r := range routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: "127.0.0.1:" + r})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}
