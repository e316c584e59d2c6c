package wstest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs a test on loopback, and in memory in virtual time.
func everywhere(t *testing.T, test func(t *testing.T, s *wstest.Server)) {
	t.Run("loopback", func(t *testing.T) {
		s := wstest.NewServer()
		defer s.Close()
		test(t, s)
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
			defer s.Close()
			test(t, s)
		})
	})
}

func dial(ctx context.Context, s *wstest.Server) (*websocket.Conn, *http.Response, error) {
	transport := &http.Transport{DialContext: s.DialContext, TLSClientConfig: s.ClientTLS(), DisableKeepAlives: true}
	return websocket.Dial(ctx, s.URL(), &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: transport},
		Subprotocols:    []string{"chat"},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
}

func open(t *testing.T, s *wstest.Server) (*websocket.Conn, *wstest.Conn) {
	t.Helper()
	client, _, err := dial(t.Context(), s)
	require.NoError(t, err)
	conn, err := s.NextConn(t.Context())
	require.NoError(t, err)
	return client, conn
}

func read(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, data, err := c.Read(t.Context())
	require.NoError(t, err)
	return string(data)
}

func write(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(text)))
}

func TestMessagesBothWays(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		s.OnConn(func(c *wstest.Conn) { _ = c.Send("hello from OnConn") })
		s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send("echo " + m.Text()) })
		client, conn := open(t, s)
		defer client.CloseNow()
		assert.Equal(t, "hello from OnConn", read(t, client))
		write(t, client, "one")
		assert.Equal(t, "echo one", read(t, client))
		require.NoError(t, client.Write(t.Context(), websocket.MessageBinary, []byte{7}))
		assert.Equal(t, "echo \x07", read(t, client))
		require.NoError(t, conn.SendJSON(map[string]int{"n": 1}))
		assert.Equal(t, `{"n":1}`, read(t, client))
		require.Error(t, conn.SendJSON(func() {}))
		require.NoError(t, conn.SendBinary([]byte("b")))
		assert.Equal(t, "b", read(t, client))
		require.NoError(t, conn.WriteRaw([]byte("\x81\x03raw")))
		assert.Equal(t, "raw", read(t, client))

		for i, want := range []string{"one", "\x07"} {
			m, err := conn.Receive(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, m.Text())
			assert.Equal(t, i == 1, m.Binary)
		}
		assert.Len(t, conn.Received(), 2)
		assert.Equal(t, 1, conn.ID())
		assert.Equal(t, 1, s.OpenConns())
		assert.Len(t, s.Conns(), 1)

		require.NoError(t, client.Close(4000, "bye"))
		_, err := conn.Receive(t.Context())
		assert.ErrorIs(t, err, io.EOF)
		<-conn.Done()
		code, reason := conn.CloseCode()
		assert.Equal(t, 4000, code)
		assert.Equal(t, "bye", reason)
		assert.Zero(t, s.OpenConns())
		var kinds []wstest.EventKind
		for _, e := range s.Events() {
			kinds = append(kinds, e.Kind)
		}
		assert.Equal(t, []wstest.EventKind{"handshake", "open", "message", "message", "closed"}, kinds)
		assert.Len(t, s.Handshakes(), 1)
		s.Reset()
		assert.Empty(t, s.Events())
	})
}

func TestAnswers(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		s.Answer(
			wstest.Status(503, http.Header{"Retry-After": {"7"}}, "busy"),
			wstest.CutHandshake(wstest.FIN),
			wstest.CutHandshake(wstest.RST),
			wstest.AcceptThenCut(wstest.FIN),
			wstest.Accept(wstest.WithHeader(http.Header{"X-A": {"b"}}), wstest.WithSubprotocols("chat"), wstest.WithCompression()),
			wstest.Raw("nonsense\r\n\r\n"),
			wstest.Delay(20*time.Millisecond, wstest.Accept()),
		)
		_, resp, err := dial(t.Context(), s)
		require.Error(t, err)
		body, _ := io.ReadAll(resp.Body)
		assert.Equal(t, "busy", string(body))
		assert.Equal(t, "7", resp.Header.Get("Retry-After"))

		_, _, err = dial(t.Context(), s)
		assert.ErrorIs(t, err, io.EOF)
		_, _, err = dial(t.Context(), s)
		assert.ErrorIs(t, err, syscall.ECONNRESET)

		client, _, err := dial(t.Context(), s)
		require.NoError(t, err)
		_, _, err = client.Read(t.Context())
		assert.ErrorIs(t, err, io.EOF)
		client.CloseNow()

		client, resp, err = dial(t.Context(), s)
		require.NoError(t, err)
		assert.Equal(t, "b", resp.Header.Get("X-A"))
		assert.Equal(t, "chat", client.Subprotocol())
		assert.Contains(t, resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		client.CloseNow()

		_, _, err = dial(t.Context(), s)
		assert.ErrorContains(t, err, "malformed HTTP")

		began := time.Now()
		client, _, err = dial(t.Context(), s)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
		client.CloseNow()

		s.AnswerFunc(func(r *http.Request) wstest.Answer {
			return wstest.Status(http.StatusTeapot, nil, r.URL.Path)
		})
		_, resp, err = dial(t.Context(), s)
		require.Error(t, err)
		assert.Equal(t, http.StatusTeapot, resp.StatusCode)

		s.AnswerAlways(wstest.NoAnswer())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, _, err = dial(ctx, s)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestCuts(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		for how, want := range map[wstest.Cut]error{wstest.FIN: io.EOF, wstest.RST: syscall.ECONNRESET} {
			client, conn := open(t, s)
			conn.Cut(how)
			_, _, err := client.Read(t.Context())
			assert.ErrorIs(t, err, want)
			client.CloseNow()
			<-conn.Done()
			code, _ := conn.CloseCode()
			assert.Equal(t, 1006, code)
		}
		client, conn := open(t, s)
		go conn.Close(4001, "kicked")
		_, _, err := client.Read(t.Context())
		assert.Equal(t, websocket.StatusCode(4001), websocket.CloseStatus(err))
	})
}

func TestRestart(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		addr := s.Addr()
		client, _ := open(t, s)
		asked := make(chan struct{})
		s.AnswerFunc(func(*http.Request) wstest.Answer {
			close(asked)
			return wstest.NoAnswer()
		})
		pending := make(chan error)
		go func() {
			_, _, err := dial(context.Background(), s)
			pending <- err
		}()
		<-asked
		s.Stop(wstest.RST)
		assert.Error(t, <-pending, "a handshake under way is cut")
		_, _, err := client.Read(t.Context())
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		client.CloseNow()
		_, _, err = dial(t.Context(), s)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		var op *net.OpError
		assert.ErrorAs(t, err, &op)

		s.AnswerAlways(wstest.Accept())
		s.Start()
		s.Start()
		assert.Equal(t, addr, s.Addr())
		client, _ = open(t, s)
		client.CloseNow()
		s.Close()
		s.Close()
		s.Start() // not after Close
		_, _, err = dial(t.Context(), s)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestPings(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		client, conn := open(t, s)
		defer client.CloseNow()
		client.CloseRead(t.Context())
		require.NoError(t, client.Ping(t.Context()))
		require.NoError(t, conn.Ping(t.Context()))
		conn.IgnorePings(true)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, client.Ping(ctx), context.DeadlineExceeded)
		assert.Equal(t, 2, conn.Pings())
	})
}

func TestStopReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer s.Close()
		client, conn := open(t, s)
		defer client.CloseNow()
		conn.StopReading()
		n := 0
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			for ; n < 10 && client.Write(context.Background(), websocket.MessageBinary, make([]byte, 40<<10)) == nil; n++ {
			}
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, 1, n, "the buffer's worth")
		assert.Empty(t, conn.Received())
		conn.ResumeReading()
		<-wrote
		assert.Equal(t, 10, n)
	})
}

func TestReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wstest.NewServer(wstest.WithNetwork(wstest.NewNetwork()))
		defer s.Close()
		client, conn := open(t, s)
		defer client.CloseNow()
		conn.ReadSlowly(1000)
		write(t, client, "ends the read that was under way")
		_, err := conn.Receive(t.Context())
		require.NoError(t, err)
		began := time.Now()
		write(t, client, strings.Repeat("x", 10000))
		_, err = conn.Receive(t.Context())
		require.NoError(t, err)
		assert.InDelta(t, 10, time.Since(began).Seconds(), 0.3)
	})
}

func TestBlackhole(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		client, conn := open(t, s)
		defer client.CloseNow()
		conn.Blackhole(true)
		write(t, client, "lost")
		require.NoError(t, conn.Send("lost"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := conn.Receive(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		_, _, err = client.Read(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestWithoutRecordsNothingIsKept(t *testing.T) {
	s := wstest.NewServer(wstest.WithoutRecords())
	defer s.Close()
	s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
	first, conn := open(t, s)
	write(t, first, "hello")
	require.Equal(t, "hello", read(t, first))
	require.NoError(t, first.CloseNow())
	<-conn.Done()
	second, conn := open(t, s)
	defer second.CloseNow()
	assert.Equal(t, 2, conn.ID())
	for len(s.Conns()) > 1 { // the first is taken out behind its Done
		runtime.Gosched()
	}
	assert.Equal(t, []*wstest.Conn{conn}, s.Conns())
	assert.Empty(t, s.Events())
	write(t, second, "hello")
	require.Equal(t, "hello", read(t, second))
	assert.Empty(t, conn.Received())
}

func TestTLS(t *testing.T) {
	for _, network := range []*wstest.Network{nil, wstest.NewNetwork()} {
		options := []wstest.Option{wstest.WithTLS()}
		if network != nil {
			options = append(options, wstest.WithNetwork(network))
		}
		s := wstest.NewServer(options...)
		assert.True(t, strings.HasPrefix(s.URL(), "wss://"))
		s.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(m.Text()) })
		client, conn := open(t, s)
		write(t, client, "over TLS")
		assert.Equal(t, "over TLS", read(t, client))
		conn.Cut(wstest.RST)
		client.CloseNow()
		s.Close()
	}
}

// What programs read authorities from is a PEM file.
func TestTheCertificateIsAllThatAClientNeeds(t *testing.T) {
	s := wstest.NewServer(wstest.WithTLS())
	defer s.Close()
	file := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(file))
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: roots})
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.True(t, roots.Equal(s.ClientTLS().RootCAs))

	plain := wstest.NewServer()
	defer plain.Close()
	require.Nil(t, plain.Certificate())
}

func TestNewServerPanicsWhenItCannotListen(t *testing.T) {
	n := wstest.NewNetwork()
	s := wstest.NewServer(wstest.WithNetwork(n))
	defer s.Close()
	assert.Panics(t, func() { wstest.NewServer(wstest.WithNetwork(n), wstest.WithAddr(s.Addr())) })
}

func TestNextConnAndReceiveEndWithTheirContexts(t *testing.T) {
	everywhere(t, func(t *testing.T, s *wstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := s.NextConn(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func ExampleNewServer() {
	server := wstest.NewServer()
	defer server.Close()
	server.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send("echo: " + m.Text()) })

	ctx := context.Background()
	client, _, err := websocket.Dial(ctx, server.URL(), nil)
	if err != nil {
		panic(err)
	}
	_ = client.Write(ctx, websocket.MessageText, []byte("hello"))
	_, data, _ := client.Read(ctx)
	fmt.Println(string(data))
	_ = client.Close(websocket.StatusNormalClosure, "bye")

	conn, _ := server.NextConn(ctx)
	<-conn.Done()
	fmt.Println(conn.CloseCode())
	// Output:
	// echo: hello
	// 1000 bye
}

func ExampleServer_Answer() {
	server := wstest.NewServer()
	defer server.Close()
	server.Answer(wstest.Status(http.StatusServiceUnavailable, nil, "deploying"), wstest.Accept())

	for range 2 {
		client, resp, err := websocket.Dial(context.Background(), server.URL(), nil)
		fmt.Println(resp.StatusCode, err == nil)
		if err == nil {
			_ = client.CloseNow()
		}
	}
	// Output:
	// 503 false
	// 101 true
}

func ExampleConn_Cut() {
	server := wstest.NewServer()
	defer server.Close()
	ctx := context.Background()
	client, _, err := websocket.Dial(ctx, server.URL(), nil)
	if err != nil {
		panic(err)
	}
	conn, _ := server.NextConn(ctx)
	conn.Cut(wstest.FIN)
	_, _, err = client.Read(ctx)
	fmt.Println(errors.Is(err, io.EOF))
	_ = client.CloseNow()
	// Output: true
}

// Close waits for handlers, also for one that a function of AnswerFunc has ended.
func TestAnswerFuncThatDoesNotReturn(t *testing.T) {
	for name, fn := range map[string]func(*http.Request) wstest.Answer{
		"panic":  func(*http.Request) wstest.Answer { panic("oops") },
		"Goexit": func(*http.Request) wstest.Answer { runtime.Goexit(); return wstest.Accept() },
		"nil":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := wstest.NewServer()
			s.AnswerFunc(fn)
			_, _, err := dial(t.Context(), s)
			require.Error(t, err)
			s.Close()
		})
	}
}
