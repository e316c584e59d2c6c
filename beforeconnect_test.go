package wechatws_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// It runs before each attempt, and before the endpoint function; what it waits for counts against no
// timeout, and the server sees nothing meanwhile.
func TestBeforeConnectMayWait(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		asked := 0
		c := w.clientOf("", append(quiet(), wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			asked++
			return wechatws.Endpoint{URL: w.srv.URL()}, nil
		}))...)
		var attempts []int
		turn := make(chan struct{})
		c.BeforeConnect(func(ctx context.Context, attempt int) error {
			attempts = append(attempts, attempt)
			select {
			case <-turn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(t.Context()) }()
		w.sleep(24 * time.Hour)
		require.Equal(t, wechatws.StateConnecting, c.State())
		require.Zero(t, asked)
		turn <- struct{}{}
		require.NoError(t, <-connected)

		w.conn().Cut(wstest.FIN)
		w.sleep(24 * time.Hour)
		require.Equal(t, []int{1, 2}, attempts)
		require.Equal(t, 1, asked)
		require.Zero(t, w.srv.OpenConns())

		require.NoError(t, c.Reconnect()) // begins another attempt
		w.sleep(0)
		require.Len(t, attempts, 3)
		turn <- struct{}{}
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		w.conn().Cut(wstest.FIN)
		w.sleep(24 * time.Hour)
		c.close()
	})
}

func TestBeforeConnectErrors(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		no := errors.New("no")
		c.BeforeConnect(func(_ context.Context, attempt int) error {
			if attempt == 1 {
				return no
			}
			return wechatws.Permanent(no)
		})
		c.BeforeConnect(func(context.Context, int) error { t.Error("it is called after an error"); return nil })
		err := c.Connect(t.Context())
		require.EqualError(t, err, "wechatws: before: no")
		require.ErrorIs(t, err, no)
		require.Equal(t, 2, c.Stats().Attempts)

		c.BeforeConnect(nil)
		require.ErrorContains(t, c.Connect(t.Context()), "BeforeConnect(nil): the callback must be a function")
	})
}
