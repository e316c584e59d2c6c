package ws

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a connection whose peer has sent all that it will send. A read returns at most as
// many bytes as chunk says.
type script struct {
	incoming []byte
	chunk    func() int
	written  bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.incoming) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.chunk())], s.incoming)
	s.incoming = s.incoming[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return s.written.Write(p) }
func (s *script) Close() error                { return nil }

// seeded returns a generator that is the same in each run.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// choices returns the bytes from which a fuzz function makes an example.
func choices(seed uint64, most int) []byte {
	random := seeded(seed)
	p := make([]byte, random.IntN(most))
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// inChunks returns a script of chunks of up to n bytes; zero: of random size.
func inChunks(incoming []byte, n int) *script {
	random := seeded(uint64(len(incoming)))
	return &script{incoming: incoming, chunk: func() int {
		if n > 0 {
			return n
		}
		return 1 + random.IntN(1<<random.IntN(12))
	}}
}

// frame returns a frame of a server.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// frames joins frames.
func frames(all ...[]byte) []byte { return slices.Concat(all...) }

func text(payload string) []byte { return frame(finBit|opText, payload) }

// received is what Receive has returned.
type received struct {
	messages []Message // without data: skipped
	skipped  []int64   // the sizes of those
	pings    []string
	pongs    []string
	err      error
}

// receiveAll calls Receive until it returns an error.
func receiveAll(c *Conn) (r received) {
	c.OnPing = func(p []byte) { r.pings = append(r.pings, string(p)) }
	c.OnPong = func(p []byte) { r.pongs = append(r.pongs, string(p)) }
	for {
		b, err := c.Receive()
		if err == nil && len(b.Messages) == 0 {
			err = errors.New("an empty batch")
		}
		if err != nil {
			r.err = err
			return r
		}
		if b.Skipped > 0 {
			r.skipped = append(r.skipped, b.Skipped)
			r.messages = append(r.messages, b.Messages...)
			continue
		}
		for _, m := range b.Messages {
			r.messages = append(r.messages, Message{m.Text, append([]byte{}, m.Data...)})
		}
		b.Release()
	}
}

// texts returns the messages that strings stand for.
func texts(all ...string) (messages []Message) {
	for _, s := range all {
		messages = append(messages, Message{true, []byte(s)})
	}
	return messages
}

// A sent is a frame of the client, unmasked.
type sent struct {
	first   byte
	payload string
}

// framesOf parses what a client has written.
func framesOf(t require.TestingT, b []byte) (all []sent) {
	for len(b) > 0 {
		h, ok := parse(b)
		require.True(t, ok)
		require.True(t, h.masked)
		key := b[h.size : h.size+4]
		payload := slices.Clone(b[h.size+4 : h.size+4+int(h.length)])
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		all = append(all, sent{h.first, string(payload)})
		b = b[h.size+4+int(h.length):]
	}
	return all
}

// tcpPair returns both ends of a connection with small buffers.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	s, err := l.Accept()
	require.NoError(t, err)
	client, server = c.(*net.TCPConn), s.(*net.TCPConn)
	require.NoError(t, client.SetWriteBuffer(16<<10))
	require.NoError(t, server.SetReadBuffer(64<<10))
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// tlsConfigs returns the configurations of a server and of a client that trusts it.
func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	client = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	return &tls.Config{Certificates: s.TLS.Certificates}, client
}

// blocked reports whether a goroutine waits for the socket to take more.
func (s *Socket) blocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushing
}
