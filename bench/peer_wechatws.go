package main

import (
	"context"
	"time"
	"unsafe"

	"github.com/wechatws/wechatws"
)

// wechatwsConn is the whole client with its defaults, heartbeat and liveness included.
type wechatwsConn struct{ client *wechatws.Client }

func dialWechatws(url string) (conn, error) { return connectWechatws(url, nil) }

// connectWechatws connects a client after register has registered its callbacks.
func connectWechatws(url string, register func(*wechatws.Client), options ...wechatws.Option) (wechatwsConn, error) {
	client, err := wechatws.New(url, options...)
	if err != nil {
		return wechatwsConn{}, err
	}
	if register != nil {
		register(client)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return wechatwsConn{client}, client.Connect(ctx)
}

func (c wechatwsConn) listen(got func(data []byte)) {
	c.client.OnMessage(func(_ context.Context, m wechatws.Message) { got(m.Data) })
}

// noCopy is a wechatwsConn with OnMessageNoCopy, which does not copy the data.
type noCopy struct{ wechatwsConn }

func dialNoCopy(url string) (conn, error) {
	c, err := connectWechatws(url, nil)
	return noCopy{c}, err
}

func (c noCopy) listen(got func(data []byte)) {
	c.client.OnMessageNoCopy(func(_ context.Context, m wechatws.Message) { got(m.Data) })
}

// send makes no copy: nothing writes to the messages of the benchmark.
func (c wechatwsConn) send(text []byte) error {
	return c.client.Send(context.Background(), wechatws.Text(unsafe.String(unsafe.SliceData(text), len(text))))
}

func (c wechatwsConn) close() { _ = c.client.Close(wechatws.StatusNormalClosure, "") }

// failWith ends the run at the first error.
func failWith(client *wechatws.Client, ended chan<- error) {
	fail := func(err error) {
		select {
		case ended <- err:
		default:
		}
	}
	client.OnError(func(_ context.Context, err error) { fail(err) })
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { fail(e.Err) })
}
