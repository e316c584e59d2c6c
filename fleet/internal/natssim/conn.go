package natssim

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A conn is a connection of a client to a server. It is the client's net.Conn: the server has no goroutine,
// and reads what the client writes at once. Buffers have no limit.
type conn struct {
	c       *Cluster
	n       *node
	process string

	received []byte // from the client, not parsed
	toClient []byte // not read by the client
	changed  *sync.Cond
	readBy   time.Time // deadline
	wake     *time.Timer
	closed   bool // by the client
	reset    bool // by the server

	connected    bool // the first PING was received
	noResponders bool
	subs         map[string]*sub // by the client's id
}

// A sub is a subscription of a client.
type sub struct {
	on      *conn
	id      string
	subject string
	rest    int // messages until it ends; -1: no limit
}

// dial makes a connection of a process to the server at an address. Cluster.mu is not held.
//
// Connecting takes no time, also if it fails: the NATS client holds a mutex meanwhile, and virtual time
// stands still while a goroutine waits for a mutex.
func (c *Cluster) dial(process, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.at(address)
	if n == nil || !n.up || c.killed[process] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if c.cutProcesses[link{process, n}] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	k := &conn{c: c, n: n, process: process, changed: sync.NewCond(&c.mu), subs: map[string]*sub{}}
	n.conns = append(n.conns, k)
	k.send(fmt.Sprintf(`INFO {"server_id":%q,"server_name":%q,"version":"2.15.2","proto":1,"host":%q,"port":4222,"headers":true,"max_payload":8388608,"jetstream":true,"client_id":%d,"cluster":"sim"}`+"\r\n",
		n.name, n.name, n.host, len(n.conns)))
	return k, nil
}

// send sends bytes to the client, unless the connection is cut.
func (k *conn) send(parts ...string) {
	if k.closed || k.reset {
		return
	}
	for _, p := range parts {
		k.toClient = append(k.toClient, p...)
	}
	k.changed.Broadcast()
}

// end ends the connection, as the server does when it stops.
func (k *conn) end() {
	k.reset = true
	clear(k.subs)
	k.changed.Broadcast()
}

// cut reports whether nothing passes between the client and the server.
func (k *conn) cut() bool { return k.c.cutProcesses[link{k.process, k.n}] }

func (k *conn) Read(p []byte) (int, error) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	for {
		switch {
		case k.closed:
			return 0, net.ErrClosed
		case !k.readBy.IsZero() && !time.Now().Before(k.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(k.toClient) > 0 && !k.cut():
			n := copy(p, k.toClient)
			k.toClient = k.toClient[n:]
			return n, nil
		case k.reset && !k.cut():
			return 0, io.EOF
		}
		k.changed.Wait()
	}
}

func (k *conn) Write(p []byte) (int, error) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	switch {
	case k.closed:
		return 0, net.ErrClosed
	case k.reset && !k.cut():
		return 0, syscall.EPIPE
	}
	k.received = append(k.received, p...)
	k.parse()
	return len(p), nil
}

func (k *conn) Close() error {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.closed {
		return net.ErrClosed
	}
	k.closed = true
	if k.wake != nil {
		k.wake.Stop()
	}
	// A server does not hear of it while the connection is cut, and finds out by itself; no subscription
	// of it matters any more.
	clear(k.subs)
	k.n.forget(k)
	k.changed.Broadcast()
	return nil
}

func (k *conn) SetReadDeadline(t time.Time) error {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.readBy = t
	if k.wake != nil {
		k.wake.Stop()
	}
	if !t.IsZero() {
		k.wake = time.AfterFunc(time.Until(t), func() {
			k.c.mu.Lock()
			defer k.c.mu.Unlock()
			k.changed.Broadcast()
		})
	}
	k.changed.Broadcast()
	return nil
}

func (k *conn) SetDeadline(t time.Time) error    { return k.SetReadDeadline(t) }
func (k *conn) SetWriteDeadline(time.Time) error { return nil }
func (k *conn) LocalAddr() net.Addr              { return address(k.process) }
func (k *conn) RemoteAddr() net.Addr             { return address(k.n.host + ":4222") }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// parse executes the commands that were received, unless the connection is cut.
func (k *conn) parse() {
	for !k.cut() && !k.reset {
		line, rest, ok := bytes.Cut(k.received, []byte("\r\n"))
		if !ok {
			return
		}
		name, args, _ := strings.Cut(string(line), " ")
		f := strings.Fields(args)
		switch strings.ToUpper(name) {
		case "CONNECT":
			k.noResponders = strings.Contains(args, `"no_responders":true`)
		case "PING":
			if !k.connected {
				k.connected = true
				k.send("PONG\r\n")
			} else {
				k.c.after(k, k.n, k.c.hop(), func() { k.send("PONG\r\n") })
			}
		case "PONG":
		case "SUB":
			s := &sub{on: k, id: f[len(f)-1], subject: f[0], rest: -1}
			if len(f) != 2 {
				panic("natssim: there are no queue groups: " + string(line))
			}
			k.subs[s.id] = s
			k.c.interested(s)
		case "UNSUB":
			if s := k.subs[f[0]]; s != nil && len(f) == 2 {
				s.rest, _ = strconv.Atoi(f[1])
			} else {
				delete(k.subs, f[0])
			}
		case "PUB", "HPUB":
			p := publication{from: k.n, process: k.process, subject: f[0]}
			sizes := f[1:]
			if numbers := 1 + len(name) - len("PUB"); len(f) == numbers+2 {
				p.reply, sizes = f[1], f[2:]
			}
			size, _ := strconv.Atoi(sizes[len(sizes)-1])
			if len(rest) < size+2 {
				return
			}
			body := bytes.Clone(rest[:size])
			if len(sizes) == 2 {
				header, _ := strconv.Atoi(sizes[0])
				p.header, body = body[:header], body[header:]
			}
			p.data, rest = body, rest[size+2:]
			k.c.after(k, k.n, k.c.hop(), func() { k.publish(p) })
		default:
			panic("natssim: unknown command: " + string(line))
		}
		k.received = rest
	}
}

// publish executes a PUB of the client, if the server has not been lost meanwhile.
func (k *conn) publish(p publication) {
	if k.reset || !k.n.up {
		return
	}
	if taken := k.c.publish(p); !taken && p.reply != "" && k.noResponders {
		k.c.publish(publication{from: k.n, subject: p.reply, header: []byte("NATS/1.0 503\r\n\r\n")})
	}
}

// deliver sends a message to a subscription.
func (s *sub) deliver(p publication) {
	k := s.on
	if k.subs[s.id] != s {
		return
	}
	if s.rest > 0 {
		if s.rest--; s.rest == 0 {
			delete(k.subs, s.id)
		}
	}
	subject := p.subject
	if p.shown != "" {
		subject = p.shown
	}
	reply := ""
	if p.reply != "" {
		reply = p.reply + " "
	}
	if len(p.header) > 0 {
		k.send(fmt.Sprintf("HMSG %s %s %s%d %d\r\n", subject, s.id, reply, len(p.header), len(p.header)+len(p.data)), string(p.header), string(p.data), "\r\n")
		return
	}
	k.send(fmt.Sprintf("MSG %s %s %s%d\r\n", subject, s.id, reply, len(p.data)), string(p.data), "\r\n")
}
