package wstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// pipe is a connection of a network in memory.
func pipe(t *testing.T, n *wstest.Network) (client, server net.Conn) {
	t.Helper()
	l, err := n.Listen("pipe.test:1")
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err = n.DialContext(t.Context(), "tcp", "pipe.test:1")
	require.NoError(t, err)
	return client, <-accepted
}

func inMemory(t *testing.T, test func(t *testing.T, n *wstest.Network)) {
	synctest.Test(t, func(t *testing.T) { test(t, wstest.NewNetwork()) })
}

func TestNetworkConn(t *testing.T) {
	inMemory(t, func(t *testing.T, n *wstest.Network) {
		a, b := pipe(t, n)
		assert.Equal(t, "pipe.test:1", a.RemoteAddr().String())
		assert.Equal(t, a.LocalAddr(), b.RemoteAddr())
		assert.Equal(t, "tcp", a.LocalAddr().Network())
		payload := bytes.Repeat([]byte("0123456789"), 50000) // more than the buffer
		go func() {
			_, err := a.Write(payload)
			assert.NoError(t, err)
			assert.NoError(t, a.Close())
		}()
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		assert.Equal(t, payload, got)
		_, err = b.Write([]byte("x"))
		assert.ErrorIs(t, err, syscall.EPIPE)
		_, err = a.Read(make([]byte, 1))
		assert.ErrorIs(t, err, net.ErrClosed)
		_, err = a.Write(nil)
		assert.ErrorIs(t, err, net.ErrClosed)
		b.Close()
	})
}

func TestNetworkDeadlines(t *testing.T) {
	inMemory(t, func(t *testing.T, n *wstest.Network) {
		a, b := pipe(t, n)
		defer a.Close()
		defer b.Close()
		began := time.Now()
		require.NoError(t, a.SetDeadline(began.Add(time.Minute)))
		_, err := a.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(began))
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		assert.True(t, ne.Timeout())

		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Minute)))
		k, err := a.Write(make([]byte, 1<<20))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, 64<<10, k, "what fitted")

		require.NoError(t, a.SetDeadline(time.Time{}))
		time.AfterFunc(time.Hour, func() { _ = a.SetReadDeadline(time.Unix(1, 0)) })
		_, err = a.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "a deadline in the past ends a read under way")
	})
}

func TestNetworkDown(t *testing.T) {
	inMemory(t, func(t *testing.T, n *wstest.Network) {
		a, b := pipe(t, n)
		defer a.Close()
		n.Down()
		_, err := a.Write([]byte("later"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = n.DialContext(ctx, "tcp", "pipe.test:1")
		assert.ErrorIs(t, err, context.DeadlineExceeded, "a dial hangs")
		a.Close()
		time.AfterFunc(time.Minute, n.Up)
		began := time.Now()
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		assert.Equal(t, "later", string(got))
		assert.Equal(t, time.Minute, time.Since(began), "as TCP sends it again, the FIN too")
		b.Close()

		n.Unreachable(true)
		_, err = n.DialContext(t.Context(), "tcp", "pipe.test:1")
		assert.ErrorIs(t, err, syscall.ENETUNREACH)
		n.Unreachable(false)
		_, err = n.DialContext(t.Context(), "tcp", "pipe.test:1")
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		var errs []error
		for _, d := range n.Dials() {
			errs = append(errs, errors.Unwrap(d.Err))
		}
		assert.Equal(t, []error{nil, context.DeadlineExceeded, syscall.ENETUNREACH, syscall.ECONNREFUSED}, errs)
	})
}

func TestNetworkLatency(t *testing.T) {
	inMemory(t, func(t *testing.T, n *wstest.Network) {
		a, b := pipe(t, n)
		n.SetLatency(30 * time.Millisecond)
		began := time.Now()
		go func() {
			_, _ = a.Write([]byte("one"))
			time.Sleep(10 * time.Millisecond)
			_, _ = a.Write([]byte("two"))
			a.Close()
		}()
		p := make([]byte, 10)
		k, err := b.Read(p)
		require.NoError(t, err)
		assert.Equal(t, "one", string(p[:k]))
		assert.Equal(t, 30*time.Millisecond, time.Since(began))
		rest, err := io.ReadAll(b)
		require.NoError(t, err)
		assert.Equal(t, "two", string(rest))
		assert.Equal(t, 40*time.Millisecond, time.Since(began))
		b.Close()
	})
}

func TestNetworkCountsClients(t *testing.T) {
	inMemory(t, func(t *testing.T, n *wstest.Network) {
		a, b := pipe(t, n)
		c, d := pipe(t, n)
		assert.Equal(t, 2, n.Clients())
		b.Close()
		assert.Equal(t, 2, n.Clients(), "the client's end counts")
		a.Close()
		a.Close()
		c.Close()
		d.Close()
		assert.Zero(t, n.Clients())
		assert.Equal(t, 2, n.MaxClients())
	})
}

// A network in memory. Inside synctest.Test the minute takes no time.
func ExampleNetwork() {
	network := wstest.NewNetwork()
	server := wstest.NewServer(wstest.WithNetwork(network))
	defer server.Close()

	network.Down()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := network.DialContext(ctx, "tcp", server.Addr())
	fmt.Println(err)
	network.Up()
	conn, err := network.DialContext(context.Background(), "tcp", server.Addr())
	fmt.Println(err, network.Clients())
	conn.Close()
	// Output:
	// dial tcp server.test:80: context deadline exceeded
	// <nil> 1
}
