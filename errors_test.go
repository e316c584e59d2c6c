package wechatws_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/transport"
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

		{&liveroom.JoinError{}, "liveroom: no answer from the server within 0s"},
		{&liveroom.JoinError{Missing: "init", After: time.Second, Got: []wechatws.Message{{}}}, `liveroom: no init from the server within 1s, only ""`},
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
