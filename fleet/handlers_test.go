package fleet_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// told has the calls of OnError.
type told struct {
	mu   sync.Mutex
	errs []error
	msgs []fleet.Message
}

func (o *told) tell(m fleet.Message, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.msgs, o.errs = append(o.msgs, m), append(o.errs, err)
}

func (o *told) all() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.errs[:len(o.errs):len(o.errs)]
}

func (w *world) handlers(options ...fleet.HandlersOption) *fleet.Handlers {
	w.Helper()
	h, err := w.fleet.NewHandlers("g", append([]fleet.HandlersOption{fleet.WithFromStart(), fleet.WithRetryAfter(time.Millisecond)}, options...)...)
	require.NoError(w, err)
	return h
}

// What fails is tried again, and what is behind it in the room waits.
func TestHandlersTryAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	var o told
	h := w.handlers()
	h.OnError(o.tell)
	failed := errors.New("failed")
	calls := make(chan fleet.Message, 100)
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c comment) error {
		calls <- m
		switch {
		case c.Content == "bad" && m.Attempt == 1:
			return failed
		case c.Content == "bad" && m.Attempt == 2:
			panic("a bug")
		case c.Content == "bad" && m.Attempt == 3:
			runtime.Goexit()
		}
		return nil
	})
	w.runHandlers(h)
	for _, text := range []string{"good", "bad", "last"} {
		require.NoError(t, conn.Send(`{"msg_type":"message","content":"`+text+`"}`))
	}
	var list []fleet.Message
	for range 6 {
		list = append(list, <-calls)
	}
	for i, want := range []struct {
		text    string
		attempt int
	}{{"good", 1}, {"bad", 1}, {"bad", 2}, {"bad", 3}, {"bad", 4}, {"last", 1}} {
		assert.Contains(t, string(list[i].Data), want.text)
		assert.Equal(t, want.attempt, list[i].Attempt)
		assert.Equal(t, "a", list[i].Worker)
		assert.Equal(t, 1, list[i].Connection)
		assert.WithinDuration(t, time.Now(), list[i].Received, patience)
	}
	assert.Equal(t, list[1].Seq, list[4].Seq)
	assert.Greater(t, list[5].Seq, list[4].Seq)
	errs := o.all()
	require.Len(t, errs, 3)
	require.ErrorIs(t, errs[0], failed)
	var panicked *wechatws.PanicError
	require.ErrorAs(t, errs[1], &panicked)
	assert.Equal(t, "a bug", panicked.Value)
	assert.Contains(t, string(panicked.Stack), "handlers_test.go")
	require.ErrorAs(t, errs[2], &panicked)
	assert.ErrorContains(t, panicked, "Goexit")
}

// A message whose callback always fails is given up and reported, and those behind it are handled.
func TestHandlersGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	var o told
	h := w.handlers(fleet.WithAttempts(3))
	h.OnError(o.tell)
	last := make(chan fleet.Message, 1)
	fleet.On(h, "message", func(context.Context, fleet.Message, comment) error { return errors.New("always") })
	fleet.On(h, "number", func(context.Context, fleet.Message, struct{ N int }) error { return nil })
	fleet.On(h, "last", func(_ context.Context, m fleet.Message, _ any) error { last <- m; return nil })
	w.runHandlers(h)
	for _, text := range []string{`{"msg_type":"message"}`, `{"msg_type":"number","n":"none"}`, `{"msg_type":"nobody's"}`, `{"msg_type":"last"}`} {
		require.NoError(t, conn.Send(text))
	}
	<-last
	errs := o.all()
	require.Len(t, errs, 4)
	assert.NotContains(t, errs[1].Error(), "given up")
	assert.Contains(t, errs[2].Error(), "given up after 3 attempts: always")
	var decode *wechatws.DecodeError
	require.ErrorAs(t, errs[3], &decode)
	assert.Equal(t, "number", decode.Type, "once: it never will")
}

// Each group gets all, each message goes to one of a group, and a group that begins now gets
// nothing of the past.
func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(5)
	w.worker("a")
	for range 5 {
		c, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
		require.NoError(t, c.Send(`{"msg_type":"past"}`))
	}
	one, other := w.handle("one"), w.handle("other")
	for range 5 {
		assert.Equal(t, "past", one.next().Type)
		assert.Equal(t, "past", other.next().Type)
	}
	h, err := w.fleet.NewHandlers("new")
	require.NoError(t, err)
	fresh := make(chan fleet.Message, 1)
	h.OnMessage(func(_ context.Context, m fleet.Message) error {
		select {
		case fresh <- m:
		default: // one is enough
		}
		return nil
	})
	w.runHandlers(h)
	second := w.handle("one")
	// When the new group has begun is not known.
	n := 0
	require.Eventually(t, func() bool {
		for _, c := range w.srv.Conns() {
			require.NoError(t, c.Send(`{"msg_type":"now"}`))
			n++
		}
		return len(fresh) > 0
	}, patience, tick)
	seen := map[uint64]bool{}
	for range n {
		var m fleet.Message
		select {
		case m = <-one.messages:
		case m = <-second.messages:
		}
		assert.Equal(t, "now", m.Type)
		assert.False(t, seen[m.Seq], "by one of a group only")
		seen[m.Seq] = true
	}
	assert.Equal(t, "now", (<-fresh).Type)
}

// When one of a group ends in the middle of a message, another one gets it, and at once.
func TestAnotherHandlerTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	first := w.handlers(fleet.WithTakeoverAfter(time.Minute))
	begun := make(chan bool)
	first.OnMessage(func(ctx context.Context, m fleet.Message) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	stop := w.runHandlers(first)
	require.NoError(t, conn.Send(`{"msg_type":"one"}`))
	require.NoError(t, conn.Send(`{"msg_type":"two"}`))
	<-begun
	second := w.handle("g")
	stop()
	m := second.next()
	assert.Equal(t, "one", m.Type)
	assert.Equal(t, 1, m.Attempt, "the first one was not a failure")
	assert.Equal(t, "two", second.next().Type)
}

// A callback may take longer than the time after which a lost process's partitions are taken.
func TestASlowHandlerKeepsItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	calls := make(chan fleet.Message, 10)
	for range 2 {
		h := w.handlers(fleet.WithTakeoverAfter(3 * time.Second))
		h.OnMessage(func(_ context.Context, m fleet.Message) error {
			calls <- m
			if m.Type == "slow" {
				time.Sleep(9 * time.Second) // what it is about: three takeovers
			}
			return nil
		})
		w.runHandlers(h)
	}
	require.NoError(t, conn.Send(`{"msg_type":"slow"}`))
	require.NoError(t, conn.Send(`{"msg_type":"next"}`))
	assert.Equal(t, "slow", (<-calls).Type)
	assert.Equal(t, "next", (<-calls).Type)
}

func TestNewHandlersReportsEveryWrongOptionByName(t *testing.T) {
	w := newWorld(t)
	for _, one := range []struct {
		group   string
		options []fleet.HandlersOption
		option  string
	}{
		{"", nil, "fleet.NewHandlers"},
		{"a.b", nil, "fleet.NewHandlers"},
		{strings.Repeat("x", 33), nil, "fleet.NewHandlers"},
		{"g", []fleet.HandlersOption{nil}, "fleet.NewHandlers"},
		{"g", []fleet.HandlersOption{fleet.WithAttempts(-1)}, "fleet.WithAttempts"},
		{"g", []fleet.HandlersOption{fleet.WithRetryAfter(0)}, "fleet.WithRetryAfter"},
		{"g", []fleet.HandlersOption{fleet.WithTakeoverAfter(time.Millisecond)}, "fleet.WithTakeoverAfter"},
	} {
		_, err := w.fleet.NewHandlers(one.group, one.options...)
		var wrong *wechatws.OptionError
		require.ErrorAs(t, err, &wrong, one.option)
		assert.Equal(t, one.option, wrong.Option)
		assert.NotEmpty(t, wrong.Want)
	}
	_, err := w.fleet.NewHandlers("g", fleet.WithTakeoverAfter(0), fleet.WithAttempts(-1), fleet.WithTakeoverAfter(time.Second))
	assert.EqualError(t, err, "wechatws: fleet.WithAttempts(-1): must be above zero, or zero for no limit", "the later one replaces the earlier one's mistake")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := w.handlers()
	require.Error(t, h.Run(ctx), "it could not begin")
}
