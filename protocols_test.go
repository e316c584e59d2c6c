package wechatws_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// wholeText is a function of WithTypeFunc: the type is all of the message.
func wholeText(m wechatws.Message) string { return string(m.Data) }

// unpackLines is a function of WithUnpack: a message has several documents, by newline.
func unpackLines(int) func(wechatws.Message) ([]wechatws.Message, error) {
	return func(m wechatws.Message) (out []wechatws.Message, _ error) {
		for line := range bytes.Lines(m.Data) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				out = append(out, wechatws.Message{Data: line})
			}
		}
		return out, nil
	}
}

// unpackRecords is a function of WithUnpack for SignalR, whose documents end with the character
// of a record's end.
func unpackRecords(int) func(wechatws.Message) ([]wechatws.Message, error) {
	return func(m wechatws.Message) (out []wechatws.Message, _ error) {
		for _, record := range bytes.Split(m.Data, []byte{0x1e}) {
			if len(record) > 0 {
				out = append(out, wechatws.Message{Data: record})
			}
		}
		return out, nil
	}
}

// unpackGzip is a function of WithUnpack: each binary message is compressed.
func unpackGzip(int) func(wechatws.Message) ([]wechatws.Message, error) {
	return func(m wechatws.Message) ([]wechatws.Message, error) {
		if !m.Binary {
			return []wechatws.Message{m}, nil
		}
		r, err := gzip.NewReader(bytes.NewReader(m.Data))
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(r, 1<<20))
		return []wechatws.Message{{Data: text}}, err
	}
}

// unpackStream is a function of WithUnpack for Discord: all messages of a connection are one zlib
// stream, and each is complete at the end of a flush.
func unpackStream(int) func(wechatws.Message) ([]wechatws.Message, error) {
	var (
		in     bytes.Buffer
		stream io.Reader
		out    = make([]byte, 1<<20)
	)
	return func(m wechatws.Message) ([]wechatws.Message, error) {
		in.Write(m.Data)
		if !bytes.HasSuffix(in.Bytes(), []byte{0x00, 0x00, 0xff, 0xff}) {
			return nil, nil // the rest follows
		}
		if stream == nil {
			var err error
			if stream, err = zlib.NewReader(&in); err != nil {
				return nil, err
			}
		}
		n := 0
		for in.Len() > 0 {
			more, err := stream.Read(out[n:])
			if n += more; err != nil && in.Len() > 0 || n == len(out) {
				return nil, fmt.Errorf("inflate: %w after %d bytes", err, n)
			}
		}
		return []wechatws.Message{{Data: out[:n]}}, nil
	}
}

// deflated returns the messages of one zlib stream, each flushed, and each as long as size at most.
func deflated(size int, texts ...string) (messages [][]byte) {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	for _, text := range texts {
		_, _ = io.WriteString(w, text)
		_ = w.Flush()
		for out.Len() > 0 {
			messages = append(messages, bytes.Clone(out.Next(size)))
		}
	}
	return messages
}

func gzipped(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.Bytes()
}

// firstField returns a function of WithTypeFunc: the type is the first field that there is.
func firstField(names ...string) func(m wechatws.Message) string {
	return func(m wechatws.Message) string {
		for _, name := range names {
			if value := m.Field(name); value != "" {
				if name == "id" {
					return "answer"
				}
				return value
			}
		}
		return ""
	}
}

// protocols are the shapes of messages of protocols in use. What is sent is text, or binary if it is
// a []byte; what is received is "type data" for each message.
var protocols = []struct {
	name    string
	options []wechatws.Option
	sent    []any
	want    []string
}{
	{
		"Discord", []wechatws.Option{wechatws.WithTypeField("op"), wechatws.WithUnpack(unpackStream)},
		toAny(deflated(7, `{"op":10,"d":{"heartbeat_interval":41250}}`, `{"t":"READY","s":1,"op":0,"d":{}}`, `{"op":11}`)),
		[]string{`10 {"op":10,"d":{"heartbeat_interval":41250}}`, `0 {"t":"READY","s":1,"op":0,"d":{}}`, `11 {"op":11}`},
	},
	{
		"Feishu", []wechatws.Option{wechatws.WithTypePath("header", "event_type")},
		[]any{`{"schema":"2.0","header":{"event_id":"5e3","event_type":"im.message.receive_v1"},"event":{"event_type":"no"}}`},
		[]string{`im.message.receive_v1 {"schema":"2.0","header":{"event_id":"5e3","event_type":"im.message.receive_v1"},"event":{"event_type":"no"}}`},
	},
	{
		"Satori", []wechatws.Option{wechatws.WithTypeFunc(func(m wechatws.Message) string {
			return cmp.Or(m.Field("body", "type"), "op"+m.Field("op"))
		})},
		[]any{`{"op":4,"body":{"logins":[]}}`, `{"op":0,"body":{"id":1,"type":"message-created"}}`, `{"op":2}`},
		[]string{`op4 {"op":4,"body":{"logins":[]}}`, `message-created {"op":0,"body":{"id":1,"type":"message-created"}}`, `op2 {"op":2}`},
	},
	{
		"Phoenix", []wechatws.Option{wechatws.WithTypePath("3")},
		[]any{`["1","2","room:lobby","phx_reply",{"status":"ok"}]`, `[null,null,"room:lobby","new_msg",{}]`, `[null]`},
		[]string{`phx_reply ["1","2","room:lobby","phx_reply",{"status":"ok"}]`, `new_msg [null,null,"room:lobby","new_msg",{}]`, ` [null]`},
	},
	{
		"Nostr", []wechatws.Option{wechatws.WithTypePath("0")},
		[]any{`["EVENT","sub",{"kind":1}]`, `["EOSE","sub"]`},
		[]string{`EVENT ["EVENT","sub",{"kind":1}]`, `EOSE ["EOSE","sub"]`},
	},
	{
		"OCPP", []wechatws.Option{wechatws.WithTypePath("0")},
		[]any{`[2,"19223201","Reset",{"type":"Hard"}]`, `[3, "19223201", {}]`},
		[]string{`2 [2,"19223201","Reset",{"type":"Hard"}]`, `3 [3, "19223201", {}]`},
	},
	{
		"Huobi", []wechatws.Option{wechatws.WithTypeFunc(firstField("ping", "ch")), wechatws.WithUnpack(unpackGzip)},
		[]any{gzipped(`{"ping":1492420473027}`), gzipped(`{"ch":"market.btcusdt.kline.1min","tick":{}}`)},
		[]string{`1492420473027 {"ping":1492420473027}`, `market.btcusdt.kline.1min {"ch":"market.btcusdt.kline.1min","tick":{}}`},
	},
	{
		"Centrifugo", []wechatws.Option{wechatws.WithUnpack(unpackLines), wechatws.WithTypeFunc(func(m wechatws.Message) string {
			if string(m.Data) == "{}" {
				return "ping"
			}
			return firstField("id")(m)
		})},
		[]any{"{}", "{\"id\":1,\"connect\":{}}\n{\"push\":{\"channel\":\"a\"}}\n{}\n"},
		[]string{`ping {}`, `answer {"id":1,"connect":{}}`, ` {"push":{"channel":"a"}}`, `ping {}`},
	},
	{
		"SignalR", []wechatws.Option{wechatws.WithTypeField("type"), wechatws.WithUnpack(unpackRecords)},
		[]any{"{}\x1e", "{\"type\":1,\"target\":\"Send\"}\x1e{\"type\":6}\x1e"},
		[]string{` {}`, `1 {"type":1,"target":"Send"}`, `6 {"type":6}`},
	},
	{
		"JSON-RPC", []wechatws.Option{wechatws.WithTypeFunc(firstField("id", "method"))},
		[]any{`{"jsonrpc":"2.0","id":1,"result":{"method":"x"}}`, `{"method":"Page.loadEventFired","params":{}}`},
		[]string{`answer {"jsonrpc":"2.0","id":1,"result":{"method":"x"}}`, `Page.loadEventFired {"method":"Page.loadEventFired","params":{}}`},
	},
	{
		"a byte order mark", nil,
		[]any{"\ufeff" + `{"msg_type":"message"}`},
		[]string{"message \ufeff" + `{"msg_type":"message"}`},
	},
	{
		"an answer to a ping that is not JSON", []wechatws.Option{wechatws.WithTypeField("op")},
		[]any{"pong", `{"op":1}`},
		[]string{` pong`, `1 {"op":1}`},
	},
	{
		"the same, with a type", []wechatws.Option{wechatws.WithTypeFunc(wholeText)},
		[]any{"pong"},
		[]string{`pong pong`},
	},
	{
		"JSON in binary messages", []wechatws.Option{wechatws.WithTypeFunc(firstField("type"))},
		[]any{[]byte(`{"type":"message"}`), []byte("\x00\xff")},
		[]string{`message {"type":"message"}`, " \x00\xff"},
	},
	{
		"binary without an option", nil,
		[]any{[]byte(`{"msg_type":"message"}`)},
		[]string{` {"msg_type":"message"}`},
	},
}

func toAny(messages [][]byte) (out []any) {
	for _, m := range messages {
		out = append(out, m)
	}
	return out
}

func transmit(t testing.TB, conn *wstest.Conn, messages ...any) {
	for _, m := range messages {
		if data, ok := m.([]byte); ok {
			require.NoError(t, conn.SendBinary(data))
		} else {
			require.NoError(t, conn.Send(m.(string)))
		}
	}
}

// A message of any of these shapes reaches the callbacks of its type, or OnUnknown, and OnMessage,
// Setup.Receive, the match function of Request, and Heartbeat.Pong.
func TestShapesOfMessages(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				seen := map[string]*[]string{}
				see := func(where string) func(wechatws.Message) {
					seen[where] = new([]string)
					return func(m wechatws.Message) { *seen[where] = append(*seen[where], m.Type+" "+string(m.Data)) }
				}
				pong := see("Pong")
				c := w.client(append(quiet(), append(p.options, wechatws.WithHeartbeat(wechatws.Heartbeat{
					Message: wechatws.Text("ping"), Pong: func(m wechatws.Message) bool { pong(m); return false },
				}))...)...)
				setup, match, raw, one := see("Setup"), see("Request"), see("OnMessage"), see("On and OnUnknown")
				c.OnMessage(func(_ context.Context, m wechatws.Message) { raw(m) })
				c.OnUnknown(func(_ context.Context, m wechatws.Message) {
					assert.Empty(t, m.Type)
					one(m)
				})
				registered := map[string]bool{"": true}
				for _, want := range p.want {
					if typ, _, _ := strings.Cut(want, " "); !registered[typ] {
						registered[typ] = true
						wechatws.On(c.Client, typ, func(_ context.Context, m wechatws.Message) {
							assert.Equal(t, typ, m.Type)
							one(m)
						})
					}
				}
				c.AfterConnect(time.Second, func(ctx context.Context, o *wechatws.Setup) error {
					for range p.want {
						m, err := o.Receive(ctx)
						if err != nil {
							return err
						}
						setup(m)
					}
					return nil
				})
				w.srv.OnConn(func(conn *wstest.Conn) { transmit(t, conn, p.sent...) })
				c.connect()
				w.sleep(0)
				if p.name == "Discord" { // a stream is not sent twice
					*seen["Request"] = p.want
				} else {
					go func() { w.sleep(time.Millisecond); transmit(t, w.conn(), p.sent...) }()
					_, err := c.Request(t.Context(), "go", func(m wechatws.Message) bool { match(m); return len(*seen["Request"]) == len(p.want) })
					require.NoError(t, err)
					w.sleep(0)
					for _, where := range []string{"Pong", "OnMessage", "On and OnUnknown"} {
						assert.Equal(t, p.want, (*seen[where])[len(p.want):])
						*seen[where] = (*seen[where])[:len(p.want)]
					}
				}
				for where, got := range seen {
					assert.Equal(t, p.want, *got, where)
				}
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
}

// A message that nothing takes is an error if it has no type.
func TestAMessageWithoutATypeIsAnErrorIfNothingTakesIt(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), p.options...)...).connect()
				transmit(t, w.conn(), p.sent...)
				w.sleep(0)
				errs := c.errors()
				for _, want := range p.want {
					if typ, data, _ := strings.Cut(want, " "); typ == "" {
						var de *wechatws.DecodeError
						require.NotEmpty(t, errs)
						require.ErrorAs(t, errs[0], &de)
						assert.Equal(t, data, string(de.Data))
						assert.True(t, errors.Is(de, wechatws.ErrNoType) || errors.Is(de, wechatws.ErrNotJSON))
						errs = errs[1:]
					}
				}
				assert.Empty(t, errs)
				c.close()
			})
		})
	}
}

// The error about a message without a type says what is there, and which option would help.
func TestTheErrorAboutATypeHelps(t *testing.T) {
	const where = "; WithTypeField, WithTypePath or WithTypeFunc set where it is, OnUnknown takes messages without one"
	op, path := wechatws.WithTypeField("op"), wechatws.WithTypePath("body", "type")
	for _, tt := range []struct {
		option wechatws.Option
		sent   any
		want   string
	}{
		{op, `{"type":"x"}`, `no type: field "op" is missing` + where},
		{op, `{"op":null}`, `no type: field "op" is null` + where},
		{op, `{"op":["x"]}`, `no type: field "op" is an array` + where},
		{op, `{"op":{"type":"x"}}`, `no type: field "op" is an object; WithTypePath("op", …) routes by a field in it`},
		{op, `["x"]`, `no type: the message is an array; WithTypePath("0") routes by its first element`},
		{op, `"x"`, `no type: the message is a string, not an object` + where},
		{op, `17`, `no type: the message is a number, not an object` + where},
		{op, `true`, `no type: the message is a boolean, not an object` + where},
		{op, `null`, `no type: the message is null, not an object` + where},
		{op, `x`, `not valid JSON; OnMessage and OnUnknown take any text, WithTypeFunc can give it a type`},
		{op, []byte(`x`), `no type: the message is binary; OnMessage and OnUnknown take it, WithTypeFunc and WithUnpack can give it a type`},
		{path, `{"op":2}`, `no type: path "body", "type": "body" is missing` + where},
		{path, `{"body":{}}`, `no type: path "body", "type": "type" is missing` + where},
		{path, `{"body":2}`, `no type: path "body", "type": "body" is a number` + where},
		{path, `{"body":[]}`, `no type: path "body", "type": "body" is an array` + where},
		{path, `{"body":{"type":{}}}`, `no type: path "body", "type" is an object; WithTypePath("body", "type", …) routes by a field in it`},
		{wechatws.WithTypePath("1"), `["x"]`, `no type: the message is an array; WithTypePath("0") routes by its first element`},
		{wechatws.WithTypeFunc(func(wechatws.Message) string { return "" }), `{"op":2}`, `no type: the function of WithTypeFunc returned none; OnMessage and OnUnknown take such messages`},
	} {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(append(quiet(), tt.option)...).connect()
			transmit(t, w.conn(), tt.sent)
			w.sleep(0)
			require.Len(t, c.errors(), 1, tt.sent)
			_, text, _ := strings.Cut(c.errors()[0].Error(), "): ")
			assert.Equal(t, tt.want, text)
			c.close()
		})
	}
}

func TestFieldReadsWithoutDecoding(t *testing.T) {
	m := wechatws.Message{Data: []byte("\ufeff" + `{"op":4,"body":{"type":"a\u0062","ok":true,"list":[{"id":7.50}],"none":null}}`)}
	for path, want := range map[string]string{"op": "4", "body type": "ab", "body ok": "true", "body list 0 id": "7.50", "body": "", "body none": "", "body list 1": "", "x": "", "": ""} {
		assert.Equal(t, want, m.Field(strings.Split(path, " ")...), path)
	}
	assert.Empty(t, m.Field())
	assert.Empty(t, wechatws.Message{Data: []byte("x"), Binary: true}.Field("op"))
}

// The default heartbeat is a message with the type field. Without one there is none.
func TestThereIsNoDefaultHeartbeatWithoutATypeField(t *testing.T) {
	for _, option := range []wechatws.Option{wechatws.WithTypePath("op"), wechatws.WithTypeFunc(wholeText)} {
		virtual(t, func(t *testing.T, w *world) {
			c := w.client(option).connect()
			w.sleep(time.Minute)
			assert.Empty(t, received(w.conn()))
			c.close()
			c = w.client(option, wechatws.WithHeartbeat(wechatws.Heartbeat{Message: wechatws.Text("beat")})).connect()
			w.sleep(3 * time.Second)
			assert.Equal(t, []string{"beat"}, received(w.conn()))
			c.close()
		})
		_, err := wechatws.New("ws://h", option, wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Second}))
		assert.EqualError(t, err, "wechatws: WithHeartbeat(no message): give it a Message or NewMessage with WithTypePath or WithTypeFunc")
	}
}

// On with an empty type receives text without a type, and nothing else.
func TestOnWithoutAType(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var got []int
		wechatws.On(c.Client, "", func(_ context.Context, v struct{ N int }) { got = append(got, v.N) })
		c.connect()
		transmit(t, w.conn(), `{"N":1}`, `{"msg_type":"x","N":2}`, `{"N":3}`, []byte(`{"N":4}`), "pong")
		w.sleep(0)
		assert.Equal(t, []int{1, 3}, got)
		require.Len(t, c.errors(), 2, "the binary message and the text that is not JSON")
		c.close()
	})
}

func TestTheCloseCodeOfAFailure(t *testing.T) {
	closed := &wechatws.CloseError{Code: 4004, Remote: true}
	for want, err := range map[wechatws.StatusCode]error{
		4004: &wechatws.DialError{Phase: "setup", Err: closed},
		0:    &wechatws.CloseError{Code: 4004},
	} {
		assert.Equal(t, want, wechatws.Failure{Err: err}.CloseCode())
	}
	assert.Equal(t, wechatws.StatusCode(4004), wechatws.Failure{Err: closed}.CloseCode())
	assert.Zero(t, wechatws.Failure{Err: &wechatws.CloseError{Code: wechatws.StatusAbnormalClosure, Remote: true}}.CloseCode())
}
