package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A backend stands in for yours and for its token service.
type backend struct {
	*wstest.Server
	lifetime time.Duration

	mu     sync.Mutex
	tokens []string
	good   map[string]time.Time // until when
}

func newBackend() *backend {
	b := &backend{
		Server:   wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork())),
		lifetime: 10 * time.Minute,
		good:     map[string]time.Time{},
	}
	b.AnswerFunc(func(r *http.Request) wstest.Answer {
		token := r.URL.Query().Get("token")
		if !b.accepts(token) {
			// Some servers repeat the secret in their answer.
			return wstest.Status(http.StatusUnauthorized, nil, "invalid token: "+token)
		}
		return wstest.Accept()
	})
	return b
}

// demo returns the options that only the demo needs: a network in memory, and short waits.
func (b *backend) demo() []wechatws.Option {
	return []wechatws.Option{
		wechatws.WithNetDial(b.DialContext),
		wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 300 * time.Millisecond}),
	}
}

func (b *backend) issue(context.Context) (string, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	token, expires := rand.Text(), time.Now().Add(b.lifetime)
	b.tokens = append(b.tokens, token)
	b.good[token] = expires
	return token, expires, nil
}

func (b *backend) revoke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.good)
}

func (b *backend) accepts(token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.good[token])
}

func (b *backend) issued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.tokens)
}
