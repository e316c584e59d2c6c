package wechatws

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A reader that was relieved while it ran callbacks must not read again, also when its
// successor runs callbacks before it has noticed: there would be two readers.
func TestWhoWasRelievedDoesNotReadAgain(t *testing.T) {
	// In virtual time, or on a slow machine the timer of the relief would fire before
	// succeed stops it.
	synctest.Test(t, testWhoWasRelieved)
}

func testWhoWasRelieved(t *testing.T) {
	c, err := New("ws://peer.test")
	require.NoError(t, err)
	l := &link{client: c}
	r := &l.handoff
	succeed := func(context.Context) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.timer.Stop()
		r.away = 0 // relieved,
		r.turns++
		r.away = r.turns // by one who has begun to run callbacks
	}
	d := c.dispatcher
	d.mu.Lock()
	require.True(t, d.push(item{event: succeed}))
	d.mu.Unlock()
	assert.ErrorIs(t, l.runCallbacks(), errHandedOff)
	assert.Equal(t, r.turns, r.away, "the successor is away still")
}
