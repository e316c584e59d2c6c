package wechatws_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// The peer receives a close frame with the code for its fault, and with a reason that contains
// nothing of what it has sent. The connection ends after that.
func TestThePeerReceivesTheReason(t *testing.T) {
	const secret = "s3cret"
	for name, tt := range map[string]struct {
		sent   string
		code   int
		reason string
	}{
		"a reserved bit":        {frame(fin|rsv2|1, secret), 1002, "frame with a reserved bit"},
		"not compressed":        {frame(rsv1|1, "\xf2\x48") + frame(fin|rsv1, secret), 1002, "frame with the bit of a compressed message where there is none"},
		"a reserved opcode":     {frame(fin|3, secret), 1002, "frame with a reserved opcode"},
		"a mask":                {"\x81\x86\x00\x00\x00\x00" + secret, 1002, "masked frame from a server"},
		"a negative length":     {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff" + secret, 1002, "frame with a length of more than 63 bits"},
		"a fragmented ping":     {frame(9, secret), 1002, "fragmented control frame"},
		"a large ping":          {frame(fin|9, strings.Repeat(secret, 30)), 1002, "control frame with a payload of more than 125 bytes"},
		"a nested message":      {frame(1, secret) + frame(fin|1, secret), 1002, "new message before the end of a fragmented one"},
		"a lone continuation":   {frame(fin, secret), 1002, "continuation of no message"},
		"a short close frame":   {frame(fin|8, "s"), 1002, "close frame with a payload of one byte"},
		"a close code":          {frame(fin|8, "\x03\xe7"+secret), 1002, "close frame with an invalid code"},
		"a close reason":        {frame(fin|8, "\x0f\xa1"+secret+"\xff"), 1007, "close reason is not UTF-8"},
		"no deflate":            {frame(fin|rsv1|1, "\xff\xff"+secret), 1007, "invalid compressed message"},
		"truncated":             {frame(fin|rsv1|1, "\xf2\x48\xcd"), 1007, "invalid compressed message"},
		"no UTF-8":              {frame(fin|1, secret+"\xff"), 1007, "text is not UTF-8"},
		"a message without end": {"\x81\x7f\x40\x00\x00\x00\x00\x00\x00\x00" + secret, 1009, "message exceeds the read limit"},
		"a close frame":         {frame(fin|8, "\x0f\xa1"+secret), 4001, ""},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("raw.test:80")
				require.NoError(t, err)
				defer l.Close()
				got := make(chan clientFrame, 1)
				go func() {
					conn, err := l.Accept()
					assert.NoError(t, err)
					defer conn.Close()
					assert.NoError(t, upgrade(conn, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"))
					_, err = io.WriteString(conn, tt.sent)
					assert.NoError(t, err)
					f, err := readFrame(conn)
					assert.NoError(t, err)
					got <- f
				}()
				options := append(quiet(), wechatws.WithCompression(), wechatws.WithStrict(), wechatws.WithoutReconnect())
				c := w.clientOf("ws://raw.test:80/", options...).record().connect()
				payload := string([]byte{byte(tt.code >> 8), byte(tt.code)}) + tt.reason
				assert.Equal(t, clientFrame{fin | 8, payload}, <-got)
				assert.LessOrEqual(t, len(payload), 125)
				w.sleep(0)
				assert.Empty(t, c.texts())
				assert.Zero(t, w.net.Clients())
				c.close()
			})
		})
	}
}

// Text that is not UTF-8 ends the connection, on request, and the messages before it arrive.
func TestStrictText(t *testing.T) {
	for transport, options := range readers {
		for name, sent := range map[string]string{
			"one frame":      frame(fin|1, "\xff"),
			"a surrogate":    frame(fin|1, `{"msg_type":"x","a":"`+"\xed\xa0\x80"+`"}`),
			"two fragments":  frame(1, "\xe4\xbd") + frame(fin, "a"),
			"unfinished":     frame(1, "\xe4") + frame(fin, ""),
			"above a buffer": frame(fin|1, strings.Repeat("x", 100_000)+"\xff"),
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(append(append(quiet(), options...), wechatws.WithStrict())...).record().connect()
					conn := w.conn()
					valid := frame(1, "\"\xe4\xbd") + frame(0, "") + frame(fin, "\xa0\"")
					require.NoError(t, conn.WriteRaw([]byte(valid+frame(fin|2, "\xff")+sent+valid)))
					w.sleep(2 * time.Second)
					assert.Equal(t, []string{`"你"`, "\xff"}, c.texts())
					e := c.lastClose()
					assert.Equal(t, wechatws.StatusInvalidFramePayloadData, e.Code)
					assert.ErrorIs(t, e.Err, wechatws.ErrNotUTF8)
					assert.ErrorIs(t, e.Err, wechatws.ErrProtocol)
					assert.Equal(t, 1, c.Stats().Disconnects.Protocol)
					assert.Empty(t, c.errors())
					code, reason := conn.CloseCode()
					assert.Equal(t, 1007, code)
					assert.Equal(t, "text is not UTF-8", reason)
					w.sleep(3 * time.Second)
					assert.Equal(t, wechatws.StateOpen, c.State())
					c.close()
				})
			})
		}
	}
}

// A flood of pings is answered ping by ping while the peer takes the pongs. When it takes none, the
// latest ones are answered, so that what waits has a bound.
func TestAFloodOfPingsIsAnswered(t *testing.T) {
	const pings = 10_000
	for name, reads := range map[string]bool{"the peer reads": true, "and does not": false} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				l, err := w.net.Listen("raw.test:80")
				require.NoError(t, err)
				defer l.Close()
				got, flooded := make(chan []string, 1), make(chan struct{})
				go func() {
					conn, err := l.Accept()
					assert.NoError(t, err)
					defer conn.Close()
					assert.NoError(t, upgrade(conn, ""))
					answered := make(chan []string, 1)
					read := func() { answered <- pongs(conn) }
					if reads {
						go read()
					}
					for i := range pings {
						_, _ = io.WriteString(conn, frame(fin|9, fmt.Sprintf("%0125d", i)))
						if reads {
							time.Sleep(time.Millisecond)
						}
					}
					time.Sleep(time.Second)
					close(flooded)
					if !reads {
						go read()
					}
					time.Sleep(time.Second)
					_, _ = io.WriteString(conn, frame(fin|8, "\x03\xe8"))
					got <- <-answered
				}()
				before := heap()
				c := w.clientOf("ws://raw.test:80/", append(quiet(), wechatws.WithoutReconnect())...).connect()
				<-flooded
				if !reads {
					assert.Less(t, int64(heap())-int64(before), int64(1<<20))
				}
				all := <-got
				assert.IsIncreasing(t, all)
				if reads {
					assert.Len(t, all, pings)
				} else {
					assert.Less(t, len(all), pings/10)
					assert.Equal(t, fmt.Sprintf("%0125d", pings-1), all[len(all)-1])
					assert.Equal(t, fmt.Sprintf("%0125d", pings-32), all[len(all)-32])
					assert.NotEqual(t, fmt.Sprintf("%0125d", pings-33), all[len(all)-33])
				}
				c.close()
			})
		})
	}
}

// pongs returns the payloads of the pongs that a client sends before its close frame.
func pongs(conn io.Reader) (payloads []string) {
	for {
		f, err := readFrame(conn)
		if err != nil || f.first != fin|10 {
			return payloads
		}
		payloads = append(payloads, f.payload)
	}
}
