package trials

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client is a Client that keeps what its callbacks were told.
type client struct {
	*wechatws.Client
	t       *testing.T
	changed chan struct{} // something was told

	mu      sync.Mutex
	changes []wechatws.StateChange
	closes  []wechatws.CloseEvent
	errs    []error
	texts   []string
}

// newClient makes a client that tries again soon.
func newClient(t *testing.T, url string, options ...wechatws.Option) *client {
	options = append([]wechatws.Option{
		wechatws.WithProxy(nil), wechatws.WithTiers(wechatws.Tier{Delay: 100 * time.Millisecond}),
	}, options...)
	c, err := wechatws.New(url, options...)
	require.NoError(t, err)
	k := &client{Client: c, t: t, changed: make(chan struct{}, 1)}
	c.OnStateChange(func(_ context.Context, e wechatws.StateChange) { k.note(func() { k.changes = append(k.changes, e) }) })
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { k.note(func() { k.closes = append(k.closes, e) }) })
	c.OnError(func(_ context.Context, err error) { k.note(func() { k.errs = append(k.errs, err) }) })
	c.OnMessage(func(_ context.Context, m wechatws.Message) {
		k.note(func() { k.texts = append(k.texts, string(m.Data)) })
	})
	t.Cleanup(func() { _ = c.Close(wechatws.StatusNormalClosure, "") })
	return k
}

func (c *client) note(keep func()) {
	c.mu.Lock()
	keep()
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *client) connect() *client {
	c.t.Helper()
	require.NoError(c.t, c.Connect(c.t.Context()))
	return c
}

// until waits for something that the callbacks tell. The limit is far beyond what a
// busy machine needs: it ends a test that has failed, and judges no speed.
func (c *client) until(what string, done func() bool) {
	c.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		c.mu.Lock()
		ok := done()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-limit.C:
			require.Fail(c.t, "it has not come about: "+what)
		}
	}
}

// failure is the n-th error, from 1.
func (c *client) failure(n int) (err error) {
	c.t.Helper()
	c.until("a failure", func() bool { return len(c.errs) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs[n-1]
}

// closed is the n-th close event, from 1.
func (c *client) closed(n int) wechatws.CloseEvent {
	c.t.Helper()
	c.until("a close", func() bool { return len(c.closes) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closes[n-1]
}

func (c *client) open(times int) {
	c.t.Helper()
	c.until("open again", func() bool { return c.Stats().Opens >= times && c.State() == wechatws.StateOpen })
}
