package fleet_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A worker connects to the hosts that its program permits, and for a room with another endpoint calls no
// function of the program and looks up no secret. The error is in OnError and on the page of all rooms.
func TestEndpointsAreOfPermittedHosts(t *testing.T) {
	w := newWorld(t)
	errs := make(chan error, 10)
	lookUp := func(_ context.Context, ref string) (string, error) {
		assert.Fail(t, "it is looked up", ref)
		return "", nil
	}
	w.workerReporting(func(room string, err error) {
		assert.Equal(t, "evil", room)
		errs <- err
	}, func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		if r.ID == "evil" {
			_, _ = r.Secret(ctx, "token")
		}
		_, err := r.NewClient("ws://another.example")
		assert.ErrorIs(t, err, fleet.ErrEndpoint)
		return quietly(ctx, r)
	}, fleet.WithSecrets(lookUp), fleet.WithEndpoints("127.0.0.1", "*.example.com"))
	w.add(1)
	w.conn("r0")
	evil := fleet.Spec{ID: "evil", Endpoint: "wss://example.com.evil.example:9/?x=s3cret", Secrets: map[string]string{"token": "env:HOME"}}
	require.NoError(t, w.fleet.Control().Add(w.ctx(), evil))
	err := receiving(w, errs)
	require.ErrorIs(t, err, fleet.ErrEndpoint)
	require.ErrorContains(t, err, `host "example.com.evil.example:9"`)
	assert.NotContains(t, err.Error(), "s3cret")
	rows := w.fleet.Rows()
	require.Eventually(t, func() bool {
		for r := range rows {
			if r.Name == "evil" {
				assert.Equal(t, wechatws.StateFailed, r.Stats.State)
				assert.ErrorContains(t, r.Stats.LastError, "not permitted by WithEndpoints")
				return true
			}
		}
		return false
	}, patience, tick)
	evil.Endpoint = w.srv.URL() + "?room=evil"
	evil.Secrets = nil
	require.NoError(t, w.fleet.Control().Update(w.ctx(), evil))
	w.conn("evil")
}

func TestWrongEndpoints(t *testing.T) {
	w := newWorld(t)
	for _, hosts := range [][]string{
		{}, {""}, {"wss://live.example.com"}, {"live.example.com/ws"}, {"*"}, {"live.*.com"}, {"a b"}, {"*example.com"},
		{"live.example.com:"}, {"live.example.com:port"}, {"me@live.example.com"}, {"::1"}, {"good.example", "[::1"},
	} {
		_, err := w.fleet.NewWorker(quietly, fleet.WithEndpoints(hosts...))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, hosts)
		assert.Equal(t, "fleet.WithEndpoints", wrong.Option)
		assert.NotEmpty(t, wrong.Want)
	}
}
