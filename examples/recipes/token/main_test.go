package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "token", recipetest.Virtual(t, run))
}

// connected runs a test of an open client and its token source in virtual time; told
// is all that its callbacks were told.
func connected(t *testing.T, test func(t *testing.T, b *backend, tokens *tokenSource, c *wechatws.Client, told *recipetest.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		defer b.Close()
		tokens := &tokenSource{fetch: b.issue}
		c, err := wechatws.New("", append(b.demo(), wechatws.WithEndpoint(tokens.endpoint(b.URL())))...)
		require.NoError(t, err)
		var told recipetest.Buffer
		c.OnError(func(_ context.Context, err error) { fmt.Fprintf(&told, "%v\n%+v\n", err, err) })
		c.OnStateChange(func(_ context.Context, e wechatws.StateChange) { fmt.Fprintf(&told, "%+v\n", e) })
		c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { fmt.Fprintf(&told, "%+v\n", e) })
		require.NoError(t, c.Connect(t.Context()))
		defer c.Close(wechatws.StatusNormalClosure, "")
		test(t, b, tokens, c, &told)
	})
}

func drop(t *testing.T, b *backend) {
	t.Helper()
	synctest.Wait() // the server may know of a connection a moment after the client
	conns := b.Conns()
	conns[len(conns)-1].Cut(wstest.RST)
	time.Sleep(time.Second) // longer than the schedule waits twice
	synctest.Wait()
}

func TestATokenServesManyAttempts(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, _ *tokenSource, c *wechatws.Client, _ *recipetest.Buffer) {
		for range 5 {
			drop(t, b)
		}
		b.Stop(wstest.RST)
		time.Sleep(time.Minute)
		b.Start()
		time.Sleep(time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, b.issued())
	})
}

// One that is about to run out is not even tried.
func TestATokenIsReplacedBeforeItRunsOut(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, _ *tokenSource, c *wechatws.Client, _ *recipetest.Buffer) {
		time.Sleep(b.lifetime - margin/2)
		require.Equal(t, 1, b.issued(), "an open connection needs none")
		handshakes := len(b.Handshakes())
		drop(t, b)
		require.Equal(t, 2, b.issued())
		require.Len(t, b.Handshakes(), handshakes+1)
		require.Equal(t, wechatws.StateOpen, c.State())
	})
}

func TestARevokedTokenIsReplaced(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, _ *tokenSource, c *wechatws.Client, told *recipetest.Buffer) {
		b.revoke()
		drop(t, b)
		require.Contains(t, told.String(), "401")
		require.Equal(t, 2, b.issued())
		require.Equal(t, wechatws.StateOpen, c.State())
	})
}

// Only a 401 tells that the token is to blame.
func TestOtherRefusalsKeepTheToken(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, _ *tokenSource, c *wechatws.Client, _ *recipetest.Buffer) {
		b.Answer(wstest.Status(http.StatusBadGateway, nil, "deploying"))
		drop(t, b)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, b.issued())
	})
}

// The token service may fail as the server may.
func TestATokenServiceThatFails(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, tokens *tokenSource, c *wechatws.Client, told *recipetest.Buffer) {
		failures := 2
		tokens.fetch = func(ctx context.Context) (string, time.Time, error) {
			if failures--; failures >= 0 {
				return "", time.Time{}, errors.New("token service: 503")
			}
			return b.issue(ctx)
		}
		b.revoke()
		drop(t, b)
		drop(t, b)
		require.Contains(t, told.String(), "endpoint: token service: 503")
		require.Equal(t, wechatws.StateOpen, c.State())
	})
}

func TestAPermanentErrorEndsTheClient(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, tokens *tokenSource, c *wechatws.Client, told *recipetest.Buffer) {
		tokens.fetch = func(context.Context) (string, time.Time, error) { return "", time.Time{}, errWrongPassword }
		b.revoke()
		drop(t, b)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.Contains(t, told.String(), "endpoint: token service: wrong password")
	})
}

func TestNoTokenIsTold(t *testing.T) {
	connected(t, func(t *testing.T, b *backend, tokens *tokenSource, _ *wechatws.Client, told *recipetest.Buffer) {
		b.revoke()
		drop(t, b)
		b.Stop(wstest.RST)
		time.Sleep(time.Second)
		b.Start()
		time.Sleep(time.Second)
		fmt.Fprintf(told, "%v %+v", tokens, tokens)
		require.Equal(t, 2, b.issued())
		for _, token := range b.tokens {
			require.NotContains(t, told.String(), token)
		}
	})
}
