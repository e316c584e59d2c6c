package addresses

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http/httptrace"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A host is the name server.test, with addresses of the loopback interface, all of which Linux has.
type host struct {
	*testing.T
	memory Memory
	ips    []netip.Addr
	port   string
}

func newHost(t *testing.T, ips ...netip.Addr) *host {
	h := &host{T: t, ips: ips}
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go h.answer(server)
		return client, nil
	}}
	t.Cleanup(func() { net.DefaultResolver = before })
	return h
}

// answer answers questions for addresses, each after its length, as over TCP.
func (h *host) answer(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		m := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, m); err != nil {
			return
		}
		end := 12 // of the question
		for m[end] != 0 {
			end += 1 + int(m[end])
		}
		end += 5
		ips := h.ips
		if m[end-3] != 1 { // not for IPv4
			ips = nil
		}
		reply := append([]byte{}, m[:2]...)
		reply = append(reply, 0x81, 0x80, 0, 1, 0, byte(len(ips)), 0, 0, 0, 0)
		reply = append(reply, m[12:end]...)
		for _, ip := range ips {
			reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4), ip.AsSlice()...)
		}
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	}
}

// listen accepts connections at an address until the test ends or the result is called.
func (h *host) listen(ip netip.Addr) (stop func()) {
	port := h.port
	if port == "" {
		port = "0"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(ip.String(), port))
	require.NoError(h, err)
	_, h.port, _ = net.SplitHostPort(l.Addr().String())
	h.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

// attempt connects to the name, and returns the address of the connection; invalid if there is none.
func (h *host) attempt() (*Choice, netip.Addr) {
	c := &Choice{Memory: &h.memory}
	return c, h.dial(c, "server.test.")
}

func (h *host) dial(c *Choice, name string) netip.Addr {
	ctx, cancel := context.WithDeadline(h.Context(), time.Now().Add(time.Minute))
	defer cancel()
	conn, err := c.Dial(ctx, "tcp", net.JoinHostPort(name, h.port))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return ipOf(conn.RemoteAddr().String())
}

func TestAnAddressThatRefusesIsTriedLast(t *testing.T) {
	h := newHost(t, first, second)
	stop := h.listen(second)
	_, got := h.attempt()
	assert.Equal(t, second, got)

	h.listen(first) // it has recovered, which the client cannot see
	_, got = h.attempt()
	assert.Equal(t, second, got)

	stop()
	_, got = h.attempt()
	assert.Equal(t, first, got, "all others have failed")
}

func TestAnAddressThatConnectsAndFailsIsTriedLast(t *testing.T) {
	h := newHost(t, first, second)
	h.listen(first)
	h.listen(second)
	c, got := h.attempt()
	require.Equal(t, first, got)
	c.Failed()

	c, got = h.attempt()
	require.Equal(t, second, got)
	c.Failed()

	_, got = h.attempt()
	assert.Equal(t, first, got, "both have failed")
}

// The addresses before it have used up a part of the attempt's time.
func TestAnAddressThatFailsAfterOthersIsNotAvoided(t *testing.T) {
	h := newHost(t, first, second)
	h.listen(second)
	c, got := h.attempt()
	require.Equal(t, second, got)
	c.Failed()
	assert.True(t, h.memory.avoids(first))
	assert.False(t, h.memory.avoids(second))
}

func TestTheOnlyAddressIsNotAvoided(t *testing.T) {
	h := newHost(t, first)
	h.listen(first)()
	c, got := h.attempt()
	assert.False(t, got.IsValid())
	c.Failed()
	assert.False(t, h.memory.avoids(first))

	h.listen(first)
	c, got = h.attempt()
	assert.Equal(t, first, got)
	c.Failed()
	assert.False(t, h.memory.avoids(first))
}

// A Choice may connect again, to the host of a redirect or to a proxy.
func TestFailedIsAboutTheLastConnection(t *testing.T) {
	h := newHost(t, first, second)
	h.listen(first)
	c, got := h.attempt()
	require.Equal(t, first, got)
	require.Equal(t, first, h.dial(c, first.String()))
	c.Failed()
	assert.False(t, h.memory.avoids(first), "it was given as an address")
}

func TestADialThatIsGivenUpIsNoFailure(t *testing.T) {
	h := newHost(t, first, second)
	h.listen(first)
	h.listen(second)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute))
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectStart: func(string, string) { cancel() }})
	_, err := (&Choice{Memory: &h.memory}).Dial(ctx, "tcp", net.JoinHostPort("server.test.", h.port))
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, h.memory.avoids(first))
	assert.False(t, h.memory.avoids(second))
}
