package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestANewKernelWhenTheOldOneIsGone(t *testing.T) {
	folder := t.TempDir() // for all that the server writes
	t.Setenv("HOME", folder)
	t.Setenv("JUPYTER_RUNTIME_DIR", folder)
	server := backend.Start(t, "is running at", "jupyter-server", "--allow-root", "--no-browser", "--ServerApp.root_dir="+folder,
		"--ServerApp.ip={host}", "--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=", "--ServerApp.disable_check_xsrf=True")
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
