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
