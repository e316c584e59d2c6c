package main

import (
	"net/url"
	"sync"
	"time"
)

// A conn is a connection of one of the contenders.
type conn interface {
	send(text []byte) error // one message
	close()
}

// A puller is a conn of a library with a function that reads.
type puller interface {
	conn
	read() ([]byte, error) // valid until the next call
}

// A pusher is a conn of a library that calls back.
type pusher interface {
	conn
	listen(got func(data []byte)) // called once, before the server sends anything
}

// A contender is one way to talk to a WebSocket server.
type contender struct {
	name string
	dial func(url string) (conn, error)
	// oneWriter reports whether send must not be called concurrently.
	oneWriter bool
	// idle opens a connection that is read, and returns a function that sends its heartbeat
	// and its ping. ended is called when the connection breaks. It is closed when the peer
	// has been silent for deadAfter.
	idle func(url string, ended func()) (beat func() error, err error)
}

// heartbeat is the heartbeat of the Mini Program, and the default of the library.
var heartbeat = []byte(`{"msg_type":"ping"}`)

// The library's defaults.
const (
	usual     = 3 * time.Second  // between heartbeats, and before a reconnect
	deadAfter = 10 * time.Second // of silence
)

var contenders = []contender{
	{name: "raw", dial: dialRaw, idle: idleRaw, oneWriter: true},
	{name: "raw-gathered", dial: dialGathered, oneWriter: true},
	{name: "gorilla", dial: dialGorilla, idle: idleGorilla, oneWriter: true},
	{name: "gorilla-reuse", dial: dialGorillaReuse, oneWriter: true},
	{name: "coder", dial: dialCoder, idle: idleCoder},
	{name: "coder-reuse", dial: dialCoderReuse},
	{name: "nhooyr", dial: dialNhooyr, idle: idleNhooyr},
	{name: "gobwas", dial: dialGobwas, idle: idleGobwas, oneWriter: true},
	{name: "gws", dial: dialGws, idle: idleGws},
	{name: "wechatws", dial: dialWechatws},
	{name: "wechatws-nocopy", dial: dialNoCopy},
}

func contenderOf(name string) contender {
	for _, c := range contenders {
		if c.name == name {
			return c
		}
	}
	panic("no contender " + name)
}

// receive calls got with n messages, by the library's own way to receive. It calls start when
// it is ready for the first one.
func receive(c conn, n int, start func() error, got func(data []byte) error) error {
	switch c := c.(type) {
	case puller:
		if err := start(); err != nil {
			return err
		}
		for range n {
			data, err := c.read()
			if err != nil {
				return err
			}
			if err := got(data); err != nil {
				return err
			}
		}
		return nil
	case pusher:
		over := make(chan error, 1)
		c.listen(func(data []byte) {
			if n <= 0 {
				return
			}
			err := got(data)
			if n--; n == 0 || err != nil {
				n = 0
				over <- err
			}
		})
		if err := start(); err != nil {
			return err
		}
		return <-over
	}
	panic("a conn is a puller or a pusher")
}

// locked has a mutex around send, for the libraries that require it.
type locked struct {
	conn
	mu sync.Mutex
}

func (l *locked) send(text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn.send(text)
}

func hostOf(rawURL string) (host, target string) {
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err) // all URLs are made here
	}
	return u.Host, u.RequestURI()
}
