package console

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An output is what a view writes, for a test that waits for a part of it.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	written chan struct{} // closed by the next Write
}

func newOutput() *output { return &output{written: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.written)
	o.written = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) waitFor(t *testing.T, part string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		o.mu.Lock()
		found, written := strings.Contains(o.text.String(), part), o.written
		o.mu.Unlock()
		if found {
			return
		}
		select {
		case <-written:
		case <-ctx.Done():
			t.Fatalf("no %q in\n%s", part, o)
		}
	}
}

func nextConn(t *testing.T, server *wstest.Server) *wstest.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := server.NextConn(ctx)
	if err != nil {
		t.Fatal("no connection:", err)
	}
	return conn
}

// expect waits for the next message that is no heartbeat.
func expect(t *testing.T, conn *wstest.Conn, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			t.Fatalf("no %s: %v", want, err)
		}
		if m.Text() == `{"msg_type":"ping"}` {
			continue
		}
		if m.Text() != want {
			t.Fatalf("the server got %s, want %s", m.Text(), want)
		}
		return
	}
}

// expectClosed waits for the end of a connection, which must be the manual close.
func expectClosed(t *testing.T, conn *wstest.Conn) {
	t.Helper()
	<-conn.Done()
	if code, _ := conn.CloseCode(); code != int(wechatws.StatusNormalClosure) {
		t.Errorf("close code %d, want 1000", code)
	}
}

// virtual runs a test in virtual time, with a server and a session on a network in
// memory. The session is not connected.
func virtual(t *testing.T, test func(t *testing.T, server *wstest.Server, s *session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		server := wstest.NewServer(wstest.WithNetwork(network))
		defer server.Close()
		s, err := newSession(Config{URL: server.URL(), Name: "Ann",
			Options: []wechatws.Option{wechatws.WithNetDial(network.DialContext), wechatws.WithProxy(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.shutdown()
		test(t, server, s)
	})
}
