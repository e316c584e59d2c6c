package wechatws_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A function of AfterConnect that does not pass its context on, and a method that another goroutine
// calls, end with the timeout, and with everything else that ends the attempt.
func TestASetupEndsWithTheContextOfItsFunction(t *testing.T) {
	const timeout = 5 * time.Second
	forever := context.Background()
	for name, wait := range map[string]func(o *wechatws.Setup) error{
		"Receive": func(o *wechatws.Setup) error { _, err := o.Receive(forever); return err },
		"Send": func(o *wechatws.Setup) error {
			return o.Send(forever, wechatws.Text(make([]byte, 1<<20)))
		},
		"Receive on another goroutine": func(o *wechatws.Setup) error {
			go func() { _, _ = o.Receive(forever) }()
			time.Sleep(time.Millisecond)
			return nil
		},
	} {
		for how, end := range map[string]struct {
			at    time.Duration
			call  func(ctx context.Context, c *client)
			state wechatws.State
		}{
			"timeout": {timeout, func(context.Context, *client) {}, wechatws.StateWaiting},
			"Close": {time.Second, func(_ context.Context, c *client) {
				_ = c.Close(wechatws.StatusNormalClosure, "")
			}, wechatws.StateClosed},
			"CloseNow":  {time.Second, func(_ context.Context, c *client) { _ = c.CloseNow() }, wechatws.StateClosed},
			"Shutdown":  {time.Second, func(ctx context.Context, c *client) { _ = c.Shutdown(ctx) }, wechatws.StateClosed},
			"Reconnect": {time.Second, func(_ context.Context, c *client) { _ = c.Reconnect() }, wechatws.StateConnecting},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.srv.OnConn(func(conn *wstest.Conn) { conn.StopReading() })
					c := w.client(quiet()...)
					c.AfterConnect(timeout, func(_ context.Context, o *wechatws.Setup) error { return wait(o) })
					go func() { _ = c.Connect(t.Context()) }()
					w.sleep(end.at)
					end.call(t.Context(), c)
					w.sleep(0)
					require.Equal(t, end.at, w.since())
					require.Equal(t, end.state, c.State())
					require.LessOrEqual(t, w.net.MaxClients(), 1)
					_ = c.CloseNow()
					<-c.Done()
					require.LessOrEqual(t, w.since(), timeout)
					require.Zero(t, w.net.Clients())
				})
			})
		}
	}
}

// An error of the function ends a method that another goroutine has called.
func TestAnErrorOfAfterConnectEndsItsSetup(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		no, received := errors.New("no"), make(chan error, 1)
		c.AfterConnect(time.Minute, func(_ context.Context, o *wechatws.Setup) error {
			go func() {
				_, err := o.Receive(context.Background())
				received <- err
			}()
			time.Sleep(time.Second)
			return no
		})
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateWaiting, c.State())
		require.ErrorIs(t, c.lastChange().Err, no)
		require.Error(t, <-received)
		c.close()
	})
}

// A slowWrites is a connection that takes some time for each write.
type slowWrites struct {
	net.Conn
	takes *atomic.Int64 // nanoseconds
}

func (c slowWrites) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(c.takes.Load()))
	return c.Conn.Write(p)
}

// What a function of AfterConnect sends waits until the answer to a ping is written.
func TestASetupSendsBehindAPong(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var takes atomic.Int64
		c := w.client(append(quiet(), wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := w.net.DialContext(ctx, network, addr)
			return slowWrites{conn, &takes}, err
		}))...)
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			takes.Store(int64(time.Second))
			if _, err := o.Receive(ctx); err != nil {
				return err
			}
			return o.Send(ctx, "1")
		})
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(t.Context()) }()
		conn := w.conn()
		w.sleep(0)
		ponged := make(chan error, 1)
		go func() { ponged <- conn.Ping(t.Context()) }()
		w.sleep(0)
		require.NoError(t, conn.Send(`{"msg_type":"greeting"}`))
		w.sleep(1500 * time.Millisecond)
		require.NoError(t, <-ponged)
		require.Empty(t, conn.Received())
		require.NoError(t, <-connected)
		require.Equal(t, 2*time.Second, w.since())
		require.Len(t, conn.Received(), 1)
		c.close()
	})
}
