package main

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecipe(t *testing.T) {
	output := recipetest.Virtual(t, run)
	recipetest.Documented(t, "proxy", output)
	require.NotContains(t, output, password)
	require.NotContains(t, output, "wrong@")
}

// on runs a test of a site in virtual time.
func on(t *testing.T, test func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := newSite()
		require.NoError(t, err)
		defer s.Close()
		test(t, s)
	})
}

func TestEveryByteGoesThroughTheProxy(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		before := len(s.network.Dials())
		c, err := newClient(s.URL(), s.proxyURL(password), s.pemFile, s.demo()...)
		require.NoError(t, err)
		require.NoError(t, c.Connect(t.Context()))
		defer c.Close(wechatws.StatusNormalClosure, "")
		require.Equal(t, []string{"server.test:443"}, s.tunnels())
		// Dials are noted as they return: the proxy's before the client has its tunnel.
		dials := s.network.Dials()[before:]
		require.Len(t, dials, 2)
		require.Equal(t, proxyAddr, dials[0].Addr)
		require.Equal(t, s.Addr(), dials[1].Addr)
	})
}

func TestAForeignCertificateIsNotTaken(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		c, err := newClient(s.URL(), s.proxyURL(password), s.otherPEMFile, s.demo()...)
		require.NoError(t, err)
		err = c.Connect(t.Context())
		var unverified *tls.CertificateVerificationError
		require.ErrorAs(t, err, &unverified)
		require.Empty(t, s.Handshakes(), "the token in a handshake must not get to who is not trusted")
	})
}

func TestTheWrongPasswordIsToldAsTheProxysRefusal(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		c, err := newClient(s.URL(), s.proxyURL("wrong"), s.pemFile, s.demo()...)
		require.NoError(t, err)
		err = c.Connect(t.Context())
		var de *wechatws.DialError
		require.True(t, errors.As(err, &de))
		require.Equal(t, "proxy", de.Phase)
		require.Empty(t, s.tunnels())
	})
}

func TestWhatIsWrongIsNamedWithoutThePassword(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err := newClient("wss://server.test", "http://bot:secret@proxy.test:3128", empty)
	require.ErrorContains(t, err, "empty.pem: no certificate in it")
	_, err = newClient("wss://server.test", "http://bot:secret@proxy.test:not-a-port", empty)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}
