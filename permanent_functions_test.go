package wechatws_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A permanent error of any function that an attempt depends on ends the client at once, with
// that error; the same error without the mark is retried.
func TestAPermanentErrorOfAnyFunctionEndsTheClient(t *testing.T) {
	gone := errors.New("gone")
	for name, option := range map[string]func(error) wechatws.Option{
		"endpoint": func(err error) wechatws.Option {
			return wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) { return wechatws.Endpoint{}, err })
		},
		"login": func(err error) wechatws.Option {
			return wechatws.WithLogin(func(context.Context) (any, error) { return nil, err })
		},
		"netDial": func(err error) wechatws.Option {
			return wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) { return nil, err })
		},
		"proxy": func(err error) wechatws.Option {
			return wechatws.WithProxy(func(*http.Request) (*url.URL, error) { return nil, err })
		},
		"dialer": func(err error) wechatws.Option {
			return wechatws.WithDialer(dialerFunc(func() error { return err }))
		},
		"codec": func(err error) wechatws.Option {
			return wechatws.WithLogin(func(context.Context) (any, error) { return refusesJSON{err}, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				address := w.srv.URL()
				if name == "endpoint" {
					address = ""
				}
				try := func(err error) (*client, error) {
					c := w.clientOf(address, append(quiet(), option(err))...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					return c, c.Connect(ctx)
				}
				c, err := try(gone)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Greater(t, c.Stats().Attempts, 50)

				c, err = try(fmt.Errorf("account: %w", wechatws.Permanent(gone)))
				require.ErrorIs(t, err, gone)
				assert.Equal(t, wechatws.StateFailed, c.State())
				assert.Equal(t, 1, c.Stats().Attempts)
			})
		})
	}
}

// refusesJSON cannot be encoded.
type refusesJSON struct{ err error }

func (r refusesJSON) MarshalJSON() ([]byte, error) { return nil, r.err }

func TestAPermanentErrorOfTLSEndsTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		srv := wstest.NewServer(wstest.WithTLS(), wstest.WithNetwork(w.net))
		defer srv.Close()
		gone := errors.New("gone")
		conf := srv.ClientTLS()
		conf.VerifyConnection = func(tls.ConnectionState) error { return wechatws.Permanent(gone) }
		c := w.clientOf(srv.URL(), wechatws.WithTLSConfig(conf))
		require.ErrorIs(t, c.Connect(t.Context()), gone)
		assert.Equal(t, 1, c.Stats().Attempts)
	})
}

// The application disconnects with a permanent cause.
func TestDisconnectWithAPermanentCauseEndsTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		w.conn()
		gone := errors.New("replaced by another session")
		require.NoError(t, c.Disconnect(1, wechatws.Permanent(gone)))
		w.sleep(0)
		assert.Equal(t, wechatws.StateFailed, c.State())
		assert.ErrorIs(t, c.lastChange().Err, gone)
	})
}
