package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// start starts a Jupyter server whose API is at http://Addr.
func start(t *testing.T) *backend.Process {
	backend.Need(t, "jupyter-server")
	folder := t.TempDir() // for all that the server writes
	return backend.Start(t, "is running at", "env", "HOME="+folder, "JUPYTER_RUNTIME_DIR="+folder, "jupyter-server", "--allow-root", "--no-browser", "--ServerApp.root_dir="+folder,
		"--ServerApp.ip={host}", "--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=", "--ServerApp.disable_check_xsrf=True")
}

func TestANewKernelWhenTheOldOneIsGone(t *testing.T) {
	server := start(t)
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "http://"+server.Addr) })
	bot.Expect("a new kernel")
	bot.Expect("output: n is 1")
	bot.Expect("output: n is 3")

	server.Kill() // and its kernels end by themselves
	server.Start()
	bot.Expect("a new kernel")
	bot.Expect("output: n is 1")
	bot.Expect("executed: ok")
	require.NoError(t, bot.Stop())
}
