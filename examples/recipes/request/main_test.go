package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "request", recipetest.Virtual(t, run))
}

// open runs a test of a connected shop in virtual time.
func open(t *testing.T, test func(t *testing.T, srv *server, s *shop)) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer()
		defer srv.Close()
		c, err := wechatws.New(srv.URL(), srv.demo()...)
		require.NoError(t, err)
		require.NoError(t, c.Connect(t.Context()))
		defer c.Close(wechatws.StatusNormalClosure, "")
		test(t, srv, &shop{c, time.Second})
	})
}

func TestAnswersAreNotMixedUp(t *testing.T) {
	open(t, func(t *testing.T, _ *server, s *shop) {
		var asking sync.WaitGroup
		for item, want := range map[string]int{"tea": 10, "cake": 25, "cup": 7} {
			for range 20 {
				asking.Go(func() {
					price, err := s.price(t.Context(), item)
					assert.NoError(t, err)
					assert.Equal(t, want, price)
				})
			}
		}
		asking.Wait()
	})
}

func TestAMuteServerCostsTheTimeoutAndNoMore(t *testing.T) {
	open(t, func(t *testing.T, _ *server, s *shop) {
		start := time.Now()
		_, err := s.price(t.Context(), "moon")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, s.timeout, time.Since(start))
	})
}

// The timeout is for the question, however often it is asked.
func TestAConnectionThatBreaksIsAskedAgainWithinTheTimeout(t *testing.T) {
	open(t, func(t *testing.T, srv *server, s *shop) {
		srv.cutNext("question", wstest.FIN)
		price, err := s.price(t.Context(), "tea")
		require.NoError(t, err)
		require.Equal(t, 10, price)

		srv.Stop(wstest.RST)
		start := time.Now()
		_, err = s.price(t.Context(), "tea")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, s.timeout, time.Since(start))
	})
}

func TestACallbackThatAsksAMuteServerGoesOn(t *testing.T) {
	open(t, func(t *testing.T, srv *server, s *shop) {
		var after []time.Duration
		start := time.Now()
		wechatws.On(s.client, "visitor", func(ctx context.Context, v struct{ Wants string }) {
			_, _ = s.price(ctx, v.Wants)
			after = append(after, time.Since(start))
		})
		conn, err := srv.NextConn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.SendJSON(map[string]string{"msg_type": "visitor", "wants": "moon"}))
		require.NoError(t, conn.SendJSON(map[string]string{"msg_type": "visitor", "wants": "tea"}))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []time.Duration{s.timeout, s.timeout}, after)
	})
}

// Heard and not confirmed, by a server that is away for ten minutes afterwards.
func TestAnOrderOutlivesAnOutage(t *testing.T) {
	open(t, func(t *testing.T, srv *server, s *shop) {
		srv.cutNext("order", wstest.RST)
		placed := make(chan error, 1)
		go func() { placed <- s.order(t.Context(), "order-1", "tea") }()
		synctest.Wait()
		srv.Stop(wstest.RST)
		heard, _ := srv.orders("order-1")
		require.Equal(t, 1, heard)
		time.Sleep(10 * time.Minute)
		require.Empty(t, placed)
		srv.Start()
		time.Sleep(time.Minute)
		require.Len(t, placed, 1)
		require.NoError(t, <-placed)
		heard, booked := srv.orders("order-1")
		require.Equal(t, 2, heard)
		require.Equal(t, 1, booked)
	})
}

// An order whose context ends is given up: not sent any more.
func TestAnOrderCanBeGivenUp(t *testing.T) {
	open(t, func(t *testing.T, srv *server, s *shop) {
		srv.Stop(wstest.RST)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.order(ctx, "order-1", "tea"), context.DeadlineExceeded)
		srv.Start()
		time.Sleep(time.Minute)
		require.Equal(t, wechatws.StateOpen, s.client.State())
		heard, _ := srv.orders("order-1")
		require.Zero(t, heard)
	})
}
