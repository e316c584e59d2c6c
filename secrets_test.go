package wechatws_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/wstest"
)

// Every place where a program may have a secret has one, and every operation fails. No error,
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
			for _, option := range []wechatws.Option{wechatws.WithReadLimit(1000), wechatws.WithStrict()} {
				try(name, address, func(c *wechatws.Client) {
					_ = c.Send(t.Context(), inMessage)
					fault()
				}, wechatws.WithReadLimit(1000), option)
			}
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

// An invalid answer is shown in the error, and may repeat the request.
func TestSecretsAreRedactedInEchoes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			user, password, _ := r.BasicAuth()
			return wstest.Raw("no:" + r.URL.RawQuery + ":" + user + ":" + password + ":" + r.Header.Get("X-Token") + "\r\n\r\n")
		})
		c := w.clientOf("ws://hunter1:hunter22@server.test:80/?token=hunter333&n=1", wechatws.WithoutReconnect(),
			wechatws.WithHeader(http.Header{"X-Token": {"hunter4444"}}))
		err := c.Connect(t.Context())
		assert.ErrorContains(t, err, `malformed HTTP response "no:[redacted]:[redacted]:[redacted]:[redacted]"`)
		assert.NotContains(t, errors.Unwrap(err).Error(), "hunter")

		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			token, _, _ := strings.Cut(r.URL.RawQuery, "&")
			return wstest.Raw("no:" + token + "\r\n\r\n")
		})
		err = w.clientOf("ws://server.test:80/?token=hunter%40333&n=1", wechatws.WithoutReconnect()).Connect(t.Context())
		assert.ErrorContains(t, err, `malformed HTTP response "no:token=[redacted]"`)
	})
}

// The path of the URL may be a secret too, in whole or in part.
func TestPathsAreRedactedInEchoes(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		for _, tt := range []struct{ path, answer, want string }{
			{"/hunter/abc?a=1", "HTTP/1.1 /hunter/abc", `malformed HTTP status code "[redacted]"`},
			{"/bots/hunter2:AAF-x/ws", "no:hunter2:AAF-x", `malformed HTTP response "no:[redacted]"`},
			{"/bots/hunter%402/ws", "no:hunter@2,hunter%402,/bots/hunter@2/ws", `malformed HTTP response "no:[redacted],[redacted],[redacted]"`},
			{"/api/hunter/ws", "no:/hunter/ws", `malformed HTTP response "no:[redacted]/ws"`},
			{"/ws/hunterhunterhunter", "no:hunterhunterhunter", `malformed HTTP response "no:[redacted]"`},
			// What follows is no secret, and errors stay readable.
			{"/", "no:/:path", `malformed HTTP response "no:/:path"`},
			{"/ws", "no:/ws", `malformed HTTP response "no:/ws"`},
			{"/server.test", "no:http://server.test:80", `malformed HTTP response "no:http://server.test:80"`},
			{"/malformed/response", "no", `malformed HTTP response "no"`},
		} {
			w.srv.AnswerAlways(wstest.Raw(tt.answer + "\r\n\r\n"))
			err := w.clientOf("ws://server.test:80"+tt.path, wechatws.WithoutReconnect()).Connect(t.Context())
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, errors.Unwrap(err).Error(), "hunter")
		}
		w.srv.AnswerAlways(wstest.Status(307, http.Header{"Location": {"http://server.test:81/"}}, ""))
		err := w.clientOf("ws://server.test:80/redirect/server", wechatws.WithoutReconnect()).Connect(t.Context())
		assert.ErrorContains(t, err, "redirect to another host (server.test:81) refused")
	})
}

// The client's header and messages are for the configured host only.
func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		evil := wstest.NewServer(wstest.WithNetwork(w.net), wstest.WithAddr("evil.test:80"))
		defer evil.Close()
		w.srv.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("bearer")))
		for _, location := range []string{"http://evil.test:80/?a=s3cret-location", "//evil.test:80/", "http://user:s3cret-location@evil.test:80/"} {
			w.srv.Answer(wstest.Status(307, http.Header{"Location": {location}}, ""))
			c := w.transcript("ws://user:s3cret-user@server.test:80/?token=s3cret-query",
				wechatws.WithHeader(http.Header{"X-Token": {"s3cret-header"}, "Cookie": {"s=s3cret-cookie"}}),
				wechatws.WithSubprotocols("bearer", "s3cret-sub"),
				wechatws.WithLoginMessage(map[string]string{"msg_type": "login", "token": "s3cret-login"}))
			c.send("s3cret-queued")
			connected := make(chan error, 1)
			go func() { connected <- c.Connect(t.Context()) }()
			w.sleep(time.Second)
			assert.EqualError(t, c.Stats().LastError, "wechatws: handshake server.test:80: redirect to another host (evil.test:80) refused; connect to that host if it is the right one, or see WithCrossHostRedirects")
			w.sleep(3 * time.Second) // and the next attempt is as good as ever
			require.NoError(t, <-connected)
			for _, text := range c.texts() {
				assert.NotContains(t, text, "s3cret")
			}
			assert.Equal(t, []string{`{"msg_type":"login","token":"s3cret-login"}`, "s3cret-queued"}, received(w.conn())[:2])
			c.close()
		}
		assert.Empty(t, evil.Handshakes())
	})
}

// A redirect may omit a standard port.
func TestARedirectToTheSameHostIsFollowed(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("bearer")))
		for _, location := range []string{"/b", "http://server.test/b", "//server.test/b"} {
			w.srv.Answer(wstest.Status(307, http.Header{"Location": {location}}, ""))
			c := w.client(wechatws.WithSubprotocols("bearer", "token"), wechatws.WithHeader(http.Header{"X-Token": {"token"}}),
				wechatws.WithLoginMessage("login")).connect()
			conn := w.conn()
			w.sleep(0)
			assert.Equal(t, "/b", conn.Request().URL.Path)
			assert.Equal(t, "token", conn.Request().Header.Get("X-Token"))
			assert.Equal(t, []string{`"login"`}, received(conn)[:1])
			c.close()
		}
		w.srv.Answer(wstest.Status(307, http.Header{"Location": {"http://server.test:81/"}}, ""))
		err := w.client(wechatws.WithoutReconnect()).Connect(t.Context())
		assert.ErrorContains(t, err, "redirect to another host (server.test:81) refused", "another port is another server")
	})
}

// An offered subprotocol may be a token, and a faulty server repeats the whole list.
func TestEchoedSubprotocolsAreRedacted(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithHeader(http.Header{"Sec-Websocket-Protocol": {"bearer,s3cret-sub"}})))
		err := w.client(wechatws.WithoutReconnect(), wechatws.WithSubprotocols("bearer", "s3cret-sub")).Connect(t.Context())
		require.ErrorContains(t, err, "header Sec-WebSocket-Protocol")
		require.NotContains(t, err.Error(), "s3cret")
	})
}

// A client, and other values with an address or a secret, can be printed.
func TestAPrintedClientShowsHostAndState(t *testing.T) {
	const address = "ws://s3cret-user:s3cret-password@server.test:80/s3cret-path?token=s3cret-query"
	header := http.Header{"Authorization": {"Bearer s3cret-header"}}
	printed := func(v any) (texts []string) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			texts = append(texts, fmt.Sprintf(format, v))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("made", "it", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "it", v)
		return append(texts, strings.Split(strings.TrimSpace(log.String()), "\n")...)
	}
	check := func(t *testing.T, v any, want ...string) {
		t.Helper()
		for _, text := range printed(v) {
			assert.NotContains(t, text, "s3cret")
			for _, w := range want {
				assert.Contains(t, text, w)
			}
		}
	}
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerAlways(wstest.Accept(wstest.WithSubprotocols("bearer")))
		options := []wechatws.Option{wechatws.WithHeader(header), wechatws.WithSubprotocols("bearer", "s3cret-sub"), wechatws.WithLoginMessage("s3cret-login")}
		c := w.clientOf(address, options...)
		check(t, c.Client, "server.test:80", "idle")
		assert.Equal(t, "client of server.test:80, idle", fmt.Sprint(c.Client))
		c.connect()
		check(t, c.Client, "server.test:80", "open")
		c.close()
		check(t, c.Client, "server.test:80", "closed")

		c = w.clientOf("", append(options, wechatws.WithEndpoint(func(context.Context, int, error) (wechatws.Endpoint, error) {
			return wechatws.Endpoint{URL: address, Header: header}, nil
		}))...)
		check(t, c.Client, "idle")
		c.connect()
		check(t, c.Client, "server.test:80", "open")
		c.close()

		check(t, wechatws.Endpoint{URL: address, Header: header}, "ws://server.test:80")
		check(t, &wechatws.Endpoint{URL: address, Header: header}, "ws://server.test:80")
		check(t, wechatws.Endpoint{URL: "ws://s3cret-user:s3cret password@server.test"}, "not shown")
		check(t, transport.Handshake{URL: address, Header: header, Subprotocols: []string{"s3cret-sub"}}, "ws://server.test:80")
	})
	var none *wechatws.Client
	assert.NotPanics(t, func() { printed(none) })
}

// A value that New refuses may have a secret in any place.
func TestErrorsOfNewShowHostsOnly(t *testing.T) {
	for _, address := range []string{
		"ws://user:s3cret/password@server.test/", // the slash ends the host, and what is before it is no port
		"http//server.test/ws/s3cret",
		"ftp://server.test/ws/s3cret",
		"ws:///s3cret",
		"ws://server.test/s3cret#part",
		"ws://server.test/%s3cret",
		"ws://server.test/?a=\x1b[s3cret",
	} {
		_, err := wechatws.New(address)
		require.Error(t, err, address)
		assert.NotContains(t, err.Error(), "s3cret")
	}
	_, err := wechatws.New("ws://server.test", wechatws.WithSubprotocols("bearer", "s3cret==sub"))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "s3cret")
}

// Data from a server may repeat a secret. Events, traces and errors show none of it, in
// whatever form they are written.
func TestPrintedValuesDoNotShowTextsOfTheServer(t *testing.T) {
	header := http.Header{"Set-Cookie": {"s3cret-cookie"}}
	closed := &wechatws.CloseError{Code: 4001, Reason: "s3cret-reason", Remote: true}
	shake := &wechatws.HandshakeError{Status: 503, Header: header, Body: []byte("s3cret-body"), RetryAfter: time.Second}
	decode := &wechatws.DecodeError{Type: "x", Data: []byte("s3cret-data"), Err: errors.New("no number")}
	dial := &wechatws.DialError{Phase: "handshake", Addr: "server.test:80", Err: shake}
	for _, tt := range []struct {
		v    any
		text string // with %v
	}{
		{wechatws.OpenEvent{Connection: 3, Attempt: 2, Header: header, Subprotocol: "s3cret-sub", Timings: wechatws.Timings{Total: 80 * time.Millisecond}}, "connection 3 is open: attempt 2, 80ms"},
		{wechatws.CloseEvent{Connection: 3, Code: 4001, Reason: "s3cret-reason", Remote: true, Err: closed}, "connection 3 has ended: peer closed the connection: close code 4001"},
		{wechatws.CloseEvent{Connection: 3, Code: 1000, Reason: "s3cret-reason"}, "connection 3 has ended: close code 1000 (normal closure)"},
		{wechatws.DialInfo{Attempt: 2, Header: header, Err: dial}, "attempt 2: handshake server.test:80: server answered 503 Service Unavailable"},
		{wechatws.DialInfo{Attempt: 2, Header: header}, "attempt 2"},
		{closed, closed.Error()},
		{shake, shake.Error()},
		{decode, decode.Error()},
		{dial, dial.Error()},
		{*closed, ""},
		{*shake, ""},
		{*decode, ""},
		{*dial, ""},
		{&ofAProgram{closed, wechatws.OpenEvent{Header: header}}, ""},
	} {
		if tt.text != "" {
			assert.Equal(t, tt.text, fmt.Sprint(tt.v))
		}
		formats := []string{"%#v"}
		if tt.text != "" { // %v of an error that is no pointer has never been its text
			formats = append(formats, "%v", "%+v", "%s")
		}
		for _, format := range formats {
			text := fmt.Sprintf(format, tt.v)
			assert.NotContains(t, text, "s3cret")
			assert.NotContains(t, text, "0x73, 0x33", "bytes")
		}
		b, err := json.Marshal(tt.v)
		require.NoError(t, err)
		texts := []string{string(b)}
		b, err = json.Marshal(struct{ It any }{tt.v})
		require.NoError(t, err)
		for _, text := range append(texts, string(b)) {
			assert.NotContains(t, text, "s3cret")
			assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("s3cret")))
		}
		text, object := inLogs(tt.v)
		assert.NotContains(t, text, "s3cret")
		assert.NotContains(t, object, "s3cret")
		assert.NotContains(t, object, base64.StdEncoding.EncodeToString([]byte("s3cret")))
	}
	b, err := json.Marshal(struct{ Err error }{closed})
	require.NoError(t, err)
	require.Equal(t, `{"Err":"wechatws: peer closed the connection: close code 4001"}`, string(b))
	b, err = json.Marshal(struct{ Err *wechatws.CloseError }{})
	require.NoError(t, err)
	require.Equal(t, `{"Err":null}`, string(b))
	for _, none := range []error{(*wechatws.CloseError)(nil), (*wechatws.HandshakeError)(nil), (*wechatws.DecodeError)(nil), (*wechatws.DialError)(nil)} {
		assert.NotPanics(t, func() { _ = fmt.Sprintf("%#v", none) })
	}
}

type ofAProgram struct {
	Err  *wechatws.CloseError
	Open wechatws.OpenEvent
}

// Verbs for which fmt would print a value field by field, and a client in an unexported field, whose
// methods fmt does not call, show no secret either.
func TestNoVerbShowsASecret(t *testing.T) {
	const secret = "s3cret"
	address := "ws://user:" + secret + "@server.test/?token=" + secret
	header := http.Header{"Authorization": {secret}}
	options := []wechatws.Option{wechatws.WithHeader(header), wechatws.WithLoginMessage(secret)}
	one, err := wechatws.New(address, options...)
	require.NoError(t, err)
	two, err := wechatws.New("", append(options, wechatws.WithEndpoints(address, address+"2"))...)
	require.NoError(t, err)
	shown := []any{one, two, wechatws.Endpoint{URL: address, Header: header}, transport.Handshake{URL: address, Header: header}}
	inside := []any{struct{ client *wechatws.Client }{one}, &struct{ client *wechatws.Client }{two}}
	for _, v := range append(shown, inside...) {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsyz" { // y and z are none; for %p fmt calls no method
			for _, flags := range []string{"", "+", "#"} {
				text := fmt.Sprintf("%"+flags+string(verb), v)
				assert.NotContains(t, text, secret, "%T as %%%s%c", v, flags, verb)
				assert.NotContains(t, text, fmt.Sprintf("%x", secret), "%T as %%%s%c", v, flags, verb)
			}
		}
	}
	for _, v := range shown {
		text := fmt.Sprint(v)
		assert.Equal(t, fmt.Sprintf("%60.50s|%q|%x", text, text, text), fmt.Sprintf("%60.50s|%q|%x", v, v, v))
		assert.Equal(t, "%!d(string="+text+")", fmt.Sprintf("%d", v))
		assert.Equal(t, fmt.Sprintf("%T(%s)", v, text), "*"[:strings.Count(fmt.Sprintf("%T", v), "*")]+fmt.Sprintf("%#v", v))
	}
}
