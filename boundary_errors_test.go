package wechatws_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
)

type dialWith func(context.Context, transport.Handshake) (transport.Conn, *http.Response, error)

func (f dialWith) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	return f(ctx, h)
}

// faultyError panics when an error is looked for in it.
type faultyError struct{}

func (faultyError) Error() string { return "faulty" }
func (faultyError) Is(error) bool { panic("oops") }

type faultyBody struct{}

func (faultyBody) Read([]byte) (int, error) { panic("oops") }
func (faultyBody) Close() error             { panic("oops") }

// An error of one of the user's functions is looked through on the client's goroutines. One
// whose methods panic, as those of a nil pointer do, costs an attempt.
func TestAnErrorWhoseMethodsPanicIsAFailedAttempt(t *testing.T) {
	login := func(err error) func(*client) []wechatws.Option {
		return func(*client) []wechatws.Option {
			return []wechatws.Option{wechatws.WithLogin(func(context.Context) (any, error) { return nil, err })}
		}
	}
	dialer := func(resp *http.Response, err error) []wechatws.Option {
		return []wechatws.Option{wechatws.WithDialer(dialWith(func(context.Context, transport.Handshake) (transport.Conn, *http.Response, error) {
			return nil, resp, err
		}))}
	}
	for name, options := range map[string][]wechatws.Option{
		"login, Unwrap": login((*net.OpError)(nil))(nil),
		"login, Is":     login(faultyError{})(nil),
		"WithNetDial": {wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) {
			return nil, (*net.OpError)(nil)
		})},
		"WithFence":            {wechatws.WithFence(func() error { return (*net.OpError)(nil) })},
		"Dialer":               dialer(nil, (*net.OpError)(nil)),
		"Dialer, its response": dialer(&http.Response{StatusCode: http.StatusServiceUnavailable, Body: faultyBody{}}, errors.New("no")),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), options...)...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.Error(t, c.Connect(ctx))
				require.NotEmpty(t, c.errors())
				require.NoError(t, c.CloseNow())
			})
		})
	}
	for name, err := range map[string]error{"Unwrap": (*net.OpError)(nil), "Error": (*url.Error)(nil)} {
		t.Run("AfterConnect, "+name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				c.AfterConnect(time.Second, func(context.Context, *wechatws.Setup) error { return err })
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.Error(t, c.Connect(ctx))
				require.NoError(t, c.CloseNow())
			})
		})
	}
}

func TestAnErrorWhoseMethodsPanicEndsTheConnection(t *testing.T) {
	for name, err := range map[string]error{"Unwrap": (*net.OpError)(nil), "Error": (*url.Error)(nil)} {
		t.Run("Drop, "+name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...).connect()
				require.NoError(t, c.Disconnect(1, err))
				w.sleep(time.Minute)
				require.Equal(t, wechatws.StateOpen, c.State())
				require.Equal(t, 2, c.Stats().Opens)
				require.NoError(t, c.CloseNow())
			})
		})
	}
	t.Run("Conn.Reader", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(append(quiet(), wechatws.WithDialer(dialWith(func(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
				conn, resp, err := coder.Dialer{}.Dial(ctx, h)
				if err != nil {
					return nil, resp, err
				}
				return faultyReader{conn}, resp, nil
			})))...)
			c.connect()
			w.sleep(time.Minute)
			var pe *wechatws.PanicError
			require.ErrorAs(t, c.lastClose().Err, &pe)
			require.NoError(t, c.CloseNow())
		})
	})
}

type faultyReader struct{ transport.Conn }

func (faultyReader) Reader() (transport.MessageType, io.Reader, error) {
	return 0, nil, (*net.OpError)(nil)
}
