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

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "migrate-miniprogram", recipetest.Virtual(t, run))
}

// With the original's times, which are the default.
func TestThePageInItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		var out recipetest.Buffer
		p, err := newPage(&out, s.URL(), wechatws.WithNetDial(s.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		require.NoError(t, p.onShow(t.Context()))
		require.ErrorIs(t, p.onShow(t.Context()), wechatws.ErrAlreadyConnected)
		time.Sleep(3500 * time.Millisecond)
		received := s.Conns()[0].Received()
		require.Len(t, received, 2, "the login, and a heartbeat after 3 s")
		require.Equal(t, `{"msg_type":"ping"}`, received[1].Text())

		s.drop()
		time.Sleep(2 * time.Second)
		require.NoError(t, p.say(t.Context(), "kept"))
		require.Len(t, s.Conns(), 1)
		time.Sleep(2 * time.Second)
		require.Equal(t, wechatws.StateOpen, p.client.State())
		require.Len(t, s.Conns(), 2)
		synctest.Wait()
		require.Equal(t, "kept", p.comments[0].Content)

		require.NoError(t, p.onUnload(t.Context()))
		time.Sleep(time.Hour)
		require.Len(t, s.Conns(), 2, "a manual close stays closed")
		require.NoError(t, p.onShow(t.Context()), "and can be shown again")
		require.NoError(t, p.onUnload(t.Context()))
	})
}

// The helper's reconnect started from a close event and from a network event alike.
func TestThereIsOneConnectionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(network))
		defer s.Close()
		p, err := newPage(&recipetest.Buffer{}, s.URL(), wechatws.WithNetDial(network.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		require.NoError(t, p.onShow(t.Context()))
		for range 10 {
			network.Down()
			time.Sleep(time.Minute)
			network.Up()
			time.Sleep(time.Minute)
		}
		require.NoError(t, p.onUnload(t.Context()))
		require.Equal(t, 1, network.MaxClients())
	})
}
