package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestEndpointFunction(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		type call struct {
			attempt int
			last    string
		}
		var calls []call
		w.srv.Answer(wstest.Status(401, nil, "expired"), wstest.Accept(), wstest.Status(500, nil, ""))
		c := w.clientOf("", append(quiet(), wechatws.WithHeader(http.Header{"X-App": {"bot"}}),
			wechatws.WithEndpoint(func(_ context.Context, attempt int, last error) (wechatws.Endpoint, error) {
				text := ""
				if last != nil {
					text = last.Error()
				}
				calls = append(calls, call{attempt, text})
				if attempt == 3 {
					return wechatws.Endpoint{}, errors.New("no token today")
				}
				return wechatws.Endpoint{
					URL:    fmt.Sprintf("http://server.test:80/ws?n=%d", len(calls)),
					Header: http.Header{"Authorization": {fmt.Sprint("token ", len(calls))}},
				}, nil
			}))...).connect()
		first := w.conn().Request()
		assert.Equal(t, "/ws?n=2", first.URL.RequestURI(), "a first 401 is retried with fresh credentials")
		assert.Equal(t, "token 2", first.Header.Get("Authorization"))
		assert.Equal(t, "bot", first.Header.Get("X-App"))
		w.srv.Conns()[0].Cut(wstest.FIN)
		w.sleep(0)
		w.sleep(20 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		assert.Equal(t, []call{
			{1, ""},
			{2, `wechatws: handshake server.test:80: server answered 401 Unauthorized`},
			{3, "wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF"},
			{4, "wechatws: endpoint: no token today"},
			{5, "wechatws: handshake server.test:80: server answered 500 Internal Server Error"},
		}, calls)
		c.close()
	})
}

func TestAPermanentErrorOfTheEndpointOrLoginEndsTheClient(t *testing.T) {
	revoked := errors.New("account closed")
	virtual(t, func(t *testing.T, w *world) {
		c := w.clientOf("", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, wechatws.Permanent(revoked)
		}))
		err := c.Connect(t.Context())
		assert.ErrorIs(t, err, revoked)
		assert.EqualError(t, err, "wechatws: endpoint: account closed")

		c = w.client(wechatws.WithLogin(func(context.Context) (any, error) { return nil, wechatws.Permanent(revoked) }))
		err = c.Connect(t.Context())
		assert.ErrorIs(t, err, revoked)
		assert.Zero(t, w.net.Clients())
	})
}

func TestALoginThatFailsIsAFailedAttempt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		n := 0
		c := w.client(append(quiet(), wechatws.WithLogin(func(ctx context.Context) (any, error) {
			switch n++; n {
			case 1:
				return nil, errors.New("token service is down")
			case 2:
				return func() {}, nil // cannot be encoded
			case 3:
				panic("oops")
			case 4:
				<-ctx.Done() // the dial timeout
				return nil, ctx.Err()
			}
			return map[string]int{"n": n}, nil
		}))...)
		c.send("queued before")
		c.connect()
		assert.Equal(t, 4*3*time.Second+10*time.Second, w.since())
		w.sleep(0)
		assert.Equal(t, []string{`{"n":5}`, "queued before"}, received(w.srv.Conns()[4]), "nothing overtakes the login")
		for _, conn := range w.srv.Conns()[:4] {
			assert.Empty(t, received(conn))
		}
		assert.Len(t, c.errors(), 4)
		var pe *wechatws.PanicError
		assert.ErrorAs(t, c.errors()[2], &pe)
		assert.Equal(t, 1, c.Stats().Opens)
		assert.Equal(t, 1, w.net.MaxClients())
		c.close()
	})
}

func TestALoginOfNothingSendsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithLogin(func(context.Context) (any, error) { return nil, nil }))...)
		c.connect()
		c.send("first")
		c.flush()
		w.sleep(0)
		assert.Equal(t, []string{"first"}, received(w.conn()))
		c.close()
	})
}
