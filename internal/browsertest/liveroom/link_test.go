package liveroom

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// A link is what the browser's connections to the demo run through, so that a test can cut
// them.
type link struct {
	url string // of the page, through the link

	mu    sync.Mutex
	conns []net.Conn
}

func newLink(t *testing.T, to string) *link {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{url: "http://" + listener.Addr().String() + "/"}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			browser, err := listener.Accept()
			if err != nil {
				return
			}
			demo, err := net.Dial("tcp", target.Host)
			if err != nil { // it has ended
				_ = browser.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, browser, demo)
			l.mu.Unlock()
			running.Go(func() { pass(browser, demo) })
			running.Go(func() { pass(demo, browser) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		running.Wait()
	})
	return l
}

// pass copies until one side has ended, and then ends both.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// cut ends all connections.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}
