package wechatws_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
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
		w.sleep(0)
		require.Equal(t, 2*time.Second, w.since())
		require.Len(t, conn.Received(), 1)
		c.close()
	})
}

// What a function of AfterConnect sends is before all that waits in the queue, and what it receives
// may be anything: here the packets of MQTT, binary and without a type.
func TestTheQueueWaitsForABinarySetup(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const messages, connects = 20, 3
		connack := wechatws.Binary{0x20, 2, 0, 0}
		w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
			if m.Data[0] == 0x10 {
				time.AfterFunc(time.Second, func() { _ = conn.SendBinary(connack) })
			}
		})
		c := w.client(quiet()...)
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			m, err := o.Request(ctx, wechatws.Binary{0x10, 0}, func(m wechatws.Message) bool { return m.Binary })
			if err == nil && !slices.Equal(m.Data, connack) {
				err = errors.New("another packet")
			}
			return err
		})
		publish := func(n int) {
			for i := range messages {
				require.NoError(t, c.Send(t.Context(), wechatws.Binary{0x30, byte(n), byte(i)}))
			}
		}
		publish(0)
		c.connect()
		for n := range connects {
			conn := w.conn()
			w.sleep(0)
			packets := conn.Received()
			require.Len(t, packets, 1+messages)
			for i, m := range packets {
				want := []byte{0x30, byte(n), byte(i - 1)}
				if i == 0 {
					want = []byte{0x10, 0}
				}
				require.Equal(t, want, m.Data)
			}
			conn.Cut(wstest.FIN)
			w.sleep(0)
			if n < connects-1 {
				publish(n + 1)
				w.sleep(4 * time.Second)
			}
		}
		require.Empty(t, c.errors(), "what Receive has returned is not an error")
		c.close()
	})
}

func TestSetupRequest(t *testing.T) {
	isPong := func(m wechatws.Message) bool { return m.Type == "pong" }
	for name, tt := range map[string]struct {
		v     any
		match func(wechatws.Message) bool
		fails func(t *testing.T, err error)
	}{
		"answered": {"ask", isPong, nil},
		"nil match": {"ask", nil, func(t *testing.T, err error) {
			require.EqualError(t, err, "wechatws: Setup.Request(nil): match must be a function")
		}},
		"not encoded": {func() {}, isPong, func(t *testing.T, err error) {
			require.ErrorContains(t, err, "cannot encode")
		}},
		"match panics": {"ask", func(wechatws.Message) bool { panic("oops") }, func(t *testing.T, err error) {
			var pe *wechatws.PanicError
			require.ErrorAs(t, err, &pe)
			require.Equal(t, "oops", pe.Value)
		}},
		"match ends its goroutine": {"ask", func(wechatws.Message) bool { runtime.Goexit(); return true }, func(t *testing.T, err error) {
			var pe *wechatws.PanicError
			require.ErrorAs(t, err, &pe)
		}},
		"no answer": {"ask", func(wechatws.Message) bool { return false }, func(t *testing.T, err error) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					for _, text := range []string{"plain", "[1]", `{"msg_type":"news"}`, `{"msg_type":"pong"}`} {
						_ = conn.Send(text)
					}
					_ = conn.SendBinary([]byte{1})
				})
				c := w.client(quiet()...).record()
				answers := make(chan error, 1)
				c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
					m, err := o.Request(ctx, tt.v, tt.match)
					if answers <- err; err == nil {
						require.JSONEq(t, `{"msg_type":"pong"}`, string(m.Data))
					}
					return err
				})
				go func() { _ = c.Connect(t.Context()) }()
				err := <-answers
				w.sleep(0)
				if tt.fails != nil {
					tt.fails(t, err)
					require.Equal(t, wechatws.StateWaiting, c.State())
					require.Empty(t, c.texts())
				} else {
					require.NoError(t, err)
					require.Equal(t, []string{"plain", "[1]", `{"msg_type":"news"}`, `{"msg_type":"pong"}`, "\x01"}, c.texts())
					require.Empty(t, c.errors())
				}
				c.close()
			})
		})
	}
}

// What a request in setup has received is not an error if no callback takes it.
func TestWhatASetupReceivesIsTaken(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
			for range 3 {
				if _, err := o.Receive(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		go func() { _ = c.Connect(t.Context()) }()
		conn := w.conn()
		require.NoError(t, conn.Send("plain"))
		require.NoError(t, conn.Send("[1]"))
		require.NoError(t, conn.SendBinary([]byte{1}))
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Empty(t, c.errors())
		c.close()
	})
}
