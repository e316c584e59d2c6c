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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
)

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
func TestNewsErrorsShowHostsOnly(t *testing.T) {
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

// What a server has sent may repeat a secret. Events, traces and errors show none of it, in
// whatever form they are written.
func TestNoFormShowsWhatTheServerSent(t *testing.T) {
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
