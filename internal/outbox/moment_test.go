package outbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A moment is an outbox with room for one item, which is full, and a call that waits. Its mutex
// is held while the test makes several things happen in one moment, before the call goes on.
type moment struct {
	*Outbox[int]
	first, second *Item[int]
	dropped       []error
}

func inOneMoment(t *testing.T, call func(m *moment, ctx context.Context) error, happen func(m *moment, cancel func())) (m *moment, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m = &moment{first: &Item[int]{Value: 1}, second: &Item[int]{Value: 2}}
		m.Outbox = New(Config[int]{
			Messages: 1, Bytes: 1, Policy: Wait, Full: errors.New("full"),
			Accepted: func(*Item[int]) {},
			Dropped:  func(_ *Item[int], why error) { m.dropped = append(m.dropped, why) },
		})
		require.NoError(t, m.Push(t.Context(), m.first))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- call(m, ctx) }()
		synctest.Wait()
		m.mu.Lock()
		happen(m, cancel)
		m.mu.Unlock()
		err = <-result
		cancel()
	})
	return m, err
}

func pushSecond(m *moment, ctx context.Context) error { return m.Push(ctx, m.second) }

// An item is accepted if there is room for it in the moment in which its context ends.
func TestRoomWhenTheContextEnds(t *testing.T) {
	m, err := inOneMoment(t, pushSecond, func(m *moment, cancel func()) {
		cancel()
		m.leave(m.first, nil)
	})
	require.NoError(t, err)
	require.Equal(t, 1, m.Stats().Messages)
}

// Push returns nil for an item that was accepted and has left since, because the item has its fate.
func TestAnItemThatLeavesBeforePushReturns(t *testing.T) {
	refused := errors.New("refused")
	m, err := inOneMoment(t, pushSecond, func(m *moment, _ func()) {
		m.leave(m.first, nil)
		m.drop(m.second, refused)
	})
	require.NoError(t, err)
	require.Equal(t, []error{refused}, m.dropped)
}

// Written returns nil for an item that is written in the moment in which the context ends.
func TestWrittenWhenTheContextEnds(t *testing.T) {
	_, err := inOneMoment(t, func(m *moment, ctx context.Context) error { return m.Written(ctx, m.first) }, func(m *moment, cancel func()) {
		cancel()
		m.leave(m.first, nil)
	})
	require.NoError(t, err)
}

// Written returns when the item has left.
func TestWrittenReturns(t *testing.T) {
	lost := errors.New("lost")
	_, err := inOneMoment(t, func(m *moment, ctx context.Context) error { return m.Written(ctx, m.first) }, func(m *moment, _ func()) {
		m.leave(m.first, lost)
	})
	require.Equal(t, lost, err)
}

// A call of Flush that has returned is forgotten.
func TestFlushThatEndsWithItsContext(t *testing.T) {
	m, err := inOneMoment(t, func(m *moment, ctx context.Context) error { return m.Flush(ctx) }, func(_ *moment, cancel func()) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, m.flushing.Len())
}
