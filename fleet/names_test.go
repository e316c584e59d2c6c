package fleet_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// Names may be of any kind. NATS closes a connection that uses a name which is too long in a subject, and
// with it all that this process does in the fleet.
func TestNamesThatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	control := w.fleet.Control()
	long := strings.Repeat("x", 5000)
	for _, room := range []string{"", long, long[:129]} {
		asks := map[string]func(ctx context.Context) error{
			"Get":    func(ctx context.Context) error { _, err := control.Get(ctx, room); return err },
			"Remove": func(ctx context.Context) error { _, err := control.Remove(ctx, room); return err },
			"Move":   func(ctx context.Context) error { return control.Move(ctx, room, "a") },
			"Send":   func(ctx context.Context) error { return w.fleet.Send(ctx, room, 1) },
			"Tail": func(ctx context.Context) error {
				if room == "" { // all rooms
					return fleet.ErrNoRoom
				}
				for _, err := range w.fleet.Tail(ctx, room) {
					return err
				}
				return nil
			},
		}
		for name, ask := range asks {
			err := ask(w.ctx())
			require.ErrorIs(t, err, fleet.ErrNoRoom, name)
			assert.Less(t, len(err.Error()), 200, name)
		}
	}
	require.ErrorIs(t, control.Drain(w.ctx(), long), fleet.ErrNoWorker)
	_, err := control.Stats(w.ctx(), long)
	require.ErrorIs(t, err, fleet.ErrNoWorker)
	require.ErrorIs(t, control.Move(w.ctx(), "r0", long), fleet.ErrNoWorker)
	_, err = control.Get(w.ctx(), "r0")
	require.NoError(t, err, "the connection is there still")
}

// In JSON a text that is not UTF-8 would become another one.
func TestASpecIsUTF8(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	control := w.fleet.Control()
	for field, spec := range map[string]fleet.Spec{
		"Spec.Endpoint": {Endpoint: "ws://a/\xff"},
		"Spec.IDs":      {IDs: map[string]string{"\xff": "a"}},
		"Spec.Options":  {Options: map[string]string{"": "\xff"}},
		"Spec.Secrets":  {Secrets: map[string]string{"a": "env:\xff"}},
	} {
		var wrong *wechatws.OptionError
		spec.ID = "r"
		require.ErrorAs(t, control.Add(w.ctx(), spec), &wrong, field)
		assert.Equal(t, "fleet."+field, wrong.Option)
		assert.Equal(t, "must be UTF-8", wrong.Want)
		spec.ID = "r0"
		require.ErrorAs(t, control.Update(w.ctx(), spec), &wrong, field)
		assert.Equal(t, "fleet."+field, wrong.Option)
	}
	list, err := control.List(w.ctx())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NoError(t, control.Add(w.ctx(), fleet.Spec{ID: "\xff", IDs: map[string]string{"房": "间"}}), "an ID may be of any bytes")
}
