package backend_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

func TestProcess(t *testing.T) {
	p := backend.Start(t, "listening", "sh", "-c", `echo "listening on $PORT, {addr}"; while read line; do echo "heard $line"; done`)
	require.Contains(t, p.All()[0], ", "+p.Addr)
	p.Tell("one")
	p.Expect("heard one")
	p.Kill()
	p.Start()
	p.Tell("two")
	p.Expect("heard two")
	require.Equal(t, 2, p.Count("listening on"))
}

func TestServer(t *testing.T) {
	s := backend.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	_, err := http.Get("http://" + s.Addr)
	require.NoError(t, err)
	s.Kill()
	_, err = http.Get("http://" + s.Addr)
	require.Error(t, err)
	s.Start(http.NotFoundHandler())
	_, err = http.Get("http://" + s.Addr)
	require.NoError(t, err)
}

func TestBot(t *testing.T) {
	b := backend.Run(t, func(ctx context.Context) error {
		log.Print("hello")
		<-ctx.Done()
		return ctx.Err()
	})
	b.Expect("hello")
	require.NoError(t, b.Stop())
}
