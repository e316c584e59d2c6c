package wstest_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

func TestACutHasText(t *testing.T) {
	for cut, want := range map[wstest.Cut]string{wstest.FIN: "FIN", wstest.RST: "RST", 2: "Cut(2)"} {
		require.Equal(t, want, fmt.Sprint(cut))
		text, err := cut.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

// A message that the end of the connection cuts off is none, wherever it is cut.
func TestNoPartOfAMessageIsReceived(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
	for name, message := range map[string]string{
		"plain":      "\x81\x85\x00\x00\x00\x00Hello",
		"compressed": "\xc1\x87\x00\x00\x00\x00\xf2\x48\xcd\xc9\xc9\x07\x00",
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				var options []wstest.Option
				dial := func(s *wstest.Server) (net.Conn, error) { return net.Dial("tcp", s.Addr()) }
				if secure {
					options = append(options, wstest.WithTLS())
					dial = func(s *wstest.Server) (net.Conn, error) { return tls.Dial("tcp", s.Addr(), s.ClientTLS()) }
				}
				s := wstest.NewServer(options...)
				defer s.Close()
				s.AnswerAlways(wstest.Accept(wstest.WithCompression()))
				for n := range len(message) + 1 {
					conn, err := dial(s)
					require.NoError(t, err)
					_, err = io.WriteString(conn, request)
					require.NoError(t, err)
					_, err = http.ReadResponse(bufio.NewReader(conn), nil)
					require.NoError(t, err)
					_, err = io.WriteString(conn, message[:n])
					require.NoError(t, err)
					received, err := s.NextConn(t.Context())
					require.NoError(t, err)
					if n == len(message) {
						m, err := received.Receive(t.Context())
						require.NoError(t, err)
						require.Equal(t, "Hello", m.Text())
					}
					require.NoError(t, conn.Close())
					<-received.Done()
					require.Len(t, received.Received(), n/len(message), "after %d of %d bytes", n, len(message))
				}
			})
		}
	}
}
