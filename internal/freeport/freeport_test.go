package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws/internal/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPortsAreNotEphemeral(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		l, err := freeport.Listen("127.0.0.1")
		require.NoError(t, err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n, 1024)
		assert.Less(t, n, 32768)
		seen[port] = true
	}
	assert.Len(t, seen, 50)
}

func TestNothingListensOnAddr(t *testing.T) {
	addr, err := freeport.Addr("127.0.0.1")
	require.NoError(t, err)
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestUnknownHost(t *testing.T) {
	_, err := freeport.Addr("192.0.2.1")
	assert.Error(t, err, "this machine does not have that address")
}
