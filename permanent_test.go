package wechatws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// refusals are the ways in which a server refuses a client, until ctx ends.
var refusals = map[string]func(ctx context.Context, w *world){
	"403": refuseWith(http.StatusForbidden),
	"410": refuseWith(http.StatusGone),
	"1008": func(ctx context.Context, w *world) {
		for {
			conn, err := w.srv.NextConn(ctx)
			if err != nil {
				return
			}
			assert.NoError(w, conn.Close(1008, "already connected"))
		}
	},
}

func refuseWith(status int) func(ctx context.Context, w *world) {
	return func(ctx context.Context, w *world) {
		w.srv.AnswerAlways(wstest.Status(status, nil, ""))
		<-ctx.Done()
		w.srv.AnswerAlways(wstest.Accept())
	}
}

// refused cuts the connection and has the server refuse the ones that follow, for as
// long as d.
func (w *world) refused(refuse func(context.Context, *world), conn *wstest.Conn, d time.Duration) {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	conn.Cut(wstest.FIN)
	refuse(ctx, w)
}

// A gateway during a deployment, or a server that has not noticed the loss of the connection,
// refuses for minutes.
func TestARefusalThatPassesDoesNotEndAClient(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				conn := w.conn()
				w.sleep(365 * 24 * time.Hour)
				w.refused(refuse, conn, 14*time.Minute)
				conn = w.conn()
				assert.GreaterOrEqual(t, c.Stats().Attempts, 50)
				w.sleep(5 * time.Second) // it is stable, and the next refusal the first one
				w.refused(refuse, conn, 14*time.Minute)
				w.conn()
				w.sleep(0)
				assert.Equal(t, wechatws.StateOpen, c.State())
				c.close()
			})
		})
	}
}

// When there was only the same refusal for a quarter of an hour, the next one
// ends the client. With the default schedule that is after 21 minutes.
func TestARefusalThatLastsEndsAClient(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				over := w.since()
				go w.refused(refuse, w.conn(), 2*time.Hour)
				for c.State() != wechatws.StateFailed && w.since() < time.Hour {
					w.sleep(time.Second)
				}
				took := w.since() - over
				assert.Equal(t, wechatws.StateFailed, c.State())
				assert.GreaterOrEqual(t, took, 15*time.Minute)
				assert.Less(t, took, 15*time.Minute+450*time.Second)
				assert.ErrorContains(t, c.lastChange().Err, name)
				w.sleep(2 * time.Hour)
			})
		})
	}
}

// WithPermanentAfter sets the time; the refusal must come three times all the same.
func TestPermanentAfter(t *testing.T) {
	for _, tt := range []struct{ after, every, want time.Duration }{
		{0, 3 * time.Second, 9 * time.Second},
		{time.Minute, 3 * time.Second, 63 * time.Second},
		{time.Minute, time.Hour, 3 * time.Hour},
	} {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(append(quiet(), wechatws.WithPermanentAfter(tt.after),
				wechatws.WithTiers(wechatws.Tier{Delay: tt.every}))...).connect()
			w.srv.AnswerAlways(wstest.Status(403, nil, ""))
			w.conn().Cut(wstest.FIN)
			w.sleep(tt.want - time.Second)
			assert.NotEqual(t, wechatws.StateFailed, c.State(), tt)
			w.sleep(time.Second)
			assert.Equal(t, wechatws.StateFailed, c.State(), tt)
		})
	}
}

// Before the first open, Connect waits for the result: time does not count.
func TestARefusalBeforeTheFirstOpenIsReportedAtOnce(t *testing.T) {
	t.Run("403", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.srv.AnswerAlways(wstest.Status(403, nil, ""))
			require.ErrorContains(t, w.client().Connect(t.Context()), "403")
			assert.Zero(t, w.since())
		})
	})
	t.Run("1008 while opening", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(quiet()...)
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, err := o.Receive(ctx)
				return err
			})
			ctx, cancel := context.WithCancel(t.Context())
			go refusals["1008"](ctx, w)
			require.ErrorContains(t, c.Connect(t.Context()), "1008")
			assert.Equal(t, 6*time.Second, w.since(), "the third one")
			cancel()
		})
	})
}

// Retry-After is in seconds, a date by the clock of the server, or invalid. It extends the wait of
// the schedule up to a bound, by up to a tenth more than it says, and RetryIn includes it.
func TestRetryAfterIsObeyed(t *testing.T) {
	const schedule, limit = 3 * time.Second, 10 * time.Minute
	tests := map[string]struct {
		status int
		value  func(now time.Time) string
		want   time.Duration
	}{
		"429 in seconds":      {429, text("30"), 30 * time.Second},
		"503 in seconds":      {503, text("30"), 30 * time.Second},
		"sooner":              {503, text("1"), schedule},
		"now":                 {503, text("0"), schedule},
		"a date":              {503, func(now time.Time) string { return now.Add(time.Minute).UTC().Format(http.TimeFormat) }, time.Minute},
		"an old kind of date": {503, func(now time.Time) string { return now.Add(time.Minute).UTC().Format(time.ANSIC) }, time.Minute},
		"a date gone by":      {503, func(now time.Time) string { return now.Add(-time.Hour).UTC().Format(http.TimeFormat) }, schedule},
		"absent":              {503, nil, schedule},
		"junk":                {503, text("soon"), schedule},
		"negative":            {503, text("-30"), schedule},
		"a fraction":          {503, text("1.5"), schedule},
		"a year":              {503, text("31536000"), limit},
		"beyond any number":   {429, text("99999999999999999999999"), limit},
		"of a 502":            {502, text("30"), schedule},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				clock := time.Now().AddDate(20, 0, 0)
				h := http.Header{"Date": {clock.UTC().Format(http.TimeFormat)}}
				if tt.value != nil {
					h.Set("Retry-After", tt.value(clock))
				}
				w.srv.Answer(wstest.Status(tt.status, h, "busy\nvery busy"))
				c := w.client().connect()
				took, most := w.since(), tt.want
				if tt.want != schedule {
					most += tt.want/10 + time.Second // an HTTP date has seconds
				}
				require.GreaterOrEqual(t, took, tt.want)
				require.LessOrEqual(t, took, most)
				require.Equal(t, took, c.moves()[1].RetryIn)
				var he *wechatws.HandshakeError
				require.ErrorAs(t, c.errors()[0], &he)
				require.Equal(t, tt.status, he.Status)
				require.Equal(t, "busy\nvery busy", string(he.Body))
				c.close()
			})
		})
	}
}

// Clients that a server has refused at the same moment, with the same Retry-After, do not all
// come back at the same moment, with or without WithJitter.
func TestRetryAfterIsSpreadOverAFleet(t *testing.T) {
	const clients, asked = 50, 60 * time.Second
	for name, tt := range map[string]struct {
		options []wechatws.Option
		status  int
		value   func(now time.Time) string
		most    time.Duration
	}{
		"503 with jitter": {[]wechatws.Option{wechatws.WithJitter(0.5)}, 503, text("60"), 90 * time.Second},
		"503":             {nil, 503, text("60"), 66 * time.Second},
		"429":             {nil, 429, text("60"), 66 * time.Second},
		"a date":          {nil, 503, func(now time.Time) string { return now.Add(asked).UTC().Format(http.TimeFormat) }, 66 * time.Second},
		"a tier":          {[]wechatws.Option{wechatws.WithTiers(wechatws.Tier{Delay: 450 * time.Second}), wechatws.WithJitter(0.2)}, 503, text("60"), 540 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				for range clients {
					w.srv.Answer(wstest.Status(tt.status, http.Header{"Retry-After": {tt.value(time.Now())}}, ""))
				}
				var fleet []*client
				for range clients {
					c := w.client(append(quiet(), tt.options...)...)
					fleet = append(fleet, c)
					go func() { _ = c.Connect(t.Context()) }()
				}
				w.sleep(tt.most)
				seconds := map[int]int{}
				for _, d := range w.net.Dials()[clients:] {
					at := d.At.Sub(w.start)
					assert.GreaterOrEqual(t, at, asked)
					seconds[int(at.Seconds())]++
				}
				for _, c := range fleet {
					assert.Equal(t, wechatws.StateOpen, c.State())
					c.close()
				}
				for at, n := range seconds {
					assert.Less(t, n, clients/2, "in second %d", at)
				}
			})
		})
	}
}

func text(s string) func(time.Time) string { return func(time.Time) string { return s } }

// A gateway without its server answers 502 until the server is back.
func TestABadGatewayIsRetried(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Status(502, nil, ""))
		time.AfterFunc(time.Hour, func() { w.srv.AnswerAlways(wstest.Accept()) })
		c := w.client().connect()
		require.Less(t, w.since(), time.Hour+450*time.Second+time.Second)
		c.close()
	})
}

// A refusingProxy answers every request with a status once it is on; until then there is no
// proxy. requests counts them.
type refusingProxy struct {
	on       atomic.Bool
	requests atomic.Int64
}

// proxy starts one on the world's network, which ends with the test.
func (w *world) proxy(status int) (*refusingProxy, wechatws.Option) {
	w.Helper()
	p := &refusingProxy{}
	l, err := w.net.Listen("proxy.test:3128")
	require.NoError(w, err)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		p.requests.Add(1)
		rw.WriteHeader(status)
	})}
	go func() { _ = server.Serve(l) }()
	w.Cleanup(func() { server.Close() })
	return p, wechatws.WithProxy(func(*http.Request) (*url.URL, error) {
		if !p.on.Load() {
			return nil, nil
		}
		return url.Parse("http://user:hunter22@proxy.test:3128")
	})
}

// A proxy that requires another password is a permanent error, as for a server: the password
// does not change between attempts.
func TestAProxyThatRequiresAPasswordIsPermanent(t *testing.T) {
	for _, rawURL := range []string{"wss://server.test", "ws://server.test"} {
		t.Run(rawURL, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				proxy, through := w.proxy(http.StatusProxyAuthRequired)
				proxy.on.Store(true)
				c := w.clientOf(rawURL, through)
				connected := make(chan error, 1)
				go func() { connected <- c.Connect(t.Context()) }()
				w.sleep(time.Hour)
				require.Equal(t, wechatws.StateFailed, c.State())
				require.EqualValues(t, 1, proxy.requests.Load())
				err := <-connected
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				require.Equal(t, "proxy", de.Phase)
				var refused *wechatws.ProxyError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, http.StatusProxyAuthRequired, refused.Status)
				require.NotContains(t, err.Error(), "hunter22")
			})
		})
	}
}

// After the first open the proxy's refusal is permanent only when it lasts, as a server's is.
func TestAProxyThatRequiresAPasswordLater(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		secure := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("server.test:443"), wstest.WithTLS())
		defer secure.Close()
		proxy, through := w.proxy(http.StatusProxyAuthRequired)
		c := w.clientOf(secure.URL(), through, wechatws.WithTLSConfig(secure.ClientTLS()), wechatws.WithPermanentAfter(time.Minute)).connect()
		w.sleep(time.Minute)
		proxy.on.Store(true)
		secure.Stop(wstest.RST)
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.EqualValues(t, 21, proxy.requests.Load(), "each 3 s, for a minute")
		var refused *wechatws.ProxyError
		require.ErrorAs(t, c.lastChange().Err, &refused)
		require.Equal(t, http.StatusProxyAuthRequired, refused.Status)
	})
}

// Other refusals of a proxy may pass: it cannot reach the server, or not now.
func TestAProxyThatCannotReachTheServer(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		virtual(t, func(t *testing.T, w *world) {
			proxy, through := w.proxy(status)
			proxy.on.Store(true)
			c := w.clientOf("wss://server.test", through)
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(10 * time.Second)
			require.Equal(t, wechatws.StateWaiting, c.State())
			require.EqualValues(t, 4, proxy.requests.Load())
			c.close()
		})
	}
}

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
