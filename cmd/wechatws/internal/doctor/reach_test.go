package doctor

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

func TestTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		target func(target *Target, s *wstest.Server)
		want   Verdict
		says   string
		code   string
	}{
		"a self-signed certificate": {want: Fail, says: "the certificate is self-signed"},
		"its authority": {
			target: func(t *Target, s *wstest.Server) { t.TLS = s.ClientTLS() },
			want:   OK, says: "the certificate is valid for another", code: "AppendCertsFromPEM",
		},
		"another name": {
			target: func(t *Target, s *wstest.Server) {
				t.TLS = s.ClientTLS()
				t.TLS.ServerName = "other.test"
			},
			want: Fail, says: "the certificate is for another name", code: `ServerName: "other.test"`,
		},
		"no verification": {
			target: func(t *Target, s *wstest.Server) { t.TLS = &tls.Config{InsecureSkipVerify: true} },
			want:   Note, says: "it is not verified: the certificate is self-signed", code: "InsecureSkipVerify: true",
		},
		"ws instead of wss": {
			target: func(t *Target, s *wstest.Server) { t.URL = strings.Replace(t.URL, "wss", "ws", 1) },
			want:   Note, says: "none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *wstest.Server) {
				target := targetOf(s)
				if tt.target != nil {
					tt.target(&target, s)
				}
				r := examine(t, target)
				found(t, r, "tls", tt.want, tt.says)
				assert.Contains(t, r.End.Code, tt.code)
			}, wstest.WithTLS())
		})
	}
	t.Run("wss instead of ws", func(t *testing.T) {
		virtual(t, func(t *testing.T, s *wstest.Server) {
			target := targetOf(s)
			target.URL = "wss://server.test:80/"
			found(t, examine(t, target), "tls", Fail, "does not answer with TLS on this port")
		})
	})
	compile(t, pasted.list)
}

func TestAServerThatAsksToWaitIsLeftAlone(t *testing.T) {
	for _, status := range []int{429, 503} {
		virtual(t, func(t *testing.T, s *wstest.Server) {
			s.Answer(wstest.Accept(), wstest.Accept())
			s.AnswerAlways(wstest.Status(status, nil, ""))
			r := examine(t, targetOf(s))
			assert.Len(t, s.Handshakes(), 3)
			found(t, r, "client", Skipped, fmt.Sprintf("the server has refused a connection with status %d", status))
			assert.Contains(t, r.End.Broken, fmt.Sprint("status ", status))
		})
	}
}

// Whichever connection is refused so: no other follows.
func TestARefusalIsTheLastConnection(t *testing.T) {
	for accepted := range 20 {
		virtual(t, func(t *testing.T, s *wstest.Server) {
			var made atomic.Int64
			s.AnswerFunc(func(*http.Request) wstest.Answer {
				if made.Add(1) > int64(accepted) {
					return wstest.Status(429, nil, "")
				}
				return wstest.Accept()
			})
			target := targetOf(s)
			target.Login, target.Send = []byte(`{"msg_type":"login"}`), [][]byte{[]byte(`{"msg_type":"say"}`)}
			r := examine(t, target)
			assert.LessOrEqual(t, made.Load(), int64(accepted)+1)
			if made.Load() > int64(accepted) {
				assert.NotEmpty(t, r.End.Broken)
			}
		})
	}
}

// The login and the header are for one host, and so is everything else.
func TestRedirectsToOtherHostsAreNotFollowed(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		s.AnswerFunc(func(r *http.Request) wstest.Answer {
			if strings.HasPrefix(r.Host, "server.test") {
				return wstest.Status(307, http.Header{"Location": {"http://192.0.2.1:80/ws"}}, "")
			}
			return wstest.Accept()
		})
		target := targetOf(s)
		target.Login = []byte(`{"msg_type":"login","token":"hunter2-hunter2"}`)
		r := examine(t, target)
		for _, h := range s.Handshakes() {
			assert.Equal(t, "server.test", h.Host)
		}
		assert.Equal(t, []string{"handshake", "redirects"}, r.Failed())
	})
}

func TestUnreachable(t *testing.T) {
	virtual(t, func(t *testing.T, s *wstest.Server) {
		target := targetOf(s)
		s.Stop(wstest.FIN)
		r := examine(t, target)
		found(t, r, "addresses", Fail, "no address accepts connections", "192.0.2.1:80")
		found(t, r, "client", Skipped)
		assert.Contains(t, r.End.Code, "It cannot connect yet: no address accepts connections.")
		assert.Contains(t, written(t, r), "skipped  likewise")
	})
}

func TestProxy(t *testing.T) {
	for name, tt := range map[string]struct{ proxy, code string }{
		"a proxy":             {"http://proxy.test:3128", `Host: "proxy.test:3128"`},
		"a proxy with a user": {"http://user:hunter2-hunter2@proxy.test:3128", `os.Getenv("PROXY_PASSWORD")`},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *wstest.Server) {
				u, err := url.Parse(tt.proxy)
				require.NoError(t, err)
				target := targetOf(s)
				target.Proxy, target.OwnProxy, target.Secrets = http.ProxyURL(u), true, []string{"hunter2-hunter2"}
				r := examine(t, target) // nothing listens there
				found(t, r, "proxy", Note, "connections go through http://proxy.test:3128")
				found(t, r, "addresses", Fail, "proxy.test:3128")
				assert.Contains(t, r.End.Code, tt.code)
				assert.NotContains(t, fmt.Sprint(r), "hunter2")
			})
		})
	}
	compile(t, pasted.list)
}

func TestThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(network), wstest.WithTLS())
		defer s.Close()
		l, err := network.Listen("proxy.test:3128")
		require.NoError(t, err)
		proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			to, err := network.DialContext(r.Context(), "tcp", r.Host)
			if r.Method != http.MethodConnect || err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer to.Close()
			w.WriteHeader(http.StatusOK)
			from, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer from.Close()
			go func() {
				_, _ = io.Copy(to, from)
				to.Close()
			}()
			_, _ = io.Copy(from, to)
		})}
		go func() { _ = proxy.Serve(l) }()
		defer proxy.Close()

		target := targetOf(s)
		target.Dial, target.TLS = network.DialContext, s.ClientTLS()
		target.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"})
		r := examine(t, target)
		assert.Empty(t, r.Failed())
		found(t, r, "proxy", Note, "connections go through http://proxy.test:3128")
		found(t, r, "addresses", OK, "proxy.test:3128: TCP in")
		found(t, r, "tls", Skipped, "TLS goes through the proxy")
		found(t, r, "client", OK)
	})
}
