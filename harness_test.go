package wechatws_test

import (
	"context"
	"flag"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) {
	// Of the tests that run in parallel, some compute and some only wait, for a process in a
	// network namespace: more of them than there are cores. Of their heartbeats, fewer than crowd
	// run at a time. -parallel still counts.
	_ = flag.Set("test.parallel", "16")
	goleak.VerifyTestMain(m)
}

// A world is a server and clients on a network in memory, in virtual time, all
// inside one synctest bubble.
type world struct {
	*testing.T
	net   *wstest.Network
	srv   *wstest.Server
	start time.Time
}

// virtual runs a test in a world of its own. What the test leaves running, such
// as a goroutine of the client after Close, fails it.
func virtual(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		w := &world{T: t, net: n, srv: wstest.NewServer(wstest.WithNetwork(n)), start: time.Now()}
		defer w.srv.Close()
		test(t, w)
	})
}

// client makes a client of the world's server, with no login unless asked for.
func (w *world) client(options ...wechatws.Option) *client {
	w.Helper()
	return w.clientOf(w.srv.URL(), options...)
}

func (w *world) clientOf(url string, options ...wechatws.Option) *client {
	w.Helper()
	options = append([]wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext)}, options...)
	c, err := wechatws.New(url, options...)
	require.NoError(w, err)
	return watch(w.T, c)
}

// since is the virtual time that has passed.
func (w *world) since() time.Duration { return time.Since(w.start) }

// sleep lets virtual time pass, and waits until all goroutines of the bubble are blocked.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// conn is the next connection that the server accepts.
func (w *world) conn() *wstest.Conn {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
	defer cancel()
	c, err := w.srv.NextConn(ctx)
	require.NoError(w, err)
	return c
}

// A client is a Client that records what its callbacks receive.
type client struct {
	*wechatws.Client
	t *testing.T

	mu       sync.Mutex
	changes  []wechatws.StateChange
	opens    []wechatws.OpenEvent
	closes   []wechatws.CloseEvent
	errs     []error
	messages []wechatws.Message
	log      []string // everything, in the order of delivery
}

func watch(t *testing.T, c *wechatws.Client) *client {
	w := &client{Client: c, t: t}
	c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
		w.note(func() { w.changes = append(w.changes, e) }, "state "+e.To.String())
	})
	c.OnOpen(func(_ context.Context, e wechatws.OpenEvent) {
		w.note(func() { w.opens = append(w.opens, e) }, "open")
	})
	c.OnClose(func(_ context.Context, e wechatws.CloseEvent) {
		w.note(func() { w.closes = append(w.closes, e) }, "close")
	})
	c.OnError(func(_ context.Context, err error) {
		w.note(func() { w.errs = append(w.errs, err) }, "error")
	})
	return w
}

// record keeps every message, also those without a type.
func (c *client) record() *client {
	c.OnMessage(func(_ context.Context, m wechatws.Message) {
		c.note(func() { c.messages = append(c.messages, m) }, "message "+string(m.Data))
	})
	return c
}

func (c *client) note(keep func(), line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep()
	c.log = append(c.log, line)
}

func (c *client) connect() *client {
	c.t.Helper()
	require.NoError(c.t, c.Connect(c.t.Context()))
	return c
}

// close closes the client, and waits for Done.
func (c *client) close() {
	c.t.Helper()
	require.NoError(c.t, c.Close(wechatws.StatusNormalClosure, ""))
	<-c.Done()
}

func (c *client) send(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		require.NoError(c.t, c.Send(c.t.Context(), wechatws.Text(text)))
	}
}

func (c *client) flush() {
	c.t.Helper()
	require.NoError(c.t, c.Flush(c.t.Context()))
}

// states are the states that it has been in, in order.
func (c *client) states() (states []string) {
	for _, change := range c.moves() {
		states = append(states, change.To.String())
	}
	return states
}

func (c *client) errors() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.errs)
}

func (c *client) events() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// ends are those of all connections that were open.
func (c *client) ends() []wechatws.CloseEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.closes)
}

func (c *client) lastClose() wechatws.CloseEvent {
	ends := c.ends()
	require.NotEmpty(c.t, ends)
	return ends[len(ends)-1]
}

// moves are its changes of state.
func (c *client) moves() []wechatws.StateChange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.changes)
}

func (c *client) lastChange() wechatws.StateChange {
	moves := c.moves()
	require.NotEmpty(c.t, moves)
	return moves[len(moves)-1]
}

// texts are the messages that arrived.
func (c *client) texts() (texts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.messages {
		texts = append(texts, string(m.Data))
	}
	return texts
}

// received returns the text messages that the server has received.
func received(c *wstest.Conn) (texts []string) {
	for _, m := range c.Received() {
		texts = append(texts, string(m.Data))
	}
	return texts
}

// quiet switches off heartbeats and pings, which tests of other things would find on the wire.
func quiet() []wechatws.Option {
	return []wechatws.Option{wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness()}
}

// A fakeNetwork is a NetworkMonitor whose status a test sets.
type fakeNetwork struct {
	mu       sync.Mutex
	status   wechatws.NetworkStatus
	watchers map[int]func(wechatws.NetworkStatus)
	next     int
}

func newFakeNetwork(connected bool) *fakeNetwork {
	n := &fakeNetwork{watchers: map[int]func(wechatws.NetworkStatus){}}
	n.status = networkStatus(connected)
	return n
}

func networkStatus(connected bool) wechatws.NetworkStatus {
	if connected {
		return wechatws.NetworkStatus{Connected: true, Type: "wifi"}
	}
	return wechatws.NetworkStatus{Type: "none"}
}

func (n *fakeNetwork) Status() wechatws.NetworkStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

func (n *fakeNetwork) Watch(fn func(wechatws.NetworkStatus)) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.next
	n.next++
	n.watchers[id] = fn
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, id)
	}
}

func (n *fakeNetwork) set(connected bool) {
	n.mu.Lock()
	n.status = networkStatus(connected)
	status := n.status
	var fns []func(wechatws.NetworkStatus)
	for _, fn := range n.watchers {
		fns = append(fns, fn)
	}
	n.mu.Unlock()
	for _, fn := range fns {
		fn(status)
	}
}
