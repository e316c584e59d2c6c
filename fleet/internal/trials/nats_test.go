package trials_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
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
	c.processes[i] = start(c.t, "nats", "NODE="+strconv.Itoa(i), "DIR="+c.dir,
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
