package console

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/cmd/wechatws/internal/recording"
	"github.com/wechatws/wechatws/wstest"
)

// The whole program on a real socket: it logs in, shows and sends, is closed and
// opened again, and ends.
func TestPlain(t *testing.T) {
	const token = "s3cret"
	server := wstest.NewServer()
	defer server.Close()
	in, keyboard := io.Pipe()
	defer func() { _ = keyboard.Close() }()
	out := newOutput()
	done := make(chan error, 1)
	go func() {
		done <- Run(t.Context(), Config{
			URL: server.URL() + "/room?t=" + token, Name: "Ann", Plain: true, Secrets: []string{token},
			Options: []wechatws.Option{wechatws.WithLoginMessage(wechatws.Text(`{"msg_type":"login","token":"s3cret"}`))},
		}, in, out)
	}()
	enter := func(line string) {
		t.Helper()
		if _, err := io.WriteString(keyboard, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}

	conn := nextConn(t, server)
	expect(t, conn, `{"msg_type":"login","token":"s3cret"}`)
	for _, test := range []struct{ message, want string }{
		{`{"msg_type":"message","from_name":"Bob","content":"\u001b]0;x\u0007r\u001b[31med\nerror: fake"}`, ` message Bob: \x1b]0;x\ar\x1b[31med\nerror: fake` + "\n"},
		{`{"msg_type":"join","msg_content":"Bob 进来了"}`, " join Bob 进来了\n"},
		{`{"msg_type":"init", "token": "s3cret"}`, ` init {"msg_type":"init","token":"[secret]"}` + "\n"},
		{"no JSON \x1b[2J\u009b2J", ` (no type) no JSON \x1b[2J\u009b2J` + "\n"},
	} {
		if err := conn.Send(test.message); err != nil {
			t.Fatal(err)
		}
		out.waitFor(t, test.want)
	}

	enter("hi")
	expect(t, conn, `{"msg_type":"message","from_name":"Ann","content":"hi"}`)
	enter(`{ "msg_type":"x" }`)
	expect(t, conn, `{ "msg_type":"x" }`)
	enter(`{nope`)
	out.waitFor(t, "error: not sent, not valid JSON at byte 2")
	enter("/nope")
	out.waitFor(t, `error: unknown command "/nope"; /help lists the commands`)
	enter("/help")
	out.waitFor(t, "-- /quit")
	enter("/stats")
	out.waitFor(t, "-- state open, attempt 1, connections opened 1\n")
	enter("/reconnect")
	conn = nextConn(t, server)
	expect(t, conn, `{"msg_type":"login","token":"s3cret"}`)
	out.waitFor(t, "open: connection 2")
	enter("/close")
	expectClosed(t, conn)
	out.waitFor(t, "-- closed\n")
	enter("/connect\nhi again")
	conn = nextConn(t, server)
	expect(t, conn, `{"msg_type":"login","token":"s3cret"}`)
	expect(t, conn, `{"msg_type":"message","from_name":"Ann","content":"hi again"}`)
	enter("/quit")
	if err := <-done; err != nil {
		t.Error(err)
	}
	expectClosed(t, conn)
	if strings.ContainsAny(out.String(), "\x1b\a") || strings.Contains(out.String(), token) {
		t.Errorf("an escape code or the token is in %q", out)
	}
}

func TestPlainEndsWithItsContext(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	in, keyboard := io.Pipe() // a terminal where nobody types anything
	defer func() { _ = keyboard.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	out := newOutput()
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Config{URL: server.URL(), Plain: true}, in, out) }()
	conn := nextConn(t, server)
	out.waitFor(t, "-- open")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	expectClosed(t, conn)
}

func TestPlainGoesOnAfterTheInputUntilItsTimeIsOver(t *testing.T) {
	virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		demo := make(chan struct{})
		close(demo) // no reason to end before the time is over
		var out strings.Builder
		err := runPlain(ctx, s, strings.NewReader("hi\n"), &out, printEntries, plainEnds{timed: true, demo: demo})
		if err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		expect(t, nextConn(t, server), `{"msg_type":"message","from_name":"Ann","content":"hi"}`)
	})
}

func TestPlainEndsWhenNothingCanHappenAnyMore(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		virtual(t, func(t *testing.T, _ *wstest.Server, s *session) {
			if err := runPlain(t.Context(), s, strings.NewReader("/close\n"), io.Discard, printEntries, plainEnds{}); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("failed", func(t *testing.T) {
		virtual(t, func(t *testing.T, server *wstest.Server, s *session) {
			server.AnswerAlways(wstest.Status(401, nil, ""))
			err := runPlain(t.Context(), s, strings.NewReader(""), io.Discard, printEntries, plainEnds{})
			if failed := (*wechatws.HandshakeError)(nil); !errors.As(err, &failed) || failed.Status != 401 {
				t.Errorf("error %v, want the 401", err)
			}
		})
	})
	t.Run("output gone", func(t *testing.T) {
		virtual(t, func(t *testing.T, _ *wstest.Server, s *session) {
			if err := runPlain(t.Context(), s, strings.NewReader(""), broken{}, printEntries, plainEnds{}); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		})
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestALineThatIsTooLongIsTold(t *testing.T) {
	virtual(t, func(t *testing.T, _ *wstest.Server, s *session) {
		readLines(t.Context(), s, strings.NewReader(strings.Repeat("x", maxLine+1)))
		if got := texts(s.feed.take()); !strings.Contains(got, "error: reading the input: ") {
			t.Error(got)
		}
	})
}

// The demo shows every kind of message, a drop and a return, and ends by itself.
func TestDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wstest.NewNetwork()
		demo := startDemo(wstest.WithNetwork(network))
		defer demo.Close()
		s, err := newSession(Config{URL: demo.URL(), Options: append(demoOptions,
			wechatws.WithNetDial(network.DialContext), wechatws.WithProxy(nil))})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var out strings.Builder
		if err := runPlain(t.Context(), s, strings.NewReader("hello\n"), &out, printEntries, plainEnds{demo: demo.over}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it takes %v", took)
		}
		for _, want := range []string{" init {", " join ", " message you: hello\n", " subscribe ", " buy ", " leave ",
			"connection 1 has ended", "waiting: attempt 2 in 3s", "open: connection 2", "connected again", "-- closed\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
	})
}

// A recording that is not complete, as its disk is full, is a failure; the session goes on.
func TestARecordingThatFails(t *testing.T) {
	server := wstest.NewServer()
	defer server.Close()
	in, keyboard := io.Pipe()
	defer func() { _ = keyboard.Close() }()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), Config{URL: server.URL(), Plain: true, Record: &disk{}, Recording: recording.Config{Limit: 1 << 20}}, in, io.Discard)
	}()
	conn := nextConn(t, server)
	enter := func(line string) {
		if _, err := io.WriteString(keyboard, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	enter("hi")
	expect(t, conn, `{"msg_type":"message","content":"hi"}`)
	enter("/quit")
	if err := <-ended; !errors.Is(err, errDisk) {
		t.Error(err)
	}
}

var errDisk = errors.New("no space left on device")

// A disk has room for the header of a recording.
type disk struct{ full bool }

func (d *disk) Write(p []byte) (int, error) {
	if d.full {
		return 0, errDisk
	}
	d.full = true
	return len(p), nil
}
