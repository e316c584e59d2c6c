package wechatws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/wstest"
)

// Errors that a program makes, in its tests or in front of its own policy, print what they
// hold, and never panic.
func TestErrorsMadeByHandPrintTheirCause(t *testing.T) {
	message := wechatws.Outbound{Data: []byte("s3cret")}
	faulty := (*url.Error)(nil) // its methods panic
	untested := errorTypes(t)
	for _, tt := range []struct {
		err  error
		text string
	}{
		{&wechatws.OptionError{}, "wechatws: option(): invalid value"},
		{&wechatws.OptionError{Option: "WithDialTimeout", Value: "-1s", Want: "must be positive"}, "wechatws: WithDialTimeout(-1s): must be positive"},

		{&wechatws.DialError{}, "wechatws: dial: unknown cause"},
		{&wechatws.DialError{Phase: "login"}, "wechatws: login: unknown cause"},
		{&wechatws.DialError{Phase: "login", Err: io.EOF}, "wechatws: login: EOF"},
		{&wechatws.DialError{Phase: "tls", Addr: "server.test:443", Err: wechatws.ErrExpired}, "wechatws: tls server.test:443: message has expired"},
		{&wechatws.DialError{Phase: "handshake", Err: &wechatws.HandshakeError{Status: 403}}, "wechatws: handshake: server answered 403 Forbidden"},
		{&wechatws.DialError{Phase: "proxy", Err: &wechatws.ProxyError{Status: 407}}, "wechatws: proxy: proxy answered 407 Proxy Authentication Required"},
		{&wechatws.DialError{Phase: "login", Err: faulty}, "wechatws: login: <nil>"},

		{&wechatws.HandshakeError{}, "server answered 0"},
		{&wechatws.HandshakeError{Status: 101}, "server answered 101 Switching Protocols"},
		{&wechatws.HandshakeError{Status: 499, Body: []byte("s3cret")}, "server answered 499"},
		{&wechatws.ProxyError{}, "proxy answered 0"},
		{&wechatws.ProxyError{Status: 502}, "proxy answered 502 Bad Gateway"},

		{&wechatws.CloseError{}, "wechatws: connection ended: close code 0"},
		{&wechatws.CloseError{Code: 4001, Reason: "s3cret", Remote: true}, "wechatws: peer closed the connection: close code 4001"},
		{&wechatws.CloseError{Code: 1006, Remote: true, Err: io.EOF}, "wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF"},
		{&wechatws.CloseError{Code: 1006, Err: wechatws.ErrHalfOpen}, "wechatws: connection ended: close code 1006 (abnormal closure): peer is silent, connection is half-open"},
		{&wechatws.CloseError{Err: faulty}, "wechatws: connection ended: close code 0: <nil>"},

		{&wechatws.ReadLimitError{}, "wechatws: message is larger than the read limit of 0 bytes; raise it with WithReadLimit"},

		{&wechatws.DecodeError{}, "wechatws: cannot use message (0 bytes): unknown cause"},
		{&wechatws.DecodeError{Type: "x", Data: []byte("1"), Err: wechatws.ErrNotJSON}, `wechatws: cannot use message of type "x" (1 byte): not valid JSON`},
		{&wechatws.DecodeError{Err: faulty}, "wechatws: cannot use message (0 bytes): <nil>"},

		{&wechatws.PanicError{}, "wechatws: user function panicked: <nil>"},
		{&wechatws.PanicError{Value: io.EOF}, "wechatws: user function panicked: EOF"},
		{&wechatws.PanicError{Value: faulty}, "wechatws: user function panicked: <nil>"},

		{&wechatws.UndeliveredError{}, "wechatws: 0 messages were not delivered"},
		{&wechatws.UndeliveredError{Messages: []wechatws.Outbound{message}}, "wechatws: 1 message was not delivered"},
		{&wechatws.UndeliveredError{Messages: []wechatws.Outbound{message, message, message}}, "wechatws: 3 messages were not delivered"},

		{&wechatws.DroppedError{}, "wechatws: 0 messages dropped: unknown cause"},
		{&wechatws.DroppedError{Err: wechatws.ErrExpired, Messages: []wechatws.Outbound{message}}, "wechatws: 1 message dropped: message has expired"},
		{&wechatws.DroppedError{Err: wechatws.ErrQueueFull, Messages: []wechatws.Outbound{message}, More: 2}, "wechatws: 3 messages dropped: outbound queue is full"},
		{&wechatws.DroppedError{Err: faulty, More: 1}, "wechatws: 1 message dropped: <nil>"},

		{&transport.CloseError{}, "peer closed the connection: close code 0"},
		{&transport.CloseError{Code: 4001, Reason: "s3cret"}, "peer closed the connection: close code 4001"},

		{&liveroom.RoomError{}, "liveroom: room : unknown cause"},
		{&liveroom.RoomError{ID: liveroom.Identity{RoomID: liveroom.Num(7)}, Err: faulty}, "liveroom: room 7: <nil>"},
		{&liveroom.RoomsError{}, "liveroom: 0 rooms have failed"},
		{&liveroom.RoomsError{Rooms: []*liveroom.RoomError{nil}}, "<nil>"},
		{&liveroom.RoomsError{Rooms: []*liveroom.RoomError{{Err: io.EOF}, nil}}, "liveroom: room : EOF, and 1 more"},
		{&liveroom.JoinError{}, "liveroom: no answer from the server within 0s"},
		{&liveroom.JoinError{Missing: "init", After: time.Second, Got: []wechatws.Message{{}}}, `liveroom: no init from the server within 1s, only ""`},

		{&liveroom.RefusedError{}, "liveroom: an action was refused by the server"},
		{&liveroom.RefusedError{Type: "message", Content: "s3cret", Text: "muted"}, `liveroom: "message" was refused by the server: "muted"`},
	} {
		text := tt.err.Error()
		require.Equal(t, tt.text, text)
		require.NotContains(t, text, "s3cret")
		delete(untested, fmt.Sprintf("%T", tt.err))
		require.NotPanics(t, func() { _ = errors.Unwrap(tt.err) })
	}
	require.Empty(t, untested)
}

// errorTypes returns the exported types with an Error method of all packages that users can
// import.
func errorTypes(t *testing.T) map[string]bool {
	types := map[string]bool{}
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || entry.Name() == "internal" || entry.Name() == "examples" || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "Error" || f.Type.Params.NumFields() > 0 {
				continue
			}
			receiver := f.Recv.List[0].Type
			pointer := ""
			if star, ok := receiver.(*ast.StarExpr); ok {
				pointer, receiver = "*", star.X
			}
			if typ, ok := receiver.(*ast.Ident); ok && typ.IsExported() {
				types[pointer+file.Name.Name+"."+typ.Name] = true
			}
		}
		return nil
	}))
	require.NotEmpty(t, types)
	return types
}

// A transcript is everything that a client reports: its errors with all that they wrap, and its
// log.
type transcript struct {
	*client
	log *bytes.Buffer
}

func (w *world) transcript(address string, options ...wechatws.Option) *transcript {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &transcript{w.clientOf(address, append(options, wechatws.WithLogger(logger))...), &log}
}

// texts returns everything reported up to now, and the texts of more errors.
func (c *transcript) texts(more ...error) (texts []string) {
	errs := append(c.errors(), append(more, c.Stats().LastError)...)
	c.mu.Lock()
	for _, e := range c.changes {
		errs = append(errs, e.Err)
	}
	for _, e := range c.closes {
		errs = append(errs, e.Err)
	}
	c.mu.Unlock()
	for len(errs) > 0 {
		err := errs[0]
		errs = errs[1:]
		if err == nil {
			continue
		}
		texts = append(texts, err.Error(), fmt.Sprintf("%+v", err))
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			errs = append(errs, joined.Unwrap()...)
		}
		errs = append(errs, errors.Unwrap(err))
	}
	return append(texts, strings.Split(c.log.String(), "\n")...)
}

// A server's page may repeat a secret in any form.
func TestAServersPageStaysInItsField(t *testing.T) {
	const secret = "s3cret+to/ken"
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + secret))
	for name, tt := range map[string]struct {
		page    string
		address string
		options []wechatws.Option
	}{
		"the token without its scheme": {page: "invalid token " + secret,
			options: []wechatws.Option{wechatws.WithHeader(http.Header{"Authorization": {"Bearer " + secret}})}},
		"one cookie of several": {page: "session " + secret + " has expired",
			options: []wechatws.Option{wechatws.WithHeader(http.Header{"Cookie": {"lang=zh; session=" + secret}})}},
		"user info, encoded":        {page: "Basic " + basic, address: "ws://user:" + url.QueryEscape(secret) + "@server.test:80/"},
		"a parameter, escaped":      {page: "no " + url.QueryEscape(secret), address: "ws://server.test:80/?a=1&token=" + url.QueryEscape(secret)},
		"lower-case escapes":        {page: strings.ToLower(url.QueryEscape(secret)), address: "ws://server.test:80/?a=1&token=" + url.QueryEscape(secret)},
		"upper case":                {page: strings.ToUpper(secret), address: "ws://server.test:80/?token=" + url.QueryEscape(secret)},
		"HTML":                      {page: html.EscapeString(secret + "&"), address: "ws://server.test:80/?token=" + url.QueryEscape(secret+"&")},
		"behind a long text":        {page: strings.Repeat("x", 95) + secret, address: "ws://server.test:80/?token=" + url.QueryEscape(secret)},
		"a subprotocol":             {page: "bearer, s3cret-sub", options: []wechatws.Option{wechatws.WithSubprotocols("bearer", "s3cret-sub")}},
		"the path":                  {page: "/ws/s3cret-path", address: "ws://server.test:80/ws/s3cret-path"},
		"a secret of the page only": {page: "your new password is s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(wstest.Status(403, nil, tt.page))
				if tt.address == "" {
					tt.address = w.srv.URL()
				}
				c := w.transcript(tt.address, tt.options...)
				err := c.Connect(t.Context())
				w.sleep(0)
				assert.EqualError(t, err, "wechatws: handshake server.test:80: server answered 403 Forbidden")
				for _, text := range c.texts(err) {
					for _, s := range []string{"s3cret", "S3CRET", basic} {
						assert.NotContains(t, text, s)
					}
				}
				var he *wechatws.HandshakeError
				require.ErrorAs(t, err, &he)
				assert.Equal(t, tt.page, string(he.Body))
			})
		})
	}
}

func TestACloseReasonStaysInItsField(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const reason = "invalid token s3cret-login"
		c := w.transcript(w.srv.URL(), wechatws.WithLoginMessage("s3cret-login"))
		c.connect()
		defer c.close()
		require.NoError(t, w.conn().Close(4001, reason))
		w.sleep(time.Second)
		e := c.lastClose()
		assert.EqualError(t, e.Err, "wechatws: peer closed the connection: close code 4001")
		assert.Equal(t, reason, e.Reason)
		var ce *wechatws.CloseError
		require.ErrorAs(t, e.Err, &ce)
		assert.Equal(t, reason, ce.Reason)
		for _, text := range c.texts() {
			assert.NotContains(t, text, "s3cret")
		}
	})
}

// A proxy for ws answers in the server's place, and its page may repeat its password.
func TestAProxysPageStaysInItsField(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.AnswerFunc(func(r *http.Request) wstest.Answer {
			return wstest.Status(407, nil, r.Header.Get("Proxy-Authorization"))
		})
		proxy := &url.URL{Scheme: "http", Host: "server.test:80", User: url.UserPassword("user", "s3cret")}
		c := w.transcript("ws://behind.test/", wechatws.WithProxy(http.ProxyURL(proxy)))
		err := c.Connect(t.Context())
		w.sleep(0)
		require.EqualError(t, err, "wechatws: proxy behind.test:80: proxy answered 407 Proxy Authentication Required")
		for _, text := range c.texts(err) {
			assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("user:s3cret")))
		}
	})
}

// An error shows the beginning of an invalid response, which is enough to find the fault.
func TestTextsOfThePeerAreCutAndEscaped(t *testing.T) {
	long := strings.Repeat("\u009b\x07", 10_000) // control characters, which terminals obey
	plain := strings.Repeat("long", 10_000)
	upgrade := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	accept := func(name, value string) wstest.Answer {
		return wstest.Accept(wstest.WithHeader(http.Header{name: {value}}))
	}
	for name, tt := range map[string]struct {
		answer wstest.Answer
		want   string
	}{
		"a status line":                {wstest.Raw("HTTP/1.1 abc" + long + "\r\n\r\n"), "malformed HTTP status code"},
		"a version":                    {wstest.Raw("HTTP/" + plain + " 200 OK\r\n\r\n"), "malformed HTTP version"},
		"no HTTP":                      {wstest.Raw(plain + "\r\n\r\n"), "malformed HTTP response"},
		"a header line":                {wstest.Raw("HTTP/1.1 200 OK\r\n" + plain + "\r\n\r\n"), "malformed MIME header"},
		"a Location":                   {wstest.Status(302, http.Header{"Location": {"::" + plain}}, ""), "redirect to an invalid URL"},
		"a Location on another host":   {wstest.Status(302, http.Header{"Location": {"http://" + plain + ".test/"}}, ""), "redirect to another host"},
		"an upgrade to something else": {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + plain + "\r\n\r\n"), "Upgrade"},
		"an accept":                    {wstest.Raw(upgrade + "Sec-WebSocket-Accept: " + plain + "\r\n\r\n"), "Sec-WebSocket-Accept"},
		"a subprotocol":                {accept("Sec-Websocket-Protocol", plain), "Sec-WebSocket-Protocol"},
		"extensions":                   {accept("Sec-Websocket-Extensions", "a, "+plain), `extension "a": was not offered`},
		"a page":                       {wstest.Status(500, nil, plain), "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				c := w.transcript(w.srv.URL(), wechatws.WithoutReconnect())
				err := c.Connect(t.Context())
				w.sleep(0)
				require.ErrorContains(t, err, tt.want)
				assertShort(t, c.texts(err))
			})
		})
	}
}

// The answer of a proxy to CONNECT is cut too.
func TestAProxysAnswerIsCut(t *testing.T) {
	answers := map[string]string{
		"no HTTP":       strings.Repeat("x", 40_000) + "\r\n\r\n",
		"a status line": "HTTP/1.1 407 " + strings.Repeat("x", 40_000) + "\r\n\r\n",
		"a header line": "HTTP/1.1 200 OK\r\n" + strings.Repeat("\u009b", 20_000) + "\r\n\r\n",
		"a long header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n",
	}
	for _, tt := range []struct{ scheme, name string }{
		{"wss", "no HTTP"}, {"wss", "a status line"}, {"wss", "a header line"}, {"wss", "a long header"},
		{"ws", "no HTTP"}, {"ws", "a status line"}, {"ws", "a header line"}, {"ws", "a long header"},
	} {
		t.Run(tt.scheme+"/"+tt.name, func(t *testing.T) {
			answer := answers[tt.name]
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("proxy.test:3128")
				require.NoError(t, err)
				defer l.Close()
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, answer)
				}()
				proxy := &url.URL{Scheme: "http", Host: "proxy.test:3128", User: url.UserPassword("user", "s3cret")}
				c := w.transcript(tt.scheme+"://server.test/", wechatws.WithoutReconnect(), wechatws.WithProxy(http.ProxyURL(proxy)))
				err = c.Connect(t.Context())
				w.sleep(0)
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.NotContains(t, err.Error(), "s3cret")
				assertShort(t, c.texts(err))
			})
		})
	}
}

func assertShort(t *testing.T, texts []string) {
	t.Helper()
	for _, text := range texts {
		assert.LessOrEqual(t, len(text), 500, "a log line has more than an error in it")
		assert.NotContains(t, text, "\u009b")
		assert.NotContains(t, text, "\x07")
	}
}

// Messages that cannot be used are reported with their type, which may be as large as a
// message.
func TestTypesInErrorsAreCut(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.transcript(w.srv.URL(), quiet()...)
		defer c.close()
		long := strings.Repeat("\u009btype", 100_000)
		wechatws.On(c.Client, long, func(_ context.Context, _ int) {})
		wechatws.On(c.Client, "map", func(_ context.Context, _ map[string]map[string]int) {})
		c.connect()
		conn := w.conn()
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":%q}`, long)))
		require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"map","a":{%q:"x"}}`, long)))
		w.sleep(0)
		require.Len(t, c.errors(), 2)
		var unused *wechatws.DecodeError
		require.ErrorAs(t, c.errors()[0], &unused)
		require.Equal(t, long, unused.Type, "the field has all of it")
		for _, err := range c.errors() {
			assert.Less(t, len(err.Error()), 500)
			assert.NotContains(t, err.Error(), "\u009b")
		}
		for _, line := range strings.Split(c.log.String(), "\n") {
			assert.Less(t, len(line), 700)
		}
	})
}

// The names of a few types without a callback are retained, to save allocations; long names
// are not.
func TestLongTypesAreNotKept(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		defer c.close()
		conn := w.conn()
		const size = 500_000
		before := heap()
		for i := range 40 {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"msg_type":"%02d%s"}`, i, strings.Repeat("x", size))))
			w.sleep(time.Millisecond)
		}
		w.sleep(time.Second)
		require.Empty(t, c.errors())
		w.srv.Reset()
		require.Less(t, int64(heap())-int64(before), int64(4*size))
	})
}
