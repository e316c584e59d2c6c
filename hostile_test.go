package wechatws_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
	"github.com/wechatws/wechatws/wstest"
)

const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

// frame returns a frame of a server, valid or not.
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

// An invalid frame ends the connection with an error that names the fault, and the next
// connection works.
func TestBadFrames(t *testing.T) {
	tests := map[string]string{
		"rsv1 without compression": frame(fin|rsv1|1, "x"),
		"rsv2":                     frame(fin|rsv2|1, "x"),
		"rsv3":                     frame(fin|rsv3|1, "x"),
		"unknown data opcode":      frame(fin|3, "x"),
		"unknown control opcode":   frame(fin|11, "x"),
		"fragmented ping":          frame(9, "x"),
		"fragmented close":         frame(8, "\x03\xe8"),
		"oversize ping":            frame(fin|9, strings.Repeat("x", 126)),
		"oversize close":           frame(fin|8, "\x03\xe8"+strings.Repeat("x", 124)),
		"negative length":          "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
		"continuation of nothing":  frame(fin, "x"),
		"text inside a message":    frame(1, "x") + frame(fin|1, "y"),
		"close of one byte":        frame(fin|8, "\x03"),
		"close code 999":           frame(fin|8, "\x03\xe7"),
		"close code 1005":          frame(fin|8, "\x03\xed"),
		"close code 1006":          frame(fin|8, "\x03\xee"),
		"close code 1015":          frame(fin|8, "\x03\xf7"),
		"close code 65535":         frame(fin|8, "\xff\xff"),
		"HTTP behind the upgrade":  "HTTP/1.1 400 Bad Request\r\n\r\n",
	}
	for name, sent := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client().record().connect()
				require.NoError(t, w.conn().WriteRaw([]byte(sent)))
				w.sleep(0)
				e := c.lastClose()
				assert.ErrorIs(t, e.Err, wechatws.ErrProtocol)
				assert.Equal(t, wechatws.StatusProtocolError, e.Code)
				assert.False(t, e.Remote)
				assert.Empty(t, c.texts())
				w.sleep(3 * time.Second)
				require.NoError(t, w.conn().Send(`{"msg_type":"x"}`))
				w.sleep(0)
				assert.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
				c.close()
			})
		})
	}
}

// A close reason is text.
func TestCloseReasonThatIsNotUTF8(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		require.NoError(t, w.conn().WriteRaw([]byte(frame(fin|8, "\x03\xe8gone \xff\xfe"))))
		w.sleep(0)
		e := c.lastClose()
		require.Equal(t, wechatws.StatusNormalClosure, e.Code)
		require.Equal(t, "gone \uFFFD", e.Reason)
		c.close()
	})
}

// Text that is not UTF-8 never reaches a callback, nor does it when the fault is
// where two fragments meet. The connection stays up.
func TestTextThatIsNotUTF8(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().record().connect()
		conn := w.conn()
		for _, sent := range []string{
			frame(fin|1, "\xff"),
			frame(fin|1, `{"msg_type":"x","a":"`+"\xed\xa0\x80"+`"}`), // half a surrogate pair
			frame(1, "\xe4\xbd") + frame(fin, "a"),
		} {
			require.NoError(t, conn.WriteRaw([]byte(sent)))
		}
		require.NoError(t, conn.WriteRaw([]byte(frame(1, "\"\xe4\xbd")+frame(0, "")+frame(fin, "\xa0\""))))
		w.sleep(0)
		require.Equal(t, []string{`"你"`}, c.texts())
		require.Len(t, c.errors(), 3)
		for _, err := range c.errors() {
			require.ErrorIs(t, err, wechatws.ErrNotUTF8)
		}
		require.Empty(t, c.closes)
		c.close()
	})
}

// Nothing is allocated for a length that is larger than any message: the message ends at the
// read limit, or the connection when the peer is silent.
func TestHugeLength(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		before := heap()
		conn := w.conn()
		require.NoError(t, conn.WriteRaw([]byte("\x81\x7f\x3f\xff\xff\xff\xff\xff\xff\xff")))
		w.sleep(0)
		require.Less(t, int64(heap())-int64(before), int64(1<<20))
		var limit *wechatws.ReadLimitError
		require.ErrorAs(t, c.lastClose().Err, &limit)
		c.close()
	})
}

// A message that never ends, in one frame, in many, or out of a small compressed
// one, ends at the read limit.
func TestEndlessMessages(t *testing.T) {
	pad := strings.Repeat("x", 64<<10)
	bomb := func() string { // a GiB in a MiB
		var b bytes.Buffer
		deflate, _ := flate.NewWriter(&b, flate.BestCompression)
		_, _ = deflate.Write(make([]byte, 1<<20))
		_ = deflate.Flush()
		return strings.TrimSuffix(strings.Repeat(b.String(), 1<<10), "\x00\x00\xff\xff")
	}
	tests := map[string]func(c *wstest.Conn){
		"one frame": func(c *wstest.Conn) {
			_ = c.WriteRaw([]byte("\x81\x7f\x00\xff\xff\xff\xff\xff\xff\xff"))
			for c.WriteRaw([]byte(pad)) == nil {
			}
		},
		"continuations": func(c *wstest.Conn) {
			_ = c.WriteRaw([]byte(frame(1, pad)))
			for c.WriteRaw([]byte(frame(0, pad))) == nil {
			}
		},
		"a compression bomb": func(c *wstest.Conn) { _ = c.WriteRaw([]byte(frame(fin|rsv1|1, bomb()))) },
	}
	for name, send := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(wstest.Accept(wstest.WithCompression()))
				c := w.client(wechatws.WithCompression()).record().connect()
				before := heap()
				send(w.conn())
				w.sleep(0)
				var limit *wechatws.ReadLimitError
				require.ErrorAs(t, c.lastClose().Err, &limit)
				require.Less(t, int64(heap())-int64(before), int64(16<<20))
				require.Empty(t, c.texts())
				w.sleep(3 * time.Second)
				require.Equal(t, wechatws.StateOpen, c.State())
				c.close()
			})
		})
	}
}

// An answer that is no upgrade, or an upgrade that was not requested, is a failed attempt
// whose error names the fault.
func TestBadUpgrades(t *testing.T) {
	accept := func(name, value string) wstest.Answer {
		return wstest.Accept(wstest.WithHeader(http.Header{name: {value}}))
	}
	tests := map[string]struct {
		answer wstest.Answer
		want   string
	}{
		"a subprotocol not asked for":   {accept("Sec-Websocket-Protocol", "chat"), `header Sec-WebSocket-Protocol ["chat"]: was not offered`},
		"an extension not asked for":    {accept("Sec-Websocket-Extensions", "bzip2"), `extension "bzip2": was not offered`},
		"compression not asked for":     {accept("Sec-Websocket-Extensions", "permessage-deflate"), `extension "permessage-deflate": was not offered`},
		"no Upgrade header":             {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "header Upgrade"},
		"an upgrade to something else":  {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), "Upgrade"},
		"a key that is not the answer":  {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"), "Sec-WebSocket-Accept"},
		"a header of 10 MB":             {wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", 10<<20) + "\r\n\r\n"), "exceeded"},
		"a status that is no number":    {wstest.Raw("HTTP/1.1 abc\r\n\r\n"), "malformed HTTP"},
		"a WebSocket frame":             {wstest.Raw(frame(fin|1, "hello\r\n\r\n")), "malformed HTTP"},
		"a content length that is none": {wstest.Raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "Content-Length"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(tt.answer)
				before := heap()
				err := w.client(wechatws.WithoutReconnect()).Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.Equal(t, "handshake", de.Phase)
				assert.ErrorContains(t, de, tt.want)
				assert.Less(t, len(de.Error()), 300)
				assert.Less(t, int64(heap())-int64(before), int64(4<<20))
				assert.Zero(t, w.since())
				assert.Zero(t, w.net.Clients())
			})
		})
	}
}

// An answer that does not end is read for at most the dial timeout, and up to a limit.
func TestEndlessHandshakes(t *testing.T) {
	tests := map[string]struct {
		start, again string
		every        time.Duration
		want         string
	}{
		"a header byte by byte": {"HTTP/1.1 101 Switching Protocols\r\nX: ", "x", time.Second, "no answer within 10s"},
		"a header without end":  {"HTTP/1.1 101 Switching Protocols\r\n", "X: " + strings.Repeat("x", 1000) + "\r\n", 0, "exceeded"},
		"hints without end":     {"", "HTTP/1.1 103 Early Hints\r\n\r\n", 0, "exceeded"},
		"a page without end":    {"HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("welcome ", 1000), 0, "server answered 200 OK"},
		"a page byte by byte":   {"HTTP/1.1 200 OK\r\n\r\n", "x", time.Second, "server answered 200 OK"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("endless.test:80")
				require.NoError(t, err)
				defer l.Close()
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, err = io.WriteString(c, tt.start)
					for err == nil {
						time.Sleep(tt.every)
						_, err = io.WriteString(c, tt.again)
					}
				}()
				c := w.clientOf("ws://endless.test/", wechatws.WithoutReconnect())
				before := heap()
				err = c.Connect(t.Context())
				var de *wechatws.DialError
				require.ErrorAs(t, err, &de)
				assert.Equal(t, "handshake", de.Phase)
				assert.ErrorContains(t, de, tt.want)
				assert.LessOrEqual(t, w.since(), 10*time.Second)
				assert.Less(t, int64(heap())-int64(before), int64(1<<20))
				assert.Zero(t, w.net.Clients())
				w.sleep(time.Second) // so that the server notices
			})
		})
	}
}

// badUpgrade is a 101 that cannot be accepted, with the connection left open.
func badUpgrade() wstest.Answer {
	return wstest.Raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: nonsense\r\n\r\n")
}

const badUpgradeReason = "WebSocket protocol violation: invalid Sec-WebSocket-Accept"

// plainDialer calls the WebSocket library directly. After a 101 that it does not accept,
// the library reads from the connection for 3 s, also when the context has ended.
type plainDialer struct{}

func (plainDialer) Dial(ctx context.Context, h transport.Handshake) (transport.Conn, *http.Response, error) {
	_, resp, err := websocket.Dial(ctx, h.URL, &websocket.DialOptions{HTTPClient: h.Client, HTTPHeader: h.Header})
	return nil, resp, err
}

// An attempt whose 101 is invalid ends when its context ends, also while the Dialer reads from
// the connection.
func TestABadUpgradeBlocksNothing(t *testing.T) {
	bad := func(w *world, options ...wechatws.Option) *client {
		w.srv.AnswerAlways(badUpgrade())
		return w.client(append(options, wechatws.WithDialer(plainDialer{}))...)
	}
	t.Run("Connect", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			c := bad(w)
			require.ErrorIs(t, c.Connect(ctx), context.DeadlineExceeded)
			<-c.Done()
			assert.Equal(t, 300*time.Millisecond, w.since())
			assert.Zero(t, w.net.Clients())
		})
	})
	t.Run("CloseNow", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			var reason error
			c := bad(w, wechatws.WithTrace(wechatws.Trace{DialDone: func(_ context.Context, i wechatws.DialInfo) { reason = i.Err }}))
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(100 * time.Millisecond)
			require.NoError(t, c.CloseNow())
			assert.Equal(t, 100*time.Millisecond, w.since())
			synctest.Wait()
			assert.ErrorContains(t, reason, badUpgradeReason)
			assert.Zero(t, w.net.Clients())
		})
	})
	t.Run("Reconnect", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			c := bad(w)
			go func() { _ = c.Connect(t.Context()) }()
			w.sleep(100 * time.Millisecond)
			require.NoError(t, c.Reconnect())
			synctest.Wait()
			assert.Len(t, w.srv.Handshakes(), 2)
			assert.Equal(t, 100*time.Millisecond, w.since())
			require.NoError(t, c.CloseNow())
		})
	})
	t.Run("the dial timeout", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			err := bad(w, wechatws.WithDialTimeout(500*time.Millisecond), wechatws.WithoutReconnect()).Connect(t.Context())
			require.ErrorContains(t, err, badUpgradeReason)
			assert.Equal(t, 500*time.Millisecond, w.since())
			assert.Zero(t, w.net.Clients())
		})
	})
}

// The library's own Dialers report such a 101 at once.
func TestABadUpgradeIsReportedAtOnce(t *testing.T) {
	for name, d := range map[string]transport.Dialer{"coder": coder.Dialer{}, "nhooyr": nhooyr.Dialer{}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.AnswerAlways(badUpgrade())
				c := w.client(wechatws.WithDialer(d))
				go func() { _ = c.Connect(t.Context()) }()
				w.sleep(0)
				require.Equal(t, wechatws.StateWaiting, c.State())
				require.Len(t, c.errors(), 1)
				assert.ErrorContains(t, c.errors()[0], badUpgradeReason)
				assert.Zero(t, w.net.Clients())
				c.close()
			})
		})
	}
}
