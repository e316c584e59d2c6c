package ws

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An upgrade is a transport that answers a handshake, with body as the connection. header
// replaces the fields of the valid answer.
type upgrade struct {
	body   io.ReadWriteCloser
	header http.Header
}

func (u upgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {acceptFor(r)}}
	for name, values := range u.header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	return &http.Response{
		StatusCode: http.StatusSwitchingProtocols, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: u.body, Request: r,
	}, nil
}

func acceptFor(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A body records whether it is read and closed.
type body struct {
	io.ReadWriteCloser
	read, closed bool
}

func (b *body) Read([]byte) (int, error) { b.read = true; return 0, io.EOF }
func (b *body) Close() error             { b.closed = true; return nil }

func TestHandshakeAnswers(t *testing.T) {
	const name = "Sec-WebSocket-Extensions"
	noTakeover := Agreed{Compressed: true}
	takeover := Agreed{Compressed: true, ServerTakeover: true}
	for _, tc := range []struct {
		header http.Header
		agreed Agreed
		err    string // a part of it
	}{
		{nil, Agreed{}, ""},
		{http.Header{"Upgrade": {"WebSocket"}, "Connection": {"keep-alive, upgrade"}}, Agreed{}, ""},
		{http.Header{"Connection": {"keep-alive", "Upgrade"}}, Agreed{}, ""},
		{http.Header{"Upgrade": nil}, Agreed{}, "header Upgrade []"},
		{http.Header{"Upgrade": {"h2c"}}, Agreed{}, `header Upgrade ["h2c"]`},
		{http.Header{"Connection": nil}, Agreed{}, "header Connection []"},
		{http.Header{"Connection": {"close"}}, Agreed{}, `header Connection ["close"]`},
		{http.Header{"Sec-WebSocket-Accept": nil}, Agreed{}, "header Sec-WebSocket-Accept"},
		{http.Header{"Sec-WebSocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}, Agreed{}, "header Sec-WebSocket-Accept"},

		{http.Header{"Sec-WebSocket-Protocol": {"json"}}, Agreed{Subprotocol: "json"}, ""},
		{http.Header{"Sec-WebSocket-Protocol": {"JSON"}}, Agreed{Subprotocol: "JSON"}, ""},
		{http.Header{"Sec-WebSocket-Protocol": {""}}, Agreed{}, ""},
		{http.Header{"Sec-WebSocket-Protocol": {"soap"}}, Agreed{}, `["soap"]: was not offered`},
		{http.Header{"Sec-WebSocket-Protocol": {"json,cbor"}}, Agreed{}, "was not offered"},
		{http.Header{"Sec-WebSocket-Protocol": {"json", "cbor"}}, Agreed{}, "was not offered"},

		{http.Header{name: {""}}, Agreed{}, ""},
		{http.Header{name: {"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}}, noTakeover, ""},
		{http.Header{name: {"permessage-deflate;server_no_context_takeover"}}, noTakeover, ""},
		{http.Header{name: {"permessage-deflate"}}, takeover, ""},
		{http.Header{name: {"permessage-deflate; client_no_context_takeover"}}, takeover, ""},
		{http.Header{name: {"permessage-deflate; server_max_window_bits=8"}}, takeover, ""},
		{http.Header{name: {`permessage-deflate; server_max_window_bits="15"`}}, takeover, ""},
		{http.Header{name: {"permessage-deflate; server_max_window_bits=7"}}, Agreed{}, "server_max_window_bits=7"},
		{http.Header{name: {"permessage-deflate; server_max_window_bits=16"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; server_max_window_bits=010"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; server_max_window_bits"}}, Agreed{}, "not accepted"},
		{http.Header{name: {`permessage-deflate; server_max_window_bits="10`}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; client_max_window_bits=15"}}, Agreed{}, "client_max_window_bits=15"},
		{http.Header{name: {"permessage-deflate; client_max_window_bits"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; server_no_context_takeover=1"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; client_no_context_takeover="}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}}, Agreed{}, "given twice"},
		{http.Header{name: {"permessage-deflate; unknown"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate; ;"}}, Agreed{}, "not accepted"},
		{http.Header{name: {"permessage-deflate, permessage-deflate"}}, Agreed{}, "chosen twice"},
		{http.Header{name: {"permessage-deflate", "permessage-deflate"}}, Agreed{}, "chosen twice"},
		{http.Header{name: {"permessage-deflate, other"}}, Agreed{}, `"other": was not offered`},
		{http.Header{name: {"x-webkit-deflate-frame"}}, Agreed{}, "was not offered"},
	} {
		t.Run(fmt.Sprint(tc.header), func(t *testing.T) {
			b := &body{ReadWriteCloser: inChunks(nil, 1)}
			h := Handshake{
				Client: &http.Client{Transport: upgrade{b, tc.header}}, URL: "ws://server.test",
				Subprotocols: []string{"cbor", "json"}, Compression: true,
			}
			c, resp, err := Dial(t.Context(), h)
			require.NotNil(t, resp)
			assert.Equal(t, http.NoBody, resp.Body)
			if tc.err == "" {
				require.NoError(t, err)
				assert.Equal(t, tc.agreed, c.agreed)
				assert.False(t, b.closed)
			} else {
				require.ErrorContains(t, err, tc.err)
				assert.Nil(t, c)
				assert.True(t, b.closed)
				var wrong *ProtocolError
				assert.Equal(t, strings.Contains(fmt.Sprint(tc.header), name), errors.As(err, &wrong) && wrong.Deflate, "of compression")
			}
			assert.False(t, b.read)

			h.Compression, h.Subprotocols = false, nil
			_, _, err = Dial(t.Context(), h)
			if tc.err == "" && tc.agreed != (Agreed{}) {
				assert.ErrorContains(t, err, "not offered", "without an offer")
			}
		})
	}
}

// RFC 6455, section 4.2.2: the answer is one of HTTP/1.1.
func TestAnAnswerOfHTTP10(t *testing.T) {
	b := &body{ReadWriteCloser: inChunks(nil, 1)}
	_, resp, err := Dial(t.Context(), Handshake{URL: "ws://server.test", Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := upgrade{b, nil}.RoundTrip(r)
		resp.Proto, resp.ProtoMinor = "HTTP/1.0", 0
		return resp, err
	})}})
	require.EqualError(t, err, "HTTP/1.0: must be HTTP/1.1")
	assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	assert.True(t, b.closed)
	assert.False(t, b.read)
}

func TestHandshakeRequest(t *testing.T) {
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "ws://"+r.Host+"/to", http.StatusFound)
			return
		}
		got = r.Header
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	defer s.Close()
	h := Handshake{
		URL: "ws" + strings.TrimPrefix(s.URL, "http") + "/from", Header: http.Header{"X-Own": {"a"}, "Upgrade": {"other"}},
		Subprotocols: []string{"cbor", "json"}, Compression: true, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	c, resp, err := Dial(t.Context(), h)
	require.EqualError(t, err, "status 503 instead of 101")
	assert.Nil(t, c)
	assert.Equal(t, "7", resp.Header.Get("Retry-After"))
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Len(t, text, 1<<10)
	assert.Equal(t, "a", got.Get("X-Own"))
	assert.Equal(t, []string{"websocket"}, got.Values("Upgrade"))
	assert.Equal(t, "Upgrade", got.Get("Connection"))
	assert.Equal(t, "13", got.Get("Sec-WebSocket-Version"))
	assert.Equal(t, "cbor, json", got.Get("Sec-WebSocket-Protocol"))
	assert.Equal(t, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", got.Get("Sec-WebSocket-Extensions"))
	key, err := base64.StdEncoding.DecodeString(got.Get("Sec-WebSocket-Key"))
	require.NoError(t, err)
	assert.Len(t, key, 16)
	assert.Equal(t, []string{"other"}, h.Header["Upgrade"], "the caller's header is not changed")

	_, _, err = Dial(t.Context(), Handshake{URL: "ftp://server.test"})
	assert.ErrorContains(t, err, "must be ws or wss")
	_, _, err = Dial(t.Context(), Handshake{URL: "ws://server.test/%zz"})
	assert.Error(t, err)
}

// A stall is a body that blocks until it is closed.
type stall struct{ closed chan struct{} }

func (s stall) Read([]byte) (int, error) { <-s.closed; return 0, io.ErrClosedPipe }
func (s stall) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestARefusalWhoseBodyDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, resp, err := Dial(t.Context(), Handshake{URL: "ws://server.test", Client: &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 403, Body: stall{make(chan struct{})}, Request: r}, nil
			}),
		}})
		require.Error(t, err)
		assert.Equal(t, 403, resp.StatusCode)
		assert.Equal(t, refusalTime, time.Since(began))
	})
}

// Nothing of net/http is reachable from a connection that has read what arrived along with the
// 101, and none of its goroutines is left.
func TestNothingOfTheHandshakeIsLeft(t *testing.T) {
	for _, early := range []string{"", "early"} {
		t.Run(early, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			go func() {
				server, err := l.Accept()
				if err != nil {
					return
				}
				defer server.Close()
				r, err := http.ReadRequest(bufio.NewReader(server))
				if err != nil {
					return
				}
				answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptFor(r) + "\r\n\r\n"
				if early != "" {
					answer += string(text(early))
				}
				_, _ = io.WriteString(server, answer)
				_, _ = server.Read(make([]byte, 1)) // of the frame that the test sends
				_, _ = server.Write(text("late"))
				_, _ = io.Copy(io.Discard, server)
			}()
			var collected atomic.Int32
			c := func() *Conn {
				var socket *Socket
				transport := &http.Transport{DisableKeepAlives: true}
				transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					n, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil {
						socket = NewSocket(n, nil)
						return socket, nil
					}
					return nil, err
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel() // is not the end of the connection
				c, resp, err := Dial(ctx, Handshake{
					URL: "ws://" + l.Addr().String(), Client: &http.Client{Transport: transport},
					Socket: func() *Socket { return socket },
				})
				require.NoError(t, err)
				runtime.AddCleanup(transport, func(int) { collected.Add(1) }, 0)
				runtime.AddCleanup(resp, func(int) { collected.Add(1) }, 0)
				runtime.AddCleanup(resp.Request, func(int) { collected.Add(1) }, 0)
				return c
			}()
			if early != "" {
				b, err := c.Receive()
				require.NoError(t, err)
				assert.Equal(t, texts(early), b.Messages)
			}
			for collected.Load() < 3 { // the test times out
				runtime.GC()
			}
			require.NoError(t, c.AppendPing(nil))
			done, err := c.TryFlush()
			require.NoError(t, err)
			assert.True(t, done)
			b, err := c.Receive()
			require.NoError(t, err)
			assert.Equal(t, texts("late"), b.Messages)
			c.Abort()
		})
	}
}
