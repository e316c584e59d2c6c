package wechatws_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// answers returns the client's end of a connection whose peer reads the request, writes an answer
// and closes it. The text KEY in the answer is replaced by what proves that the key was read.
func answers(answer string) net.Conn {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		r, err := http.ReadRequest(bufio.NewReader(far))
		if err != nil {
			return
		}
		go io.Copy(io.Discard, far)
		proof := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = io.WriteString(far, strings.ReplaceAll(answer, "KEY", base64.StdEncoding.EncodeToString(proof[:])))
	}()
	return near
}

// FuzzAnswer answers the handshake, or the request of a tunnel, with anything. The client reports
// one error, that is short, without control characters and without secrets, also with
// WithServerText: this peer repeats nothing.
func FuzzAnswer(f *testing.F) {
	const upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n"
	for _, answer := range []string{
		"", "HTTP/1.1 \x1b[2J\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno\x1b[2J\r\n", "HTTP/1.1 503 \xff\r\nRetry-After: 9\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: //other.test/\x1b\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: ::\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		upgrade + "\r\n\x81\x05hello\x88\x06\x0f\xa1\x1b[2J", upgrade + "\r\n\x88\x7f", upgrade + "Sec-WebSocket-Protocol: json\x01\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n",
	} {
		f.Add([]byte(answer), false)
		f.Add([]byte(answer), true)
	}
	f.Fuzz(func(t *testing.T, answer []byte, proxy bool) {
		options := []wechatws.Option{
			wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) { return answers(string(answer)), nil }),
			wechatws.WithHeader(http.Header{"Authorization": {"Bearer s3cret"}}), wechatws.WithLoginMessage("s3cret"),
			wechatws.WithSubprotocols("s3cret"), wechatws.WithProxy(nil), wechatws.WithServerText(), wechatws.WithoutReconnect(),
			wechatws.WithDialTimeout(5 * time.Second),
		}
		if proxy {
			u := &url.URL{Scheme: "http", Host: "proxy.test", User: url.UserPassword("user", "s3cret")}
			options = append(options, wechatws.WithProxy(http.ProxyURL(u)))
		}
		c, err := wechatws.New("ws://s3cret:s3cret@server.test/s3cret?token=s3cret", options...)
		require.NoError(t, err)
		err = c.Run(t.Context())
		require.Error(t, err)
		text := err.Error()
		require.NotContains(t, text, "s3cret")
		require.Less(t, len(text), 600)
		require.True(t, utf8.ValidString(text), "%q", text)
		require.False(t, strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }), "%q", text)
	})
}
