package wechatws

import (
	"context"
	"github.com/wechatws/wechatws/transport"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a server sends, it is routed or reported, and what is routed as text is
// valid UTF-8.
func FuzzRouter(f *testing.F) {
	for _, seed := range []string{`{"msg_type":"message"}`, `{"msg_type":1}`, `[]`, "{\"msg_type\":\"\xff\"}", ``, `{"msg_type":"\ud800"}`} {
		f.Add([]byte(seed), true)
	}
	c, err := New("ws://server.test")
	if err != nil {
		f.Fatal(err)
	}
	On(c, "message", func(context.Context, struct{}) {})
	f.Fuzz(func(t *testing.T, data []byte, text bool) {
		in := inbound{link: &link{}, typ: transport.BinaryMessage, data: data}
		if text {
			in.typ = transport.TextMessage
		}
		m, _, err := in.read(c)
		switch {
		case err == nil && (m.Binary || !utf8.Valid(m.Data) || !utf8.ValidString(m.Type)):
			t.Errorf("%q is routed as %q", data, m.Type)
		case err != nil && !slices.Contains([]error{ErrBinary, ErrNotUTF8, ErrNotJSON, ErrNoType}, err):
			t.Errorf("%q: %v", data, err)
		}
	})
}

// A close frame's reason may be anything; the error about it is text.
func FuzzCloseReason(f *testing.F) {
	f.Add(1000, "bye")
	f.Add(1005, "")
	f.Add(4999, "\xff\x00\n\"")
	f.Add(999, strings.Repeat("x", 124))
	f.Fuzz(func(t *testing.T, code int, reason string) {
		err := &CloseError{Code: StatusCode(code), Reason: reason, Remote: true}
		if text := err.Error(); !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x1b\x00") {
			t.Errorf("%q", text)
		}
		DefaultRetryIf(Failure{Err: err, Opened: true, Repeats: 3})
		if checkClose(StatusCode(code), reason) == nil && (code < 1000 || code > 4999 || len(reason) > maxCloseReason || !utf8.ValidString(reason)) {
			t.Errorf("%d %q may be sent", code, reason)
		}
	})
}
