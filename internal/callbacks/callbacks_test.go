package callbacks_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/internal/callbacks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call calls all callbacks of a list.
func call(l *callbacks.List[int], v int) {
	for _, c := range l.All() {
		c.Call(context.Background(), v)
	}
}

func TestCallbacksAreCalledInTheOrderOfTheirRegistration(t *testing.T) {
	var l callbacks.List[int]
	call(&l, 0)
	var got []int
	add := func(factor int) (remove func()) {
		return l.Add(func(_ context.Context, v int) { got = append(got, factor*v) })
	}
	add(1)
	remove := add(10)
	add(100)
	call(&l, 2)
	remove()
	remove()
	call(&l, 3)
	require.Equal(t, []int{2, 20, 200, 3, 300}, got)
}

// A callback may change the list that it is called from: a removed one is not called any
// more, an added one with the next value.
func TestChangesDuringACall(t *testing.T) {
	var l callbacks.List[int]
	var got []string
	note := func(text string) func(context.Context, int) {
		return func(context.Context, int) { got = append(got, text) }
	}
	var remove func()
	l.Add(func(context.Context, int) {
		remove()
		l.Add(note("added"))
	})
	remove = l.Add(note("removed"))
	l.Add(note("last"))
	call(&l, 0)
	require.Equal(t, []string{"last"}, got)
	call(&l, 0)
	require.Equal(t, []string{"last", "last", "added"}, got)
}

func TestAddingAndRemovingWhileOthersCall(t *testing.T) {
	var l callbacks.List[int]
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				remove := l.Add(func(context.Context, int) {})
				call(&l, 0)
				remove()
			}
		})
	}
	all.Wait()
	require.Empty(t, l.All())
}
