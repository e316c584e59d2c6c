package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeInfo answers with a clock that differs from this machine's.
type fakeInfo struct {
	ahead time.Duration
	err   error
	asked int
}

func (i *fakeInfo) Info(context.Context, ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	i.asked++
	return &jetstream.StreamInfo{TimeStamp: time.Now().Add(i.ahead)}, i.err
}

// Whatever this machine's clock is, messages expire by the clock of NATS.
func TestServerClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c serverClock
		nats := &fakeInfo{ahead: time.Hour}
		now := func() time.Duration {
			at, err := c.now(t.Context(), nats)
			require.NoError(t, err)
			return time.Until(at)
		}
		assert.Equal(t, time.Hour, now())
		time.Sleep(30 * time.Second)
		assert.Equal(t, time.Hour, now())
		assert.Equal(t, 1, nats.asked)
		nats.ahead = -time.Hour // another leader
		time.Sleep(31 * time.Second)
		assert.Equal(t, -time.Hour, now())
		assert.Equal(t, 2, nats.asked)
		time.Sleep(2 * time.Minute)
		nats.err = errors.New("no leader")
		_, err := c.now(t.Context(), nats)
		require.ErrorIs(t, err, nats.err)
	})
}
