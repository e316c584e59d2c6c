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

// A puller is a conn of a library with a call that reads.
type puller interface {
	conn
	read() ([]byte, error) // good until the next call
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
	// oneWriter tells that send must not be called concurrently.
	oneWriter bool
	// idle opens a connection that is read and otherwise left alone, and returns
	// what sends its heartbeat and its ping. ended is called when it breaks. Who
	// has heard nothing for deadAfter is dropped.
	idle func(url string, ended func()) (beat func() error, err error)
}

// heartbeat is the Mini Program's; the library sends the same.
var heartbeat = []byte(`{"msg_type":"ping"}`)

// The library's defaults.
const (
	usual     = 3 * time.Second  // between two heartbeats, and before a reconnect
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

// receive hands n messages to got, in the way of the library at hand; start is
// called when it is ready for the first.
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

// locked lets one in at a time, as users of the libraries must that do not.
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
		panic(err) // they are all made here
	}
	return u.Host, u.RequestURI()
}
