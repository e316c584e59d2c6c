package fleet_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
