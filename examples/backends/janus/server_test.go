package main

import (
	"testing"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// janus starts a Janus whose API is at ws://Addr. It prints what it receives.
func janus(t *testing.T) *backend.Process {
	backend.Need(t, "janus")
	return backend.Start(t, "WebSockets thread started", "sh", "janus.sh", t.TempDir())
}

// The server that the bot's test needs starts, and starts again on the same port.
func TestJanus(t *testing.T) {
	server := janus(t)
	server.Kill()
	server.Start()
}
