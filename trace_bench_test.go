package wechatws

import (
	"context"
	"github.com/wechatws/wechatws/transport"
	"io"
	"testing"
)

// What a Trace costs a message, side by side: with none, with one that has no functions,
// and with one that has all that are told of messages.
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
				if told := heard > 0; told != (v.name == "set") {
					b.Fatalf("told: %v", told)
				}
			})
		}
	}
}

// benchmarkReceive is one message: found its type, decoded, its callback run.
func benchmarkReceive(b *testing.B, c *Client) {
	On(c, "message", func(context.Context, struct {
		FromName string `json:"from_name"`
		Content  string `json:"content"`
	}) {
	})
	l := newLink(&session{client: c, ctx: context.Background()}, dialed{})
	in := inbound{link: l, typ: transport.TextMessage, data: comment, borrowed: true}
	for b.Loop() {
		c.route(in.link.session.ctx, in)
	}
}

// benchmarkSend is a full batch: accepted by the queue, taken by the writer, written to
// what takes everything.
func benchmarkSend(b *testing.B, c *Client) {
	l := newLink(&session{client: c, ctx: context.Background()}, dialed{conn: drain{}})
	l.writing = true
	c.queue.link = l
	for b.Loop() {
		for range maxBatch {
			if err := c.queue.push(context.Background(), &outgoing{Outbound: Outbound{Data: comment}}); err != nil {
				b.Fatal(err)
			}
		}
		batch, signs, _ := c.queue.take(l)
		w := &writing{batch: batch}
		l.gather(w, signs)
		if !l.finish(w) {
			b.Fatal("not written")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/message")
}

// A drain takes what is written.
type drain struct{}

func (drain) Reader() (transport.MessageType, io.Reader, error) { select {} }
func (drain) Write(transport.MessageType, []byte) error         { return nil }
func (drain) Ping(context.Context) error                        { return nil }
func (drain) Close(int, string) error                           { return nil }
func (drain) CloseNow() error                                   { return nil }
func (drain) Subprotocol() string                               { return "" }
