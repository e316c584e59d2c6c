package liveroom_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// A narrowPath is a TCP proxy that takes what the client sends no faster than its rate. Little of the
// rest is in its own buffers: most waits in the client's socket.
type narrowPath struct {
	net.Listener
	to   string
	rate atomic.Int64 // bytes in 100 ms; 0: any
}

func newNarrowPath(t *testing.T, to string) *narrowPath {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}), err)
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &narrowPath{Listener: l, to: to}
	served := make(chan struct{})
	go func() { defer close(served); p.serve() }()
	t.Cleanup(func() { l.Close(); <-served })
	return p
}

// serve serves one connection.
func (p *narrowPath) serve() {
	client, err := p.Accept()
	if err != nil {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		client.Close()
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	for buffer := make([]byte, 64<<10); err == nil; {
		rate, n := p.rate.Load(), 0
		if rate == 0 {
			rate = int64(len(buffer))
		} else {
			time.Sleep(100 * time.Millisecond)
		}
		n, err = client.Read(buffer[:rate])
		_, _ = server.Write(buffer[:n])
	}
	server.Close()
	<-back
}

// A comment of 120 kB takes 7 s to reach the server, and its echo cannot come before; the kernel has
// taken all of it at once, so that nothing of it is in the queue. Then the server removes the member,
// which is still found.
func TestALongCommentOnASlowLinkIsNoSilence(t *testing.T) {
	backend := liveroomtest.NewBackend(liveroomtest.Quirks{})
	defer backend.Close()
	path := newNarrowPath(t, backend.Server().Addr())
	v := (&world{T: t, backend: backend}).visitor(as("a", liveroom.WithEchoTimeout(3*time.Second)),
		wechatws.WithLiveness(wechatws.Liveness{Interval: time.Second, Timeout: 20 * time.Second}),
		wechatws.WithNetDial(func(context.Context, string, string) (net.Conn, error) {
			c, err := net.Dial("tcp", path.Addr().String())
			if err == nil {
				err = c.(*net.TCPConn).SetWriteBuffer(1 << 20)
			}
			return c, err
		}))
	defer func() { _ = v.Leave(); <-v.Done() }()
	echoes := make(chan liveroom.Comment, 10)
	v.OnComment(func(_ context.Context, c liveroom.Comment) { echoes <- c })
	v.connectIn(10 * time.Second)
	v.say("hello")
	<-echoes

	path.rate.Store(120_000 / 70)
	v.say(strings.Repeat("x", 120_000))
	began := time.Now()
	select {
	case c := <-echoes:
		require.Len(t, c.Content, 120_000)
	case <-time.After(time.Minute):
		require.Fail(t, "no echo", "%+v, disconnects %v", v.Stats(), v.ends())
	}
	require.Greater(t, time.Since(began), 5*time.Second, "it was slow")
	s := v.Stats()
	require.Equal(t, 1, s.Opens)
	require.WithinDuration(t, time.Now(), s.TakenAt, 3*time.Second)

	path.rate.Store(0)
	backend.ThrowOut(roomID, "a")
	v.say("anybody there?")
	require.Eventually(t, func() bool { return v.Stats().Disconnects.Local == 1 }, time.Minute, 100*time.Millisecond)
	require.ErrorIs(t, v.Stats().LastError, liveroom.ErrSilentRoom)
}
