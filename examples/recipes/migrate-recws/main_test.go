package main

import (
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

// In real time, on loopback: recws dials by itself.
func TestRecipe(t *testing.T) {
	var out recipetest.Buffer
	require.NoError(t, run(t.Context(), &out))
	recipetest.Documented(t, "migrate-recws", out.String())
}

func TestOnlyTheNormalCloseIsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer server.Close()
		c, err := newNewClient(server.URL(), func(comment) {}, wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		over := make(chan error, 1)
		go func() { over <- c.Run(t.Context()) }()
		defer c.Close(wechatws.StatusNormalClosure, "")
		for _, code := range []wechatws.StatusCode{wechatws.StatusGoingAway, wechatws.StatusServiceRestart, wechatws.StatusNormalClosure} {
			require.Empty(t, over)
			conn, err := server.NextConn(t.Context())
			require.NoError(t, err)
			require.NoError(t, conn.Close(int(code), ""))
		}
		time.Sleep(time.Hour)
		require.Len(t, over, 1)
		var closed *wechatws.CloseError
		require.ErrorAs(t, <-over, &closed)
		require.Equal(t, wechatws.StatusNormalClosure, closed.Code)
		require.Len(t, server.Conns(), 3)
	})
}
