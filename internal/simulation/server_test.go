package simulation

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// behavior is what the server does at present.
type behavior struct {
	deaf       bool // it reads nothing
	silent     bool // it answers nothing
	refuseWith int  // status of its next answer to a handshake; 0: 101
}

// A server is the server's end of a connection. Its methods are called with mu held.
type server struct {
	conn     *conn
	frames   stream
	open     bool // the handshake is done
	messages int  // how many it has sent
	closing  bool // it has sent a close frame
}

// reads reports whether the server reads what has arrived.
func (s *server) reads() bool {
	w := s.conn.world
	if w.Settings.ReadsWhenWritten && len(s.conn.sending) > w.Settings.Buffer {
		s.conn.starved = true
		return false
	}
	return !w.deaf
}

func (s *server) handshake(head []byte) {
	w, c := s.conn.world, s.conn
	at := bytes.Index(bytes.ToLower(head), []byte("sec-websocket-key: ")) + len("sec-websocket-key: ")
	key, _, _ := strings.Cut(string(head[at:]), "\r\n")
	answer := func() {
		if status := w.refuseWith; status != 0 {
			w.refuseWith = 0
			s.write(fmt.Appendf(nil, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", status))
			c.leaving = true
			w.pump()
			return
		}
		hash := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		s.write(fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(hash[:])))
		s.open = true
		if w.Settings.Greeting && !w.silent {
			s.say(0)
		}
		s.talk()
		w.pump()
	}
	if d := w.Settings.Handshake; d > 0 {
		w.after(d, answer)
	} else {
		answer()
	}
}

// talk sends a message now and then.
func (s *server) talk() {
	if d := s.conn.world.Settings.Talks; d > 0 && !s.conn.closed {
		s.conn.world.after(d, func() {
			if len(s.conn.sending) < 1<<20 {
				s.say(0)
				s.conn.world.pump()
			}
			s.talk()
		})
	}
}

// write sends bytes.
func (s *server) write(b []byte) {
	if c := s.conn; !c.leaving && !c.reset && !c.closed {
		c.sending = append(c.sending, b...)
		c.sent += len(b)
	}
}

// mayWrite reports whether frames can be sent.
func (s *server) mayWrite() bool {
	c := s.conn
	return s.open && !s.closing && !c.leaving && !c.reset && !c.closed
}

// say sends a message, which answers that of a client unless of is 0.
func (s *server) say(of int) {
	if !s.mayWrite() || len(s.conn.sending) > 1000*s.conn.world.Settings.Buffer { // it would take minutes
		return
	}
	s.messages++
	s.write(appendFrame(nil, opText, fmt.Appendf(nil, `{"msg_type":"s","c":%d,"n":%d,"of":%d}`, s.conn.number, s.messages, of)))
	s.conn.isMessage()
}

// bye sends a close frame, and the connection ends after it.
func (s *server) bye(code int) {
	if !s.mayWrite() {
		return
	}
	code = max(code, 1000)
	s.write(appendFrame(nil, opClose, binary.BigEndian.AppendUint16(nil, uint16(code))))
	s.closing, s.conn.closeCode, s.conn.closeEnd = true, code, s.conn.sent
}

// tooBig refuses a message of the client, of which perhaps only the beginning has arrived, with one
// of the codes for that.
func (s *server) tooBig() {
	codes := []int{1009, 1003, 1007, 1008}
	s.bye(codes[s.conn.number%len(codes)])
	s.conn.leaving = true
}

// receive handles a frame of the client.
func (s *server) receive(opcode byte, payload []byte) {
	w := s.conn.world
	switch opcode {
	case opPing:
		if !w.silent && !s.closing {
			s.write(appendFrame(nil, opPong, payload))
			w.pongs++
			s.conn.arrivedByPong, s.conn.pongEnd = s.conn.arrived, s.conn.sent
		}
	case opClose:
		if !w.silent {
			s.bye(1000)
			s.conn.leaving = true
		}
	case opText:
		m := w.message(payload)
		if m == nil {
			return
		}
		m.read = true
		answers := m.verb == "request" || m.verb == "confirm" || w.Settings.Echo
		if w.silent || !answers {
			return
		}
		if d := w.Settings.Answer; d > 0 {
			w.after(d, func() { s.say(m.id); w.pump() })
		} else {
			s.say(m.id)
		}
	}
}

// number returns the number behind a name in JSON; 0: there is none.
func number(b []byte, name string) int {
	_, rest, ok := bytes.Cut(b, []byte(`"`+name+`":`))
	if !ok {
		return 0
	}
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, _ := strconv.Atoi(string(rest[:end]))
	return n
}

// ends is what the accounts need of a connection. Positions are in the stream of the server.
type ends struct {
	sent, arrived, read int
	messageEnds         []int // of the messages that have not arrived
	arrivedMessages     int
	delivered           int       // messages that have reached OnMessage
	closeCode, closeEnd int       // of the server's close frame
	writing             int       // calls of Write
	written             int       // bytes that the client's socket has taken
	writtenBefore       int       // the same, when lastWrite was set
	lastWrite           time.Time // when no write was blocked, or one made progress
	lastRead            time.Time // when bytes were last read, or could have been
	lastAcked           time.Time // when the server last took bytes, or there were none to take
	arrivedByThen       int       // when there last were none
	arrivedByPong       int       // when the server last wrote a pong
	pongEnd             int       // the end of that pong
	unread              int       // bytes, when the client closed it
	local               bool      // the user has ended it
	cut                 bool      // CloseNow has ended it while the client was writing
	held                bool      // a function that is not a callback has blocked, and nothing was read meanwhile
	netChanged          bool      // the network has changed while it was open
	starved             bool      // the server was silent or deaf, the network held, or a function blocked
}

func (c *conn) isMessage() { c.messageEnds = append(c.messageEnds, c.sent) }

func (c *conn) hasArrived(n int) {
	c.arrived += n
	for len(c.messageEnds) > 0 && c.messageEnds[0] <= c.arrived {
		c.messageEnds = c.messageEnds[1:]
		c.arrivedMessages++
	}
}

func (c *conn) hasRead(n int) {
	c.read += n
	c.lastRead = time.Now()
}

func (c *conn) hasClosed() { c.unread = len(c.in) }
