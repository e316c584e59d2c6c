package wechatws_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Clocks are set late, and certificates are renewed late.
func TestACertificateOutOfDateIsTemporary(t *testing.T) {
	for name, wrong := range map[string]time.Duration{
		"not yet valid": -30 * 365 * 24 * time.Hour,
		"expired":       30 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				srv := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
				defer srv.Close()
				config := srv.ClientTLS()
				config.Time = func() time.Time {
					if w.since() < time.Minute { // until the clock is set, or the certificate renewed
						return time.Now().Add(wrong)
					}
					return time.Now()
				}
				c := w.clientOf(srv.URL(), append(quiet(), wechatws.WithTLSConfig(config))...)
				require.NoError(t, c.Connect(t.Context()))
				assert.Equal(t, time.Minute, w.since(), "the first attempt of the schedule after that")
				require.NotEmpty(t, c.errors())
				for _, err := range c.errors() {
					var invalid x509.CertificateInvalidError
					require.ErrorAs(t, err, &invalid)
					assert.Equal(t, x509.Expired, invalid.Reason)
				}
				c.close()
			})
		})
	}
}

func TestACertificateOfAnotherNameOrAuthorityIsPermanent(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		srv := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithTLS())
		defer srv.Close()
		for _, options := range []func() wechatws.Option{
			func() wechatws.Option { // another name
				config := srv.ClientTLS()
				config.ServerName = "elsewhere.test"
				return wechatws.WithTLSConfig(config)
			},
			func() wechatws.Option { // another authority
				config := srv.ClientTLS()
				config.RootCAs = x509.NewCertPool()
				return wechatws.WithTLSConfig(config)
			},
		} {
			c := w.clientOf(srv.URL(), append(quiet(), options())...)
			var de *wechatws.DialError
			require.ErrorAs(t, c.Connect(t.Context()), &de)
			assert.Equal(t, "tls", de.Phase)
			assert.Equal(t, wechatws.StateFailed, c.State())
		}
	})
}
