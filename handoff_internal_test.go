package wechatws

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A reader that has handed off must not read again, even when the next reader runs
// callbacks before the first one has returned: there would be two readers.
func TestAfterAHandOffTheOldReaderReadsNoMore(t *testing.T) {
	// In virtual time, since on a slow machine the hand-off's timer could fire before
	// succeed stops it.
	synctest.Test(t, testHandOff)
}

func testHandOff(t *testing.T) {
	c, err := New("ws://peer.test")
	require.NoError(t, err)
	l := &link{client: c}
	h := &l.handoff
	succeed := func(context.Context) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.timer.Stop()
		h.away = 0 // handed off,
		h.turns++
		h.away = h.turns // and the next reader has begun a turn
	}
	d := c.dispatcher
	d.mu.Lock()
	require.True(t, d.push(item{event: succeed}))
	d.mu.Unlock()
	assert.ErrorIs(t, l.runCallbacks(), errHandedOff)
	assert.Equal(t, h.turns, h.away, "the next reader is still running callbacks")
}
