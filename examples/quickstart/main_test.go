package main

import (
	"bytes"
	"context"
	"log"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demo ends by itself, and leaves nothing running.
func TestDemo(t *testing.T) {
	demo := startDemo()
	defer demo.Close()
	if err := run(t.Context(), demo.URL(), "token", demo); err != nil {
		t.Fatal(err)
	}
	if n := len(demo.Conns()); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// A screen is what log writes. It calls full once there are that many lines.
type screen struct {
	bytes.Buffer
	lines int
	full  func()
}

func (s *screen) Write(p []byte) (int, error) {
	defer func() {
		if bytes.Count(s.Bytes(), []byte("\n")) >= s.lines {
			s.full()
		}
	}()
	return s.Buffer.Write(p)
}

// Text from outside cannot control the terminal.
func TestTextIsPrintable(t *testing.T) {
	const evil = "\u202e\x7f\u009b2J"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screen{lines: 4, full: cancel} // connecting, open, and two messages
	log.SetOutput(out)
	defer log.SetOutput(os.Stderr)
	server := wstest.NewServer()
	defer server.Close()
	server.OnConn(func(c *wstest.Conn) {
		_ = c.SendJSON(map[string]string{"msg_type": "message", "from_name": evil, "content": evil})
		_ = c.SendJSON(map[string]string{"msg_type": evil, "content": evil})
	})
	if err := run(ctx, server.URL(), "token", nil); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), evil[:3]+"\x7f\u009b") || strings.Count(out.String(), `\u202e`) != 5 {
		t.Error(out.String())
	}
}
