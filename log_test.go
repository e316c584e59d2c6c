package wechatws_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// logged is a logger, and what it has written, with the time since the start.
func logged(w *world, level slog.Level) (*slog.Logger, func() []string) {
	var buffer bytes.Buffer
	handler := slog.NewTextHandler(&buffer, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.DurationValue(a.Value.Time().Sub(w.start))
		}
		return a
	}})
	return slog.New(handler), func() []string {
		return strings.Split(strings.TrimSpace(strings.ReplaceAll(buffer.String(), "wechatws.", "")), "\n")
	}
}

// The log of a day without a server. docs/observing.md shows it.
func TestTheLogOfADayOfOutage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var log bytes.Buffer
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.TimeValue(a.Value.Time().UTC()) // whatever the machine's zone
			}
			return a
		}})
		c := w.client(wechatws.WithLogger(slog.New(handler))).connect()
		w.sleep(time.Minute)
		w.srv.Stop(wstest.FIN)
		w.sleep(12 * time.Hour)
		w.srv.AnswerAlways(wstest.Status(502, nil, "bad gateway"))
		w.srv.Start()
		w.sleep(12 * time.Hour)
		w.srv.AnswerAlways(wstest.Accept())
		w.sleep(time.Hour)
		c.close()
		require.Less(t, strings.Count(log.String(), "\n"), 20)
		requireDocumented(t, "docs/observing.md", "the log of a day of outage", log.String())
	})
}

func TestLogLines(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		logger, lines := logged(w, slog.LevelDebug)
		c := w.client(append(quiet(), wechatws.WithLogger(logger), wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))...)
		wechatws.On(c.Client, "panic", func(context.Context, struct{}) { panic("oops") })
		c.send("lost", "kept")
		c.connect()
		conn := w.conn()
		for range 9 {
			require.NoError(t, conn.Send("no JSON, token=hunter2"))
		}
		require.NoError(t, conn.Send(`{"msg_type":"panic"}`))
		w.sleep(0)
		require.NoError(t, conn.Close(4001, "kicked"))
		w.sleep(4 * time.Second)
		_ = c.Reconnect()
		w.sleep(time.Second)
		c.close()
		text := strings.Join(lines(), "\n")
		for _, want := range []string{
			"level=DEBUG msg=dialing attempt=1",
			`level=WARN msg="messages dropped" count=1 err="outbound queue is full"`,
			`level=WARN msg="message not used" count=1 type="" size=22 err="`,
			`level=WARN msg="message not used" count=2 `,
			`level=DEBUG msg="message not used" count=3 `,
			`level=WARN msg="message not used" count=8 `,
			`level=DEBUG msg="message not used" count=9 `,
			`level=ERROR msg="user function panicked" value=oops stack="goroutine `,
			`level=WARN msg="connection lost" connection=1 lasted=0s code=4001 err="wechatws: peer closed the connection: close code 4001"`,
			`level=INFO msg=connected connection=2 attempt=2 took=0s`,
			`err="wechatws: connection ended: close code 1006 (abnormal closure): reconnect requested"`,
		} {
			require.Contains(t, text, want)
		}
		require.NotContains(t, text, "hunter2", "no message's data")
	})
}

func TestLogOfAFinalError(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		logger, lines := logged(w, slog.LevelInfo)
		w.srv.AnswerAlways(wstest.Status(403, nil, "banned"))
		c := w.client(wechatws.WithLogger(logger))
		require.Error(t, c.Connect(t.Context()))
		w.sleep(0)
		require.Equal(t, []string{`time=0s level=ERROR msg=failed attempt=1 err="wechatws: handshake server.test:80: server answered 403 Forbidden"`}, lines())
	})
}

// Durations are text in JSON logs too, as in events and in Stats.
func TestDurationsInJSONLogsAreText(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var b bytes.Buffer
		w.srv.Answer(wstest.Status(502, nil, ""))
		c := w.client(wechatws.WithLogger(slog.New(slog.NewJSONHandler(&b, nil)))).connect()
		w.sleep(1500 * time.Millisecond)
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		_ = c.CloseNow()
		w.sleep(0)
		for _, want := range []string{`"took":"0s","away":"3s"`, `"lasted":"1.5s"`, `"away":"0s","delay":"3s"`} {
			require.Contains(t, b.String(), want)
		}
	})
}
