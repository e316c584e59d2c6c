package wechatws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/ws"
)

// When one of the functions called for a message fails, the others are called all the same,
// once and in order, and the failure is reported once; that of an OnError callback is not.
func TestAFailureSkipsNoOtherCallback(t *testing.T) {
	const start, raw, typed, onError, done = "start", "raw", "typed", "error", "done"
	for name, fail := range map[string]func(){
		"panic":          func() { panic("oops") },
		"runtime.Goexit": runtime.Goexit,
	} {
		for _, failing := range []string{start, raw, typed, onError, done} {
			t.Run(name+" in "+failing, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var called []string
					var errs []error
					call := func(what string) {
						called = append(called, what)
						if what == failing {
							fail()
						}
					}
					var trace Trace
					trace.MessageStart = func(context.Context, MessageInfo) context.Context { call(start); return nil }
					trace.MessageDone = func(context.Context, MessageInfo) { call(done) }
					c, l, f := feedClient(t, WithTrace(trace))
					for range 2 {
						c.OnMessage(func(context.Context, Message) { call(raw) })
						On(c, "x", func(context.Context, struct{}) { call(typed) })
					}
					c.OnError(func(_ context.Context, err error) {
						if _, ok := errors.AsType[*PanicError](err); ok {
							errs = append(errs, err)
							return
						}
						call(onError)
					})
					c.OnError(func(context.Context, error) { fail() })
					f.put([]byte(`{"msg_type":"x"}`), []byte("\xff"), []byte(`{"msg_type":"none"}`))
					b := f.batch(l)
					c.inbox.Put(b, len(b.Messages), b.size(), l)
					synctest.Wait()
					assert.Equal(t, []string{
						start, raw, raw, typed, typed, done,
						start, onError, done, // it is not UTF-8
						start, raw, raw, done,
					}, called)
					times := map[string]int{start: 3, raw: 4, typed: 2, onError: 0, done: 3}
					assert.Len(t, errs, times[failing])
					now, _ := c.inbox.Count()
					assert.Zero(t, now)
				})
			})
		}
	}
}

func TestAnEventRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := feedClient(t)
		ran := 0
		c.event(nil, func(context.Context) { ran++; runtime.Goexit() })
		synctest.Wait()
		assert.Equal(t, 1, ran)
		assert.True(t, c.inbox.IsIdle())
	})
}

// A feed is a server that never answers: what is put into it is read by the client.
type feed struct {
	bytes.Buffer
	conn *ws.Conn
	left int // messages that were not read yet
}

func newFeed() *feed {
	f := new(feed)
	f.conn = ws.NewConn(f, nil, ws.Agreed{})
	return f
}

// Write discards what the client writes.
func (f *feed) Write(p []byte) (int, error) { return len(p), nil }

func (f *feed) Close() error { return nil }

// put adds text messages.
func (f *feed) put(texts ...[]byte) {
	for _, text := range texts {
		f.Buffer.Write([]byte{0x81, 126})
		f.Buffer.Write(binary.BigEndian.AppendUint16(nil, uint16(len(text))))
		f.Buffer.Write(text)
	}
	f.left += len(texts)
}

// batch returns messages that were put in, as l reads them.
func (f *feed) batch(l *link) *batch {
	received, err := f.conn.Receive()
	if err != nil {
		panic(err)
	}
	f.left -= len(received.Messages)
	return newBatch(l, received)
}

// feedClient returns a client and a link of it that is fed.
func feedClient(t testing.TB, options ...Option) (*Client, *link, *feed) {
	c, err := New("ws://server.test", options...)
	require.NoError(t, err)
	f := newFeed()
	return c, newLink(&session{client: c, ctx: context.Background()}, dialed{conn: f.conn, socket: f.conn.Socket()}), f
}

// Every message of a server is routed or reported, and text that is routed is valid UTF-8.
func FuzzRouter(f *testing.F) {
	for _, seed := range []string{`{"msg_type":"message"}`, `{"msg_type":1}`, `[]`, "{\"msg_type\":\"\xff\"}", ``, `{"msg_type":"\ud800"}`} {
		f.Add([]byte(seed), true)
	}
	c, err := New("ws://server.test")
	if err != nil {
		f.Fatal(err)
	}
	On(c, "message", func(context.Context, struct{}) {})
	f.Fuzz(func(t *testing.T, data []byte, text bool) {
		b := newBatch(&link{client: c}, ws.Single(text, data))
		m, _, err := b.read(0)
		switch {
		case err == nil && (m.Binary || !utf8.Valid(m.Data) || !utf8.ValidString(m.Type)):
			t.Errorf("%q is routed as %q", data, m.Type)
		case err != nil && !slices.Contains([]error{ErrNotUTF8, ErrNotJSON, ErrNoType}, err):
			t.Errorf("%q: %v", data, err)
		}
	})
}

// A close frame's reason may be anything; the error about it is text.
func FuzzCloseReason(f *testing.F) {
	f.Add(1000, "bye")
	f.Add(1005, "")
	f.Add(4999, "\xff\x00\n\"")
	f.Add(999, strings.Repeat("x", 124))
	f.Fuzz(func(t *testing.T, code int, reason string) {
		err := &CloseError{Code: StatusCode(code), Reason: reason, Remote: true}
		if text := err.Error(); !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x1b\x00") {
			t.Errorf("%q", text)
		}
		DefaultRetryIf(Failure{Err: err, Opened: true, Repeats: 3})
		if checkClose("Close", StatusCode(code), reason) == nil && (code < 1000 || code > 4999 || len(reason) > maxCloseReason || !utf8.ValidString(reason)) {
			t.Errorf("%d %q may be sent", code, reason)
		}
	})
}
