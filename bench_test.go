package wechatws

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// The cost of a Trace for each message: without one, with one without functions, and with one
// that has all functions for messages.
//
//	go test -run '^$' -bench BenchmarkTrace -count 10 .
func BenchmarkTrace(b *testing.B) {
	heard := 0
	variants := []struct {
		name    string
		options []Option
	}{
		{"without", nil},
		{"empty", []Option{WithTrace(Trace{})}},
		{"set", []Option{WithTrace(Trace{
			MessageStart: func(context.Context, MessageInfo) context.Context { heard++; return nil },
			MessageDone:  func(context.Context, MessageInfo) { heard++ },
			MessageSent:  func(context.Context, MessageInfo) { heard++ },
		})}},
	}
	for _, path := range []struct {
		name string
		of   func(b *testing.B, c *Client)
	}{{"receive", benchmarkReceive}, {"send", benchmarkSend}} {
		for _, v := range variants {
			b.Run(path.name+"/"+v.name, func(b *testing.B) {
				c, err := New("ws://server.test", v.options...)
				if err != nil {
					b.Fatal(err)
				}
				heard = 0
				b.ReportAllocs()
				path.of(b, c)
				if called := heard > 0; called != (v.name == "set") {
					b.Fatalf("called: %v", called)
				}
			})
		}
	}
}

// benchmarkReceive is a batch of messages: their types found, decoded, their callbacks run.
func benchmarkReceive(b *testing.B, c *Client) {
	On(c, "message", func(context.Context, struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
	}) {
	})
	benchmarkInbox(b, c)
}

// benchmarkSend is a full batch: accepted by the queue, taken by the writer, written to
// what takes everything.
func benchmarkSend(b *testing.B, c *Client) {
	f := newFeed()
	l := newLink(&session{client: c, ctx: context.Background()}, dialed{conn: f.conn, socket: f.conn.Socket()})
	l.attach()
	l.writer.writing.Store(true)
	buffer := make([]*queued, 0, maxBatch)
	for b.Loop() {
		for range maxBatch {
			m := new(queued)
			m.Value.Data, m.Size = comment, len(comment)
			if err := c.push(context.Background(), m); err != nil {
				b.Fatal(err)
			}
		}
		l.writer.mu.Lock()
		signs, _ := l.takeBatch(buffer)
		l.writer.mu.Unlock()
		l.gather(signs)
		if !l.finish() {
			b.Fatal("not written")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/message")
}

var comment = []byte(`{"msg_type":"message","from_name":"\u5c0f\u660e","content":"how much is the blue one?","client_id":"7f0000010b5400000001","time":1700000000}`)

// benchmarkInbox is one message of a batch: read, routed, its callbacks run.
func benchmarkInbox(b *testing.B, c *Client) {
	f := newFeed()
	l := newLink(&session{client: c, ctx: context.Background()}, dialed{conn: f.conn, socket: f.conn.Socket()})
	messages := slices.Repeat([][]byte{comment}, 1000)
	n := 0
	for b.Loop() {
		if f.left == 0 {
			f.put(messages...)
		}
		received := f.batch(l)
		n += len(received.Messages)
		received.Run(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
}

func BenchmarkRoute(b *testing.B) {
	type message struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
		ClientID string `json:"client_id"`
		Time     int64  `json:"time"`
	}
	for name, register := range map[string]func(c *Client){
		"typed": func(c *Client) { On(c, "message", func(context.Context, message) {}) },
		"raw":   func(c *Client) { c.OnMessage(func(context.Context, Message) {}) },
		"none":  func(c *Client) {},
	} {
		b.Run(name, func(b *testing.B) {
			c, err := New("ws://server.test")
			if err != nil {
				b.Fatal(err)
			}
			register(c)
			b.ReportAllocs()
			benchmarkInbox(b, c)
		})
	}
}

// What a message costs while requests wait for another one.
//
//	go test -run '^$' -bench Pass .
func BenchmarkPass(b *testing.B) {
	for _, n := range []int{0, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%d waiting", n), func(b *testing.B) {
			pass := passOf(b, requestsOf(n)...)
			b.ReportAllocs()
			for b.Loop() {
				pass()
			}
		})
	}
}

// requestsOf returns n requests that wait for another message than comment.
func requestsOf(n int) []*request {
	waiting := make([]*request, n)
	for i := range waiting {
		waiting[i] = &request{match: func(m Message) bool { return m.Type == "never" }}
	}
	return waiting
}

// passOf returns a function that passes a message to requests that wait for another one.
func passOf(t testing.TB, waiting ...*request) (pass func()) {
	c, l, f := feedClient(t)
	for _, r := range waiting {
		r.accepted.Store(true)
		require.NoError(t, c.beginRequest(context.Background(), r))
	}
	f.put(comment)
	b := f.batch(l)
	return func() { c.requests.match(b) }
}

// What a message costs while calls wait for another one: the search for its id, however many they are.
//
//	go test -run '^$' -bench Call .
func BenchmarkCall(b *testing.B) {
	for _, n := range []int{0, 10, 1000} {
		b.Run(fmt.Sprintf("%d waiting", n), func(b *testing.B) {
			pass := passOf(b, calls(n)...)
			b.ReportAllocs()
			for b.Loop() {
				pass()
			}
		})
	}
}

// calls returns n requests that wait for an answer with another id than that of comment.
func calls(n int) []*request {
	waiting := make([]*request, n)
	for i := range waiting {
		waiting[i] = &request{id: strconv.Itoa(i)}
	}
	return waiting
}

// The default codec beside encoding/json, and beside json v2 by its own rules.
func BenchmarkDecode(b *testing.B) {
	type message struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
	}
	for name, decode := range map[string]func(v *message) error{
		"default":       func(v *message) error { return jsonCodec{}.Unmarshal(comment, v) },
		"encoding-json": func(v *message) error { return json.Unmarshal(comment, v) },
		"json-v2":       func(v *message) error { return jsonv2.Unmarshal(comment, v) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(new(message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a message costs must not depend on how many others wait: compare the ns/message of
// the sizes. What is measured begins with a full queue, without a connection.
//
//	go test -run '^$' -bench LargeQueue -benchtime 1x .
func BenchmarkLargeQueue(b *testing.B) {
	send := func(b *testing.B, c *Client, n int, options ...SendOption) {
		text := `{"msg_type":"message"}`
		for range n {
			require.NoError(b, c.Send(b.Context(), text, options...))
		}
	}
	for name, measure := range map[string]struct {
		policy  QueuePolicy
		options []SendOption
		do      func(b *testing.B, c *Client, n int)
	}{
		"Close": {do: func(b *testing.B, c *Client, n int) {
			var left *UndeliveredError
			require.ErrorAs(b, c.Close(StatusNormalClosure, ""), &left)
			require.Len(b, left.Messages, n)
		}},
		"drop the oldest": {policy: QueueDropOldest, do: func(b *testing.B, c *Client, n int) {
			send(b, c, n)
		}},
		"drop the oldest, of those that can expire": {
			policy: QueueDropOldest, options: []SendOption{ExpireAfter(time.Hour)},
			do: func(b *testing.B, c *Client, n int) { send(b, c, n, ExpireAfter(time.Hour)) },
		},
		"expire": {options: []SendOption{ExpireAfter(0)}, do: func(b *testing.B, c *Client, n int) {
			send(b, c, 1)
			require.Equal(b, 1, c.Stats().Queued)
		}},
	} {
		for _, n := range []int{1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					c, err := New("ws://server.test", WithQueue(n, 1<<30, measure.policy))
					require.NoError(b, err)
					send(b, c, n, measure.options...)
					b.StartTimer()
					measure.do(b, c, n)
					b.StopTimer()
					_ = c.CloseNow()
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
			})
		}
	}
}
