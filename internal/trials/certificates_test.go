package trials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, key: key}
	a.cert = a.authority(time.Now().AddDate(1, 0, 0), key)
	return a
}

// authority is for an authority with this key, valid until then.
func (a *authority) authority(until time.Time, key *ecdsa.PrivateKey) *x509.Certificate {
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "trials"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until,
	}, &key.PublicKey)
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert
}

// leaf is for a server of this name, valid until then.
func (a *authority) leaf(name string, until time.Time) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{NotBefore: time.Now().AddDate(0, -1, 0), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	cert := a.sign(template, &key.PublicKey)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) trusted() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots}
}

// serve accepts WebSockets with the certificate that is current.
func serve(t *testing.T, newest uint16, current func() *tls.Certificate) (url string, cut func()) {
	cutting := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		go func() { <-cutting; c.CloseNow() }()
		for err == nil {
			_, _, err = c.Read(r.Context())
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*current()}, MinVersion: tls.VersionTLS10, MaxVersion: newest}, nil
	}}
	s.StartTLS()
	cut = sync.OnceFunc(func() { close(cutting) })
	t.Cleanup(func() { cut(); s.Close() })
	return "wss" + s.URL[len("https"):], cut
}

// A certificate that is wrong is a clear error. Before the first open it is permanent,
// since it is a wrong set-up then, unless it is only out of date.
func TestCertificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		cert *tls.Certificate
		want string
	}{
		"wrong name":        {ours.leaf("127.0.0.9", soon), "valid for 127.0.0.9, not 127.0.0.1"},
		"unknown authority": {theirs.leaf("127.0.0.1", soon), "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := serve(t, tls.VersionTLS13, func() *tls.Certificate { return tt.cert })
			c := newClient(t, url+"/?token=hunter2222", wechatws.WithTLSConfig(ours.trusted()))
			err := c.Connect(t.Context())
			var de *wechatws.DialError
			require.ErrorAs(t, err, &de)
			require.Equal(t, "tls", de.Phase)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2222")
			require.Equal(t, wechatws.StateFailed, c.State())
		})
	}
	t.Run("renewed late", func(t *testing.T) {
		t.Parallel()
		good := ours.leaf("127.0.0.1", soon)
		expired := ours.leaf("127.0.0.1", time.Now().Add(-time.Hour))
		var current atomic.Pointer[tls.Certificate]
		current.Store(expired)
		url, cut := serve(t, tls.VersionTLS13, current.Load)
		c := newClient(t, url+"/?token=hunter2222", wechatws.WithTLSConfig(ours.trusted()))
		go func() { _ = c.Connect(t.Context()) }()
		refused := func(first int) {
			for n := first; n < first+3; n++ {
				var de *wechatws.DialError
				err := c.failure(n)
				require.ErrorAs(t, err, &de)
				require.Equal(t, "tls", de.Phase)
				require.ErrorContains(t, err, "expired or is not yet valid")
				require.NotContains(t, err.Error(), "hunter2222")
			}
		}
		refused(1) // before the first open
		current.Store(good)
		c.open(1)
		c.mu.Lock()
		before := len(c.errs)
		c.mu.Unlock()
		current.Store(expired)
		cut()
		refused(before + 1) // and after it
		current.Store(good)
		c.open(2)
	})
	t.Run("authority renewed late", func(t *testing.T) {
		t.Parallel()
		below := newAuthority(t)
		leaf := below.leaf("127.0.0.1", soon)
		expired, good := *leaf, *leaf
		expired.Certificate = append(expired.Certificate[:1:1], ours.authority(time.Now().Add(-time.Hour), below.key).Raw)
		good.Certificate = append(expired.Certificate, ours.authority(soon, below.key).Raw) // behind the old one
		var current atomic.Pointer[tls.Certificate]
		current.Store(&expired)
		url, _ := serve(t, tls.VersionTLS13, current.Load)
		c := newClient(t, url, wechatws.WithTLSConfig(ours.trusted()))
		go func() { _ = c.Connect(t.Context()) }()
		require.ErrorContains(t, c.failure(2), "expired or is not yet valid")
		current.Store(&good)
		c.open(1)
	})
	for name, newest := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run("no client certificate/"+name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			config := &tls.Config{Certificates: []tls.Certificate{*ours.leaf("127.0.0.1", soon)}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: newest}
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_ = tls.Server(c, config).Handshake()
				_, _ = io.Copy(io.Discard, c) // otherwise a reset could overtake the alert
			}()
			err = newClient(t, "wss://"+l.Addr().String(), wechatws.WithTLSConfig(ours.trusted()), wechatws.WithoutReconnect()).Connect(t.Context())
			require.ErrorContains(t, err, "wechatws: tls "+l.Addr().String()+": remote error: tls: ")
		})
	}
	t.Run("TLS 1.1", func(t *testing.T) {
		t.Parallel()
		url, _ := serve(t, tls.VersionTLS11, func() *tls.Certificate { return ours.leaf("127.0.0.1", soon) })
		err := newClient(t, url, wechatws.WithTLSConfig(ours.trusted()), wechatws.WithoutReconnect()).Connect(t.Context())
		require.ErrorContains(t, err, "wechatws: tls 127.0.0.1:")
		require.ErrorContains(t, err, "protocol version")
	})
}
