package fleet_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A nil function is an error of Run, as one of a Client is an error of Connect.
func TestANilFunctionIsAnErrorOfRun(t *testing.T) {
	f, err := fleet.Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	h, err := f.NewHandlers("g")
	require.NoError(t, err)
	h.OnError(nil)
	h.OnMessage(nil)
	fleet.On[string](h, "x", nil)
	fleet.On(h, "", func(context.Context, fleet.Message, string) error { return nil })
	require.EqualError(t, h.Run(t.Context()), `wechatws: fleet.Handlers.OnError(nil): the callback must be a function
wechatws: fleet.Handlers.OnMessage(nil): the callback must be a function
wechatws: fleet.On("x", nil): the callback must be a function
wechatws: fleet.On(""): must be the type of a message; OnMessage receives every message`)

	worker, err := f.NewWorker(func(context.Context, *fleet.Room) (*wechatws.Client, error) { return nil, nil })
	require.NoError(t, err)
	worker.OnError(nil)
	require.EqualError(t, worker.Run(t.Context()), `wechatws: fleet.Worker.OnError(nil): the callback must be a function`)
}

func TestANilContextIsAnError(t *testing.T) {
	var none context.Context
	_, err := fleet.Open(none)
	require.EqualError(t, err, "wechatws: fleet.Open(nil): the context must not be nil")
	f, err := fleet.Open(t.Context())
	require.NoError(t, err)
	defer f.Close()
	require.EqualError(t, f.Send(none, "9527", "x"), "wechatws: fleet.Send(nil): the context must not be nil")
}
