package fleet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyTheWaitForAGateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		require.NoError(t, g.enter(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, g.enter(ctx), context.DeadlineExceeded)
		time.AfterFunc(time.Second, g.leave)
		require.NoError(t, g.enter(t.Context()))
		g.leave()
	})
}
