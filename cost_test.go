//go:build !race

package wechatws_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

const parcel = `{"msg_type":"echo","content":"0123456789012345678901234567"}`

// echoes serves a connection on the loopback interface, and answers each message of the size of
// parcel with parcel. Between two messages it allocates nothing, so that a test can count what
// a client allocates.
func echoes(t testing.TB) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(accept[:]))
		frame := make([]byte, 2+4+len(parcel)) // with the mask
		answer := append([]byte{0x81, byte(len(parcel))}, parcel...)
		for {
			if _, err := io.ReadFull(c, frame); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "ws://" + l.Addr().String()
}

// connectTo connects a client without heartbeats.
func connectTo(t testing.TB, url string) *wechatws.Client {
	c, err := wechatws.New(url, wechatws.WithHeartbeat(wechatws.Heartbeat{}), wechatws.WithLiveness(wechatws.Liveness{}))
	require.NoError(t, err)
	require.NoError(t, c.Connect(t.Context()))
	t.Cleanup(func() { _ = c.CloseNow(); <-c.Done() })
	return c
}

// sendAndWait returns a round trip by a callback that wakes the goroutine.
func sendAndWait(c *wechatws.Client) (trip func()) {
	back := make(chan struct{}, 1)
	c.OnMessage(func(context.Context, wechatws.Message) { back <- struct{}{} })
	ctx, text := context.Background(), strings.Clone(parcel)
	return func() {
		if err := c.Send(ctx, wechatws.Text(text)); err != nil {
			panic(err)
		}
		<-back
	}
}

// request returns a round trip by Request.
func request(c *wechatws.Client) (trip func()) {
	ctx, text := context.Background(), strings.Clone(parcel)
	isEcho := func(m wechatws.Message) bool { return m.Type == "echo" }
	return func() {
		if _, err := c.Request(ctx, wechatws.Text(text), isEcho); err != nil {
			panic(err)
		}
	}
}

// What a client allocates for a message out and its answer in, with the conversion of the Text to
// an interface. Send and OnMessage: that, the message in the queue, the context of the callbacks
// and the copy of the data. Request: also the request.
func TestAllocationsOfARoundTrip(t *testing.T) {
	for name, test := range map[string]struct {
		trip func(*wechatws.Client) func()
		most float64
	}{
		"callback": {sendAndWait, 4},
		"request":  {request, 5},
	} {
		t.Run(name, func(t *testing.T) {
			trip := test.trip(connectTo(t, echoes(t)))
			assert.LessOrEqual(t, testing.AllocsPerRun(1000, trip), test.most)
		})
	}
}

// A round trip on the loopback interface, by a callback that wakes a goroutine and by Request, and
// the latter while other requests wait for answers that do not arrive.
//
//	go test -run '^$' -bench RoundTrip -count 5 .
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("callback", func(b *testing.B) { measure(b, sendAndWait(connectTo(b, echoes(b)))) })
	for _, waiting := range []int{0, 10, 1000} {
		b.Run(fmt.Sprintf("request/%d waiting", waiting), func(b *testing.B) {
			c := connectTo(b, echoes(b))
			ctx, cancel := context.WithCancel(b.Context())
			var all sync.WaitGroup
			for range waiting {
				all.Go(func() { _, _ = c.Request(ctx, wechatws.Text(parcel), isOfType("never")) })
			}
			_ = c.Flush(ctx)
			measure(b, request(c))
			cancel()
			all.Wait()
		})
	}
}

func measure(b *testing.B, trip func()) {
	b.ReportAllocs()
	for b.Loop() {
		trip()
	}
}

// A call of SendConfirmed among others at the same time, of which one sends after the other.
//
//	go test -run '^$' -bench Confirmed .
func BenchmarkConfirmed(b *testing.B) {
	for _, calls := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d at a time", calls), func(b *testing.B) {
			c := connectTo(b, echoes(b))
			var all sync.WaitGroup
			var left atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			left.Store(int64(b.N))
			for range calls {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := c.SendConfirmed(b.Context(), wechatws.Text(parcel), isOfType("echo")); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}
