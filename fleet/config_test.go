package fleet_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// NATS keeps a key with a time to live of 2.9 s for 2 s, and the worker would hold its rooms
// for longer than that.
func TestALeaseIsWholeSeconds(t *testing.T) {
	for _, lease := range []time.Duration{2900 * time.Millisecond, 8*time.Second + 1, time.Second, -time.Second} {
		f, err := fleet.Open(t.Context(), fleet.WithLease(lease))
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, lease)
		require.Equal(t, "fleet.WithLease", wrong.Option)
		require.Nil(t, f)
	}
}

// A worker that is lost keeps its rooms for a lease.
func TestALeaseHasAMaximum(t *testing.T) {
	f, err := fleet.Open(t.Context(), fleet.WithLease(5*time.Minute), fleet.WithKeepIn(87600*time.Hour))
	require.NoError(t, err)
	f.Close()
	for option, given := range map[string]fleet.Option{
		"fleet.WithLease":  fleet.WithLease(5*time.Minute + time.Second),
		"fleet.WithKeepIn": fleet.WithKeepIn(87600*time.Hour + 1),
	} {
		f, err := fleet.Open(t.Context(), given)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, option)
		require.Equal(t, option, wrong.Option)
		require.Nil(t, f)
	}
}

func TestAWorkersNameIsText(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a\nb", "\xff", "a\x00"} {
		_, err := w.fleet.NewWorker(func(context.Context, *fleet.Room) (*wechatws.Client, error) { return nil, nil }, fleet.WithWorkerName(name))
		var option *wechatws.OptionError
		require.ErrorAs(t, err, &option)
		require.Equal(t, "fleet.WithWorkerName", option.Option)
	}
}
