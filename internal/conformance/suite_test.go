package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/transport/nhooyr"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // most of a case is waiting; -parallel still counts
	goleak.VerifyTestMain(m)
}

// The transports, and where they do otherwise than the cases demand.
var transports = []struct {
	name       string
	options    []wechatws.Option
	strict     bool // what is documented is no exception
	deviations deviations
}{
	{"default", nil, false, nil},
	{"strict", []wechatws.Option{wechatws.WithStrict()}, true, nil},
	{"coder", []wechatws.Option{wechatws.WithDialer(coder.Dialer{})}, false, ofLibraries},
	{"nhooyr", []wechatws.Option{wechatws.WithDialer(nhooyr.Dialer{})}, false, ofLibraries},
}

// A testCase is one row of the tables: a connection of a client that sends back every message.
type testCase struct {
	id string

	// The server sends the frames of send, group by group: before the next group it waits until
	// the client has answered each group with one frame at least. Or it sends messages, each
	// after the answer to the one before, compressed if that was negotiated.
	send     groups
	messages []message
	fragment int  // bytes of payload in each frame of messages; 0: one frame
	chop     int  // how the bytes are written: atOnce, byFrame, or so many at a time
	closes   bool // the last group has a close frame; otherwise the server sends 1000 in the end
	drops    bool // the server closes the connection without a close frame

	compression rule // how the server answers the client's offer of compression; nil: none is made
	compresses  bool // if compression was negotiated, the client must use it

	want outcome
	// nonStrict cases send a valid message right before what ends the connection, and the echo
	// may come too late. They run a second time, group by group, and then it may not.
	nonStrict bool
	// documented is what this client does instead, on every transport and by intention, unless
	// it is strict; zero: it conforms.
	documented outcome
	// early is the only outcome of a client that fails at the first invalid byte; zero: as want.
	early outcome
}

type groups [][]string

// one is a single group.
func one(frames ...string) groups { return groups{frames} }

type message struct {
	opcode  byte
	payload string
}

func (m message) String() string {
	if m.opcode == opText {
		return text(m.payload)
	}
	return binaryMessage(m.payload)
}

// An outcome is what a client does in one case.
type outcome struct {
	frames []string // that it sends before its close frame
	close  string   // the code of its close frame; empty, or none
	// report is the close code for OnClose, after "peer" if the event says that the peer has
	// ended the connection.
	report string
	// notUTF8 is how many errors OnError has received for text that is not UTF-8.
	notUTF8 int
	// lenient, in an expected outcome: any of the frames may be missing.
	lenient bool
}

// closed is the outcome of a connection that the server has closed with code 1000.
func closed(frames ...string) outcome {
	return outcome{frames: frames, close: "1000", report: "peer 1000"}
}

// closedBy is that of one which it has closed with another code.
func closedBy(code int) outcome {
	return outcome{close: fmt.Sprint(code), report: fmt.Sprint("peer ", code)}
}

// fails is that of one which the client has failed with a close code.
func fails(code int, frames ...string) outcome {
	return outcome{frames: frames, close: fmt.Sprint(code), report: fmt.Sprint(code)}
}

// lenient returns o for a case in which any of the frames may be missing.
func lenient(o outcome) outcome {
	o.lenient = true
	return o
}

// tolerant returns o for a case with one text that is not UTF-8.
func tolerant(o outcome) outcome {
	o.notUTF8 = 1
	return o
}

// matches reports whether got is the outcome o.
func (o outcome) matches(got outcome) bool {
	if o.close != got.close || o.report != got.report || o.notUTF8 != got.notUTF8 {
		return false
	}
	if !o.lenient {
		return slices.Equal(o.frames, got.frames)
	}
	rest := o.frames
	for _, frame := range got.frames {
		i := slices.Index(rest, frame)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// complete reports whether got has all frames of o, if the client still answers.
func (o outcome) complete(got outcome) bool {
	if n := len(o.frames); o.lenient && n > 0 {
		return slices.Contains(got.frames, o.frames[n-1])
	}
	return len(got.frames) >= len(o.frames)
}

func (o outcome) String() string {
	frames := strings.Join(o.frames, "\n  ")
	if len(o.frames) > 12 {
		frames = strings.Join(o.frames[:12], "\n  ") + fmt.Sprintf("\n  … %d in all", len(o.frames))
	}
	return fmt.Sprintf("frames:\n  %s\nclose frame: %s\nOnClose: %s\nErrNotUTF8: %d\nlenient: %v",
		frames, o.close, o.report, o.notUTF8, o.lenient)
}

func TestCases(t *testing.T) {
	var cases []testCase
	for _, section := range [][]testCase{
		framing(), pings(), reserved(), fragmented(), texts(), closes(), sizes(), compressed(), beyond(), beyondCompressed(),
	} {
		for _, c := range section {
			if c.nonStrict {
				strict := c
				strict.id += ",strict"
				cases = append(cases, strict)
				c.send, c.want = one(slices.Concat(c.send...)...), lenient(c.want)
			}
			cases = append(cases, c)
		}
	}
	names := map[string]bool{}
	for _, c := range cases {
		require.False(t, names[c.id], "two cases %s", c.id)
		names[c.id] = true
	}
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			known := map[string]deviation{}
			for _, d := range tr.deviations {
				for id := range strings.FieldsSeq(d.cases) {
					require.NotContains(t, known, id, "two deviations")
					known[id] = d
				}
			}
			for _, c := range cases {
				d, deviates := known[c.id]
				delete(known, c.id)
				t.Run(c.id, func(t *testing.T) {
					t.Parallel()
					if tr.strict {
						c.documented = outcome{}
						if c.early.report != "" {
							c.want = c.early
						}
					}
					c.run(t, tr.options, d, deviates)
				})
			}
			assert.Empty(t, known, "deviations of cases that do not exist")
		})
	}
}

// run plays the case, and compares the outcome with what is expected.
func (c testCase) run(t *testing.T, options []wechatws.Option, d deviation, deviates bool) {
	expected, why := c.want, ""
	switch {
	case deviates:
		expected, why = d.outcome, d.why
	case c.documented.report != "":
		expected, why = c.documented, "documented"
	}
	got := c.play(t, options, expected)
	switch conforms := c.want.matches(got); {
	case expected.matches(got) && why == "":
	case conforms && why != "":
		t.Errorf("conforms, so its exception must go: %s", why)
	case conforms:
	case !expected.matches(got):
		t.Errorf("got\n%v\n\nwant\n%v\n\nexception: %s", got, expected, why)
	}
}

// play plays the case with a new client.
func (c testCase) play(t *testing.T, options []wechatws.Option, expected outcome) (got outcome) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	options = append([]wechatws.Option{
		wechatws.WithProxy(nil), wechatws.WithoutReconnect(), wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(),
		wechatws.WithReadLimit(32 << 20), wechatws.WithQueue(1024, 32<<20, wechatws.QueueFail),
	}, options...)
	if c.compression != nil {
		options = append(options, wechatws.WithCompression())
	}
	client, err := wechatws.New("ws://"+l.Addr().String(), options...)
	require.NoError(t, err)
	client.OnMessage(func(ctx context.Context, m wechatws.Message) {
		var echo any = wechatws.Text(m.Data)
		if m.Binary {
			echo = wechatws.Binary(m.Data)
		}
		_ = client.Send(ctx, echo) // fails if the connection has ended, which the outcome shows
	})
	var notUTF8 atomic.Int32
	client.OnError(func(_ context.Context, err error) {
		if errors.Is(err, wechatws.ErrNotUTF8) {
			notUTF8.Add(1)
		}
	})
	ended := make(chan wechatws.CloseEvent, 1)
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { ended <- e })
	connected := make(chan error, 1)
	go func() { connected <- client.Connect(t.Context()) }()
	defer func() {
		_ = client.CloseNow()
		<-client.Done()
	}()
	p := accept(t, l, c.compression)
	require.NoError(t, <-connected)

	p.serve(c, expected, &got)
	if p.deflate != nil {
		p.deflate.release()
	}
	if c.compresses && p.deflate != nil {
		assert.Positive(t, p.packed, "the client compresses no message")
	}
	select {
	case e := <-ended:
		got.report = fmt.Sprint(int(e.Code))
		if e.Remote {
			got.report = "peer " + got.report
		}
		if e.Code == wechatws.StatusProtocolError && !e.Remote {
			assert.ErrorIs(t, e.Err, wechatws.ErrProtocol)
		}
	case <-time.After(bound):
		got.report = "none"
	}
	<-client.Done()
	got.notUTF8 = int(notUTF8.Load())
	return got
}

// serve is the server's side of the case.
func (p *peer) serve(c testCase, expected outcome, got *outcome) {
	var writing sync.WaitGroup
	defer writing.Wait()
	defer p.conn.Close()
	open, n := true, max(len(c.send), len(c.messages))
	for i := 0; i < n && open; i++ {
		writing.Wait()
		group := func() []string { return c.send[i] }
		if c.messages != nil {
			m := c.messages[i]
			group = func() []string { return p.pack(m, c.fragment) }
		}
		writing.Go(func() { p.write(group(), c.chop) })
		for open && i < n-1 && len(got.frames) <= i {
			open = p.read(got)
		}
	}
	asked := c.closes || c.drops || !strings.HasPrefix(expected.report, "peer")
	for open && !asked && !expected.complete(*got) {
		open = p.read(got)
	}
	answered := c.closes
	switch {
	case !open:
	case c.drops:
		writing.Wait()
		_ = p.conn.CloseWrite()
	case !asked:
		writing.Wait()
		p.write([]string{closeFrame(1000, "")}, atOnce)
		answered = true
	}
	for open {
		open = p.read(got)
	}
	p.finish(got, answered)
}
