package liveroom

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An endedContext has ended, of which nothing has been woken yet.
type endedContext struct {
	context.Context
	ended atomic.Bool
}

func (c *endedContext) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

// A wait that has ended takes no permit: not one that it was given in the same moment, and not a free
// one. It keeps its place.
func TestAPermitForAWaitThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(1, time.Second, 0)
		require.NoError(t, l.take(t.Context(), new(place), false))
		ctx := &endedContext{Context: t.Context()}
		p := new(place)
		result := make(chan error)
		go func() { result <- l.take(ctx, p, true) }()
		synctest.Wait()
		ctx.ended.Store(true)
		l.give()
		require.ErrorIs(t, <-result, context.Canceled)
		require.ErrorIs(t, l.take(ctx, p, true), context.Canceled)
		require.Equal(t, 1, l.free)
		require.NotZero(t, p.ticket)
	})
}
