package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// Every place where a program may have a secret has one, and everything fails that can. No error,
// event, state or panic of the client may contain one.
func TestNoSecretIsShown(t *testing.T) {
	const (
		inURL      = "s3cret-query"
		inUser     = "s3cret-user"
		inPassword = "s3cret-password"
		inPath     = "s3cret-redirect"
		inHeader   = "s3cret-header"
		inProxy    = "s3cret-proxy"
		inLogin    = "s3cret-login"
		inMessage  = "s3cret-message"
	)
	secret := regexp.MustCompile("s3cret-[a-z]+")
	address := "ws://" + inUser + ":" + inPassword + "@server.test:80/?token=" + inURL
	base := []wechatws.Option{
		wechatws.WithHeader(http.Header{"Authorization": {"Bearer " + inHeader}, "X-Token": {inHeader}, "Cookie": {"sid=" + inHeader}}),
		wechatws.WithLoginMessage(map[string]string{"password": inLogin}),
		wechatws.WithTiers(wechatws.Tier{Delay: time.Second, Attempts: 2}),
	}
	echo := func(r *http.Request) wstest.Answer {
		return wstest.Status(500, http.Header{"Set-Cookie": {inHeader}}, fmt.Sprint(r.URL, r.Header, r.Header.Get("X-Token")))
	}
	virtual(t, func(t *testing.T, w *world) {
		var checked atomic.Int64
		check := func(what string, values ...any) {
			for _, v := range values {
				checked.Add(1)
				for _, format := range []string{"%v", "%+v", "%s"} {
					assert.Empty(t, secret.FindString(fmt.Sprintf(format, v)), "%s, as %q", what, format)
				}
			}
		}
		// try checks everything that the client reports.
		try := func(what, address string, during func(c *wechatws.Client), options ...wechatws.Option) {
			c, err := wechatws.New(address, append(append(base[:len(base):len(base)], wechatws.WithProxy(nil), wechatws.WithNetDial(w.net.DialContext)), options...)...)
			if err != nil {
				check(what, err)
				return
			}
			c.OnStateChange(func(_ context.Context, e wechatws.StateChange) { check(what, e, e.Err) })
			c.OnOpen(func(_ context.Context, e wechatws.OpenEvent) { check(what, e) })
			c.OnClose(func(_ context.Context, e wechatws.CloseEvent) { check(what, e, e.Err) })
			c.OnError(func(_ context.Context, err error) { check(what, err) })
			wechatws.On(c, "number", func(context.Context, int) {})
			wechatws.On(c, "panic", func(context.Context, wechatws.Message) { panic("something else") })
			over := make(chan error, 1)
			go func() { over <- c.Run(t.Context()) }()
			w.sleep(100 * time.Millisecond)
			during(c)
			w.sleep(10 * time.Second)
			check(what, c.Stats(), c.State(), c)
			check(what, c.Close(wechatws.StatusNormalClosure, ""), <-over)
		}
		nothing := func(*wechatws.Client) {}
		always := func(a wstest.Answer) { w.srv.AnswerAlways(a) }

		w.srv.AnswerFunc(echo)
		try("an echo", address, nothing)
		for _, status := range []int{200, 301, 302, 401, 403, 404, 407, 429, 502, 503} {
			always(wstest.Status(status, http.Header{"Location": {"/" + inPath + "?a=" + inURL}}, ""))
			try(fmt.Sprint(status), address, nothing)
		}
		always(wstest.Status(302, http.Header{"Location": {"http://" + inUser + ":" + inPassword + "@nowhere.test/?a=" + inURL}}, ""))
		try("a redirect elsewhere", address, nothing)
		always(wstest.Status(302, http.Header{"Location": {"::" + inURL}}, ""))
		try("a redirect to nothing", address, nothing)
		for name, cut := range map[string]wstest.Answer{"reset": wstest.CutHandshake(wstest.RST), "eof": wstest.CutHandshake(wstest.FIN), "silence": wstest.NoAnswer()} {
			always(cut)
			try(name, address, nothing, wechatws.WithDialTimeout(time.Second))
		}
		always(wstest.Accept())
		w.net.Unreachable(true)
		try("unreachable", address, nothing)
		w.net.Unreachable(false)
		proxy, _ := url.Parse("http://" + inProxy + ":" + inProxy + "@proxy.test:1")
		try("a proxy that is not there", address, nothing, wechatws.WithProxy(http.ProxyURL(proxy)))
		try("a proxy function", address, nothing, wechatws.WithProxy(func(r *http.Request) (*url.URL, error) { return nil, errors.New(r.URL.String()) }))
		for _, wrong := range []string{
			"ws://server.test:port/?token=" + inURL, "ws://" + inUser + ":" + inPassword + "@/x", "ftp://" + inUser + "@server.test?" + inURL,
			"ws://server.test/%zz?" + inURL, "ws://server.test/#" + inURL, "ws://ser ver/?" + inURL,
		} {
			try("a wrong url", wrong, nothing)
			try("a wrong endpoint", "", nothing, wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
				return wechatws.Endpoint{URL: wrong, Header: http.Header{"X-Token": {inHeader}}}, nil
			}))
		}
		try("a wrong header", address, nothing, wechatws.WithHeader(http.Header{"Sec-WebSocket-Key": {inHeader}}))
		try("a permanent failure", address, nothing, wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{}, wechatws.Permanent(errors.New("gone"))
		}))

		conns := func() *wstest.Conn { cs := w.srv.Conns(); return cs[len(cs)-1] }
		for name, fault := range map[string]func(){
			"cut":       func() { conns().Cut(wstest.RST) },
			"close":     func() { _ = conns().Close(1008, "no") },
			"blackhole": func() { conns().Blackhole(true) },
			"bad frame": func() { _ = conns().WriteRaw([]byte("\xff\xff")) },
			"panic":     func() { _ = conns().Send(`{"msg_type":"panic","a":"` + inMessage + `"}`) },
			"no number": func() { _ = conns().Send(`{"msg_type":"number","a":"` + inMessage + `"}`) },
			"no type":   func() { _ = conns().Send(`{"a":"` + inMessage + `"}`) },
			"no JSON":   func() { _ = conns().Send(inMessage) },
			"no UTF-8":  func() { _ = conns().Send(inMessage + "\xff") },
			"binary":    func() { _ = conns().SendBinary([]byte(inMessage)) },
			"too large": func() { _ = conns().Send(strings.Repeat(inMessage, 100)) },
		} {
			try(name, address, func(c *wechatws.Client) {
				_ = c.Send(t.Context(), inMessage)
				fault()
			}, wechatws.WithReadLimit(1000))
		}
		try("what is not sent", address, func(c *wechatws.Client) {
			conns().StopReading()
			for range 20 {
				check("send", c.Send(t.Context(), inMessage))
			}
			check("send", c.Send(t.Context(), wechatws.Text(inMessage+"\xff")), c.Send(t.Context(), func() {}))
			check("close", c.Close(wechatws.StatusNoStatusRcvd, inMessage), c.Close(wechatws.StatusNormalClosure, ""))
		}, wechatws.WithQueue(10, 1000, wechatws.QueueDropOldest))
		require.Greater(t, checked.Load(), int64(300), "there was something to check")
	})
}
