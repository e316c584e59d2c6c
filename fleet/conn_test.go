package fleet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// ownConn is a connection as WithConn needs it.
func (w *world) ownConn(url string, options ...nats.Option) *nats.Conn {
	w.Helper()
	nc, err := nats.Connect(url, append(options, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))...)
	require.NoError(w, err)
	w.Cleanup(nc.Close)
	return nc
}

// A connection of the program serves several fleets, and is open when they are closed.
func TestWithConn(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	nc := w.ownConn(w.fleet.URL())
	for _, name := range []string{"one", "two"} {
		f, err := fleet.Open(w.ctx(), fleet.WithConn(nc), fleet.WithName(name))
		require.NoError(t, err)
		w.fleet = f
		a := w.worker("a")
		require.NoError(t, f.Control().Add(w.ctx(), w.spec("r")))
		require.NoError(t, f.Send(w.ctx(), "r", "hello"))
		assert.Equal(t, `"hello"`, w.receive(w.conn("r")))
		a.stop()
		f.Close()
		assert.True(t, nc.IsConnected())
		assert.Zero(t, nc.NumSubscriptions()-1, "but that of the connection's own requests")
	}

	nc.Close()
	_, err := fleet.Open(w.ctx(), fleet.WithConn(nc))
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

// What would break a promise of the fleet is refused.
func TestWithConnRefusesConnections(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	buffered, err := nats.Connect(w.fleet.URL(), nats.MaxReconnects(-1))
	require.NoError(t, err)
	defer buffered.Close()
	ending, err := nats.Connect(w.fleet.URL(), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	defer ending.Close()
	for want, nc := range map[string]*nats.Conn{"ReconnectBufSize(-1)": buffered, "MaxReconnects(-1)": ending, "nil": nil} {
		_, err := fleet.Open(w.ctx(), fleet.WithConn(nc))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, "fleet.WithConn", wrong.Option)
		assert.Contains(t, wrong.Want, want)
	}
	good := w.ownConn(w.fleet.URL())
	for option, given := range map[string][]fleet.Option{
		"fleet.WithDir":       {fleet.WithDir(t.TempDir()), fleet.WithConn(good)},
		"fleet.WithListen":    {fleet.WithListen("127.0.0.1:0", ""), fleet.WithConn(good)},
		"fleet.WithAPIPrefix": {fleet.WithAPIPrefix("$JS.hub.API")},
	} {
		_, err := fleet.Open(w.ctx(), given...)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, option, wrong.Option)
	}
	for _, prefix := range []string{"", ".", "a.", ".a", "a..b", "a b", "*", "a.>"} {
		_, err := fleet.Open(w.ctx(), fleet.WithConn(good), fleet.WithAPIPrefix(prefix))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, "fleet.WithAPIPrefix", wrong.Option)
	}
}

// natsServer starts a NATS server for the test.
func (w *world) natsServer(o *server.Options) *server.Server {
	w.Helper()
	o.NoSigs, o.NoLog = true, true
	if o.Host == "" {
		o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	}
	if o.JetStream && o.StoreDir == "" {
		o.StoreDir = w.TempDir()
	}
	s, err := server.NewServer(o)
	require.NoError(w, err)
	s.Start()
	w.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(w, s.ReadyForConnections(10*time.Second))
	return s
}

// A fleet is reached in the domain of a hub, through a leaf node that has a JetStream of its own.
func TestWithAPIPrefixOfADomain(t *testing.T) {
	w := newWorld(t)
	host, number, err := net.SplitHostPort(w.address())
	require.NoError(t, err)
	port, err := strconv.Atoi(number)
	require.NoError(t, err)
	w.natsServer(&server.Options{ServerName: "hub", JetStream: true, JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: host, Port: port}})
	remote, err := url.Parse("nats-leaf://" + net.JoinHostPort(host, number))
	require.NoError(t, err)
	leaf := w.natsServer(&server.Options{ServerName: "leaf", JetStream: true, JetStreamDomain: "leaf",
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}}})
	require.Eventually(t, func() bool { return leaf.NumLeafNodes() == 1 }, patience, tick)

	f, err := fleet.Open(w.ctx(), fleet.WithNATS(leaf.ClientURL()), fleet.WithAPIPrefix("$JS.hub.API"))
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	a := w.worker("a")
	w.add(1)
	conn := w.conn("r0")
	require.NoError(t, f.Send(w.ctx(), "r0", "hello"))
	assert.Equal(t, `"hello"`, w.receive(conn))
	h := w.handle("g")
	require.NoError(t, conn.Send(`{"msg_type":"hi"}`))
	assert.Equal(t, "hi", h.next().Type)
	_, err = f.Control().Remove(w.ctx(), "r0")
	require.NoError(t, err)
	a.stop()

	_, err = fleet.Open(w.ctx(), fleet.WithNATS(leaf.ClientURL()), fleet.WithAPIPrefix("$JS.leaf.API"), fleet.WithExisting())
	require.ErrorIs(t, err, fleet.ErrNoFleet, "it is in the hub only")
}

// Each request to JetStream is made by one function, which knows the domain.
func TestNoSubjectOfJetStreamIsWrittenOut(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "conn.go" {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.False(t, strings.Contains(string(text), `"$JS.API.`), "%s: use Fleet.api", file)
	}
}

// certificate makes a certificate for 127.0.0.1, and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// Beyond loopback the embedded server needs a token and TLS. Its own process needs no certificate.
func TestListeningWithTLS(t *testing.T) {
	cert, pool := certificate(t)
	const token = "s3cret"
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, given := range [][]fleet.Option{
		{fleet.WithListen("0.0.0.0:0", ""), fleet.WithListenTLS(config)},
		{fleet.WithListen("0.0.0.0:0", token)},
		{fleet.WithListenTLS(config)},
		{fleet.WithListen("0.0.0.0:0", token), fleet.WithListenTLS(nil)},
		{fleet.WithListen("0.0.0.0:0", token), fleet.WithListenTLS(&tls.Config{})},
	} {
		f, err := fleet.Open(t.Context(), given...)
		if err == nil {
			f.Close()
		}
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong)
	}
	w := newWorldOf(t, fleet.WithListen("0.0.0.0:0", token), fleet.WithListenTLS(config))
	at, err := url.Parse(w.fleet.URL())
	require.NoError(t, err)
	address := "nats://127.0.0.1:" + at.Port()
	_, err = nats.Connect(address, nats.Token(token))
	require.Error(t, err, "it does not trust the certificate")
	_, err = nats.Connect(address, nats.Secure(&tls.Config{RootCAs: pool}))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(address, nats.Token(token), nats.Secure(&tls.Config{RootCAs: pool})), fleet.WithExisting())
	require.NoError(t, err)
	t.Cleanup(f.Close)
	require.NoError(t, f.Control().Add(w.ctx(), w.spec("r")))
	w.worker("a") // in the process of the server
	w.conn("r")
}
