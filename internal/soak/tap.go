package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
)

// A tap is a client's network connection that also parses the bytes that the socket has
// accepted. It shows, independently of the library, whether a message was written; the library
// must hand back the others, and never both.
type tap struct {
	net.Conn
	account *account

	mu       sync.Mutex
	upgraded bool   // the handshake's request has been written
	rest     []byte // of an incomplete frame
	link     int    // its number, after the login has been written
	closed   bool
}

func newTap(conn net.Conn, a *account) *tap { return &tap{Conn: conn, account: a} }

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock() // so that frames are parsed in the order of the writes
	defer t.mu.Unlock()
	n, err := t.Conn.Write(p)
	t.read(p[:n])
	return n, err
}

func (t *tap) Close() error {
	err := t.Conn.Close() // first: it ends a Write that blocks
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && t.link > 0 {
		t.account.clientLeft(t.link)
	}
	t.closed = true
	return err
}

// read parses the packets in the written bytes.
func (t *tap) read(p []byte) {
	t.rest = append(t.rest, p...)
	if !t.upgraded {
		end := []byte("\r\n\r\n")
		at := bytes.Index(t.rest, end)
		if at < 0 {
			return
		}
		t.upgraded, t.rest = true, t.rest[at+len(end):]
	}
	for {
		text, payload, size := frame(t.rest)
		if size == 0 {
			return
		}
		if text {
			t.took(payload)
		}
		t.rest = t.rest[size:]
		if len(t.rest) == 0 {
			t.rest = nil
		}
	}
}

// took is called for each text message.
func (t *tap) took(data []byte) {
	switch p, err := readPacket(data); {
	case err != nil:
		t.account.fail("wrote what nobody sent: %v", err)
	case p.Type == login:
		t.link = p.Link
	case p.numbered() && t.link == 0:
		t.account.fail("%s message %d was written before the login", p.Type, p.Number)
	case p.numbered():
		t.account.took(t.link, p)
	}
}

// frame parses one frame of a client, which is masked and never a fragment. size is 0 if the
// frame is incomplete.
func frame(b []byte) (text bool, payload []byte, size int) {
	if len(b) < 2 {
		return false, nil, 0
	}
	head, length := 2, int(b[1]&0x7F)
	switch {
	case length == 126 && len(b) >= 4:
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case length == 127 && len(b) >= 10:
		head, length = 10, int(binary.BigEndian.Uint64(b[2:]))
	case length >= 126:
		return false, nil, 0
	}
	mask := head
	head += 4
	if len(b) < head+length {
		return false, nil, 0
	}
	payload = make([]byte, length)
	for i := range payload {
		payload[i] = b[head+i] ^ b[mask+i%4]
	}
	return b[0]&0x0F == 1, payload, head + length
}
