package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loopbacks is the number of addresses on which the server listens, from 127.0.0.1 on. With
// one address, large fleets one after another run out of client ports.
const loopbacks = 8

// A server is the peer in every workload, in its own process. It performs the handshake by
// hand, and reads and writes frames without a library, so that it is not the bottleneck. The
// path of a connection selects the workload.
type server struct {
	open, heartbeats, pings atomic.Int64 // of the idle connections

	mu      sync.Mutex
	accepts []int64 // of the idle connections, as Unix milliseconds
}

// census is the server's counts of its idle connections.
type census struct {
	Open, Heartbeats, Pings int64
	Accepts                 []int64
}

// serve is the server process. It listens on the given port, or on any, writes its number to
// the standard output, and returns at the end of the standard input.
func serve(port string) error {
	debug.SetGCPercent(400)
	s := &server{}
	for i := range loopbacks {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%s", i+1, port))
		if err != nil {
			return err
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		go s.accept(l)
	}
	room()
	fmt.Println(port)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		go s.handle(c, time.Now())
	}
}

func (s *server) handle(c net.Conn, at time.Time) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReaderSize(c, 1024))
	if err != nil {
		return
	}
	if r.URL.Path == "/census" {
		s.tell(c)
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if err != nil {
		return
	}
	// The connection ends when one of these returns. The client checks the result.
	switch q := r.URL.Query(); r.URL.Path {
	case "/feed":
		_ = feed(c, number(q, "n"))
	case "/echo":
		_ = echo(c)
	case "/tcp":
		_ = echoBytes(c, number(q, "in"), number(q, "out"))
	case "/count":
		_ = count(c)
	case "/idle":
		_ = s.idle(c, at)
	}
}

func number(q url.Values, name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}

// answer handles a control frame. It returns an error when the connection has ended.
func answer(c net.Conn, op byte, payload []byte) error {
	switch op {
	case opPing:
		_, err := c.Write(appendFrame(nil, opPong, payload))
		return err
	case opClose:
		_, _ = c.Write(appendFrame(nil, opClose, payload))
		return io.EOF
	}
	return nil
}

// feed waits for a message of the client, and then sends n messages of the room as fast as
// the client reads them.
func feed(c net.Conn, n int) error {
	frames := newFrameReader(c, 1024)
	if op, _, err := frames.next(); err != nil || op != opText {
		return err
	}
	s := room()
	for ; n > 0; n -= scriptLength {
		if _, err := c.Write(s.frames[:s.ends[min(n, scriptLength)-1]]); err != nil {
			return err
		}
	}
	for {
		op, payload, err := frames.next()
		if err != nil {
			return err
		}
		if err := answer(c, op, payload); err != nil {
			return err
		}
	}
}

// echo sends back every message.
func echo(c net.Conn) error {
	frames := newFrameReader(c, 64<<10)
	var out []byte
	for {
		op, payload, err := frames.next()
		if err != nil {
			return err
		}
		if op == opText {
			out = appendFrame(out[:0], opText, payload)
			_, err = c.Write(out)
		} else {
			err = answer(c, op, payload)
		}
		if err != nil {
			return err
		}
	}
}

// echoBytes answers each in bytes with out bytes.
func echoBytes(c net.Conn, in, out int) error {
	buf := make([]byte, max(in, out))
	for {
		if _, err := io.ReadFull(c, buf[:in]); err != nil {
			return err
		}
		if _, err := c.Write(buf[:out]); err != nil {
			return err
		}
	}
}

// count counts the messages that begin like those of W3, and adds up their numbers. It sends
// both as the answer to howMany.
func count(c net.Conn) error {
	frames := newFrameReader(c, 256<<10)
	var got, sum int
	for {
		op, payload, err := frames.next()
		if err != nil {
			return err
		}
		switch n, ok := outboundNumber(payload); {
		case op == opText && ok:
			got++
			sum += n
		case op == opText && string(payload) == howMany:
			_, err = c.Write(appendFrame(nil, opText, fmt.Appendf(nil, `{"msg_type":"count","n":%d,"sum":%d}`, got, sum)))
		default:
			err = answer(c, op, payload)
		}
		if err != nil {
			return err
		}
	}
}

// idle counts the heartbeats and pings of an idle connection.
func (s *server) idle(c net.Conn, at time.Time) error {
	s.mu.Lock()
	s.accepts = append(s.accepts, at.UnixMilli())
	s.mu.Unlock()
	s.open.Add(1)
	defer s.open.Add(-1)
	frames := newFrameReader(c, 512)
	for {
		op, payload, err := frames.next()
		if err != nil {
			return err
		}
		switch op {
		case opText:
			s.heartbeats.Add(1)
		case opPing:
			s.pings.Add(1)
		}
		if err := answer(c, op, payload); err != nil {
			return err
		}
	}
}

func (s *server) tell(c net.Conn) {
	s.mu.Lock()
	now := census{s.open.Load(), s.heartbeats.Load(), s.pings.Load(), s.accepts}
	body, err := json.Marshal(now)
	s.mu.Unlock()
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
