package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// endings are the calls that close a client.
var endings = map[string]func(c *client) error{
	"Close":    func(c *client) error { return c.Close(1000, "") },
	"CloseNow": func(c *client) error { return c.CloseNow() },
	"Shutdown": func(c *client) error { return c.Shutdown(context.Background()) },
}

// A Connect or Run that waits for the session before ends with the next Close: a manual close
// stays closed.
func TestCloseEndsAConnectThatWaits(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				hang := make(chan struct{})
				asked := 0
				c := w.clientOf("", wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
					if asked++; asked == 1 {
						<-hang
					}
					return wechatws.Endpoint{URL: w.srv.URL()}, nil
				}))
				go func() { _ = c.Connect(context.Background()) }()
				w.sleep(time.Second)
				require.NoError(t, c.Close(1000, ""))
				connected, ran := make(chan error, 1), make(chan error, 1)
				go func() { connected <- c.Connect(context.Background()) }()
				synctest.Wait()
				go func() { ran <- c.Run(context.Background()) }()
				w.sleep(time.Second)
				require.NoError(t, end(c))
				require.ErrorIs(t, <-connected, wechatws.ErrClosed)
				require.NoError(t, <-ran)
				close(hang)
				<-c.Done()
				require.Equal(t, wechatws.StateClosed, c.State())
				require.Equal(t, 1, asked)
				c.connect() // a new Connect is not affected
				c.close()
			})
		})
	}
}

// Of several calls at a time one hands the messages back.
func TestMessagesAreHandedBackOnce(t *testing.T) {
	for first, one := range endings {
		for second, two := range endings {
			t.Run(first+" and "+second, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(quiet()...).connect()
					w.conn().StopReading()
					for range 4 {
						require.NoError(t, c.Send(t.Context(), wechatws.Text(make([]byte, 1<<20-1))))
					}
					errs := make(chan error, 3)
					go func() { errs <- one(c) }()
					synctest.Wait()
					go func() { errs <- two(c) }()
					synctest.Wait()
					go func() { errs <- c.CloseNow() }()
					handedBack := 0
					for range 3 {
						var left *wechatws.UndeliveredError
						if errors.As(<-errs, &left) {
							handedBack++
							assert.NotEmpty(t, left.Messages)
						}
					}
					require.Equal(t, 1, handedBack)
					<-c.Done()
				})
			})
		}
	}
}

// An errorOf is an error of the user whose methods call the client.
type errorOf struct{ c *wechatws.Client }

func (e errorOf) Error() string      { return fmt.Sprintf("%v is dead", e.c) }
func (e errorOf) Is(error) bool      { return e.c.State() == wechatws.StateIdle }
func (e errorOf) Unwrap() error      { _ = e.c.Stats(); return nil }
func (e errorOf) As(target any) bool { return e.c.State() == wechatws.StateIdle }

func TestErrorsWhoseMethodsCallTheClient(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 1}))...).connect()
		require.NoError(t, c.Disconnect(1, errorOf{c.Client}))
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.NoError(t, c.Disconnect(2, wechatws.Permanent(errorOf{c.Client})))
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateFailed, c.State())
		require.ErrorIs(t, c.Send(t.Context(), 1), wechatws.ErrClosed)
		<-c.Done()
	})
}

// A context that has ended already is the end of a Run, as one that ends a moment later.
func TestConnectAndRunWithAnEndedContext(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := w.client(quiet()...)
		require.NoError(t, c.Run(ctx))
		require.Equal(t, wechatws.StateClosed, c.State())
		<-c.Done()

		c = w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), 1))
		err := c.Run(ctx)
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, err, &left)

		c = w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), 1))
		err = c.Connect(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorAs(t, err, &left)
		require.Equal(t, wechatws.StateClosed, c.State())
	})
}

// A slowNetConn is a network connection of the user whose Write returns late.
type slowNetConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c slowNetConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.slow.Load() {
		time.Sleep(500 * time.Millisecond)
	}
	return n, err
}

// Close does not hand back what a write under way has written, also when the connection ends
// meanwhile.
func TestWhatIsBeingWrittenIsNotHandedBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var slow atomic.Bool
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(100*time.Millisecond),
			wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := w.net.DialContext(ctx, network, addr)
				return slowNetConn{conn, &slow}, err
			}))...).connect()
		conn := w.conn()
		slow.Store(true)
		require.NoError(t, c.Send(t.Context(), wechatws.Text("one")))
		w.sleep(10 * time.Millisecond)
		closed := make(chan error)
		go func() { closed <- c.Close(1000, "") }()
		w.sleep(190 * time.Millisecond)
		require.Equal(t, []string{"one"}, received(conn))
		conn.Cut(wstest.RST)
		require.NoError(t, <-closed)
		<-c.Done()
	})
}
