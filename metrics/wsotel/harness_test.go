package wsotel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a server in memory, in virtual time.
type world struct {
	*testing.T
	net   *wstest.Network
	srv   *wstest.Server
	start time.Time
}

func virtual(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		w := &world{T: t, net: n, srv: wstest.NewServer(wstest.WithNetwork(n)), start: time.Now()}
		defer w.srv.Close()
		test(t, w)
	})
}

// client makes a client, which is closed in the end.
func (w *world) client(options ...wechatws.Option) *wechatws.Client {
	w.Helper()
	return w.clientOf(w.srv.URL(), options...)
}

func (w *world) clientOf(url string, options ...wechatws.Option) *wechatws.Client {
	w.Helper()
	options = append([]wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext)}, options...)
	c, err := wechatws.New(url, options...)
	require.NoError(w, err)
	w.Cleanup(func() { w.close(c) })
	return c
}

func (w *world) connect(c *wechatws.Client) *wstest.Conn {
	w.Helper()
	require.NoError(w, c.Connect(w.Context()))
	conn, err := w.srv.NextConn(w.Context())
	require.NoError(w, err)
	return conn
}

// begin connects, and does not wait for that.
func (w *world) begin(c *wechatws.Client) {
	go func() { _ = c.Connect(w.Context()) }()
	synctest.Wait()
}

func (w *world) close(c *wechatws.Client) { _ = c.Close(wechatws.StatusNormalClosure, "") }

// sleep lets virtual time pass, and then everything settle.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
