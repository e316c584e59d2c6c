package wechatws

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The end of a call wakes one of those that wait, not all of them: with SendConfirmed the next one,
// and the one that is answered otherwise.
func TestOneWakeForOneChange(t *testing.T) {
	c, _, _ := feedClient(t)
	calls := make([]*confirmation, 100)
	for i := range calls {
		calls[i] = &confirmation{turn: make(chan struct{})}
		require.NoError(t, c.beginRequest(context.Background(), &calls[i].request))
		require.NoError(t, c.confirmations.add(context.Background(), calls[i], c.cfg))
	}
	awake := func() (turns, results int) {
		for _, call := range calls {
			if isClosed(call.turn) {
				turns++
			}
			results += len(call.wake)
		}
		return turns, results
	}
	turns, results := awake()
	assert.Equal(t, [2]int{1, 0}, [2]int{turns, results})
	calls[0].fail(errors.New("answered"))
	turns, results = awake()
	assert.Equal(t, [2]int{1, 1}, [2]int{turns, results})
	_, _ = calls[0].end()
	c.endConfirmation(calls[0])
	turns, results = awake()
	assert.Equal(t, [2]int{2, 0}, [2]int{turns, results})
	calls[50].fail(errors.New("given up"))
	c.endConfirmation(calls[50])
	turns, results = awake()
	assert.Equal(t, [2]int{2, 1}, [2]int{turns, results})
}
