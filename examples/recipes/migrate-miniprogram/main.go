// Migrate-miniprogram is a page of a Mini Program as a Go program. The comments have the
// page's JavaScript, a sketch with the usual methods of its WebSocket helper; the Go
// counterpart is below each piece.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/wechatws/wechatws"
)

// Messages were objects with a msg_type. Here each type that the program uses is a struct,
// and a field of the wrong type is an error on arrival.

type login struct {
	Type   string `json:"msg_type"`
	UserID int    `json:"user_id"`
	Token  string `json:"token"`
}

type comment struct {
	Type    string `json:"msg_type"`
	From    string `json:"from_name,omitempty"`
	Content string `json:"content"`
}

// A page is the counterpart of Page({data: …}). Callbacks run one at a time, so that they
// need no lock, as in JavaScript. Other goroutines that read it while the client runs need
// one.
type page struct {
	client   *wechatws.Client
	out      io.Writer
	comments []comment
}

//	onLoad() {
//	  this.ws = new Socket({ heartCheck: true, isReconnection: true })
//	  this.ws.onReceivedMsg(res => {
//	    const msg = JSON.parse(res.data)                // throws on what is no JSON
//	    if (msg.msg_type == 'message') {
//	      this.setData({ comments: this.data.comments.concat(msg) })
//	    } else if (msg.msg_type == 'notice') {
//	      wx.showToast({ title: msg.text })
//	    }
//	  })
//	}
func newPage(out io.Writer, url string, options ...wechatws.Option) (*page, error) {
	p := &page{out: out}
	var err error
	// Heartbeat and reconnecting are on, with the original's times. The client sends the
	// login on every connection; the page sent it in success, which is called once, and so
	// was not logged in after a reconnect.
	p.client, err = wechatws.New(url, append([]wechatws.Option{
		wechatws.WithLoginMessage(login{"login", 42, "secret"}),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	wechatws.On(p.client, "message", func(_ context.Context, c comment) {
		p.comments = append(p.comments, c)
		fmt.Fprintf(out, "%s: %s\n", wechatws.Printable(c.From), wechatws.Printable(c.Content))
	})
	wechatws.On(p.client, "notice", func(_ context.Context, n struct{ Text string }) {
		fmt.Fprintf(out, "notice: %s\n", wechatws.Printable(n.Text))
	})
	// An exception in the listener stopped it. Here it is an error, and the client goes on.
	p.client.OnError(func(_ context.Context, err error) {
		var unusable *wechatws.DecodeError
		if errors.As(err, &unusable) {
			fmt.Fprintln(out, "unusable:", wechatws.Printable(unusable.Err.Error()))
		}
	})
	p.watch()
	return p, nil
}

//	onShow() {
//	  this.ws.initWebSocket({
//	    url: 'wss://live.example.com/ws',
//	    success: () => this.ws.sendWebSocketMsg({ data: { msg_type: 'login', … } }),
//	    fail: () => wx.showToast({ title: 'offline' }),
//	  })
//	}
func (p *page) onShow(ctx context.Context) error {
	// nil is success: connected and logged in. Unlike fail, it is no error that the server is
	// away for a while; Connect tries until ctx ends.
	return p.client.Connect(ctx)
}

//	say(text) {
//	  this.ws.sendWebSocketMsg({
//	    data: { msg_type: 'message', content: text },
//	    fail: () => this.unsent.push(text),             // never sent again
//	  })
//	}
func (p *page) say(ctx context.Context, text string) error {
	return p.client.Send(ctx, comment{Type: "message", Content: text}) // kept while offline
}

//	this.ws.onSocketClosed({
//	  url: this.url,
//	  success: () => this.login(), fail: () => {},      // without this: no reconnect
//	})
//
// this.ws.onNetworkChange({ url: this.url, … })       // and another reconnect
func (p *page) watch() {
	// Only to show the state: the client reconnects without it, too.
	p.client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		fmt.Fprintf(p.out, "-- %v\n", c.To)
	})
}

//	onUnload() {
//	  this.ws.closeWebSocket()                          // what was being sent is lost
//	}
func (p *page) onUnload(ctx context.Context) error {
	return p.client.Shutdown(ctx) // writes what is queued; callbacks finish
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := newServer()
	defer server.Close()
	p, err := newPage(out, server.URL(),
		// Only for the demo, whose network is in memory:
		wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil),
		wechatws.WithTiers(wechatws.Tier{Delay: 300 * time.Millisecond}))
	if err != nil {
		return err
	}
	shown, dropped := make(chan comment, 2), make(chan wechatws.CloseEvent, 2)
	wechatws.On(p.client, "message", func(_ context.Context, c comment) { shown <- c })
	p.client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { dropped <- e })

	if err := p.onShow(ctx); err != nil {
		return err
	}
	if err := p.say(ctx, "hello"); err != nil {
		return err
	}
	<-shown
	server.drop()
	<-dropped
	if err := p.say(ctx, "said while there was no connection"); err != nil {
		return err
	}
	<-shown
	return p.onUnload(ctx)
}
