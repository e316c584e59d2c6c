//go:build linux

package attacks

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The first byte of a frame: the end of the message, compressed, and the opcodes.
const (
	fin          = 0x80
	compressed   = 0x40
	continuation = 0
	text         = 1
	ping         = 9
	pong         = 10
)

// frame returns a frame of a server.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return string(b) + payload
}

// message returns a frame with a whole text message.
func message(payload string) string { return frame(fin|text, payload) }

// A victim is a connection of the client, as the attack sees it.
type victim struct {
	net.Conn
	request  *http.Request
	r        *bufio.Reader
	bytes    int64         // written
	patience time.Duration // for the client to read
	gone     chan struct{} // closed when the client has ended the connection; not if the server is deaf
}

// say writes s, and reports whether the client has taken it: not if it is gone or does not read.
func (v *victim) say(s string) bool {
	_ = v.SetWriteDeadline(time.Now().Add(v.patience))
	n, err := io.WriteString(v, s)
	v.bytes += int64(n)
	return err == nil
}

// repeat writes s n times, many at a time.
func (v *victim) repeat(s string, n int) bool {
	each := max(1, min(n, 64<<10/len(s)))
	many := string(bytes.Repeat([]byte(s), each))
	for ; n >= each; n -= each {
		if !v.say(many) {
			return false
		}
	}
	return v.say(many[:n*len(s)])
}

// upgrade answers the handshake.
func (v *victim) upgrade(compress bool) bool {
	proof := sha1.Sum([]byte(v.request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(proof[:]) + "\r\n"
	if compress {
		answer += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	_, err := io.WriteString(v, answer+"\r\n")
	return err == nil
}

// greet does what makes the client of a task open.
func (v *victim) greet(t task) bool {
	ok := v.upgrade(t.Compress)
	if t.Room {
		ok = ok && v.say(message(`{"msg_type":"init","client_id":"1"}`)+message(`{"msg_type":"join","client_id":"1","from_uid":2}`))
	}
	return ok
}

// drain reads what the client sends until the connection ends.
func (v *victim) drain() {
	_, _ = io.Copy(io.Discard, v.r)
	close(v.gone)
}

// A server behaves or attacks.
type server struct {
	net.Listener
	attack attack

	mu      sync.Mutex // guards the fields below
	hostile int        // connections that are still to be attacked
	now     *victim    // the newest connection
	serving sync.WaitGroup

	attacked chan *victim  // the last one, after the attack
	over     chan struct{} // closed when it may end
}

func listen(t *testing.T, a attack) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{Listener: l, attack: a, attacked: make(chan *victim, 1), over: make(chan struct{})}
	s.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.cut()
		s.serving.Wait()
	})
	return s
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	v := &victim{Conn: c, r: bufio.NewReader(c), patience: 30 * time.Second, gone: make(chan struct{})}
	if s.attack.task.Block { // it does not read on
		v.patience = time.Second
	}
	var err error
	if v.request, err = http.ReadRequest(v.r); err != nil {
		return
	}
	s.mu.Lock()
	s.now = v
	hostile := s.hostile > 0
	if hostile {
		s.hostile--
	}
	last := s.hostile == 0
	s.mu.Unlock()
	if !hostile {
		if v.greet(s.attack.task) && v.say(message(`{"msg_type":"probe"}`)) {
			v.drain()
		}
		return
	}
	if !s.attack.deaf {
		go v.drain()
	}
	s.attack.do(s.attack, v)
	if last {
		s.attacked <- v
		<-s.over
	}
}

// cut ends the newest connection.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.now.Close()
	}
}

// begin attacks the connections from the next one on.
func (s *server) begin() {
	s.mu.Lock()
	s.hostile = s.attack.times
	s.mu.Unlock()
	s.cut()
}
