package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// chromium starts a browser without a window whose DevTools listen at http://Addr.
func chromium(t *testing.T) *backend.Process {
	name := "chromium"
	for _, other := range []string{"chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(other); err == nil {
			name = other
		}
	}
	profile, err := os.MkdirTemp("", "devtools")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // after its end some of its processes may still write there
	args := []string{"--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-port={port}", "--user-data-dir=" + profile, "about:blank"}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium does not start as root with it
	}
	return backend.Start(t, "DevTools listening on", name, args...)
}
