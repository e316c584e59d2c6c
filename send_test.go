package wechatws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// places are where a message to be sent may be given. Each has one client send v, and
// returns what the server receives first.
var places = map[string]func(t *testing.T, w *world, v any) wstest.Message{
	"Send": func(t *testing.T, w *world, v any) wstest.Message {
		c := w.client(quiet()...).connect()
		defer c.close()
		require.NoError(t, c.Send(t.Context(), v))
		return w.first()
	},
	"Request": func(t *testing.T, w *world, v any) wstest.Message {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"answer"}`) })
		c := w.client(quiet()...).connect()
		defer c.close()
		_, err := c.Request(t.Context(), v, isOfType("answer"))
		require.NoError(t, err)
		return w.first()
	},
	"SendConfirmed": func(t *testing.T, w *world, v any) wstest.Message {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"answer"}`) })
		c := w.client(quiet()...).connect()
		defer c.close()
		_, err := c.SendConfirmed(t.Context(), v, isOfType("answer"))
		require.NoError(t, err)
		return w.first()
	},
	"WithLogin": func(t *testing.T, w *world, v any) wstest.Message {
		login := func(context.Context) (any, error) { return v, nil }
		defer w.client(append(quiet(), wechatws.WithLogin(login))...).connect().close()
		return w.first()
	},
	"WithLoginMessage": func(t *testing.T, w *world, v any) wstest.Message {
		defer w.client(append(quiet(), wechatws.WithLoginMessage(v))...).connect().close()
		return w.first()
	},
	"Setup.Send": func(t *testing.T, w *world, v any) wstest.Message {
		c := w.client(quiet()...)
		defer c.close()
		c.AfterConnect(time.Second, func(ctx context.Context, s *wechatws.Setup) error { return s.Send(ctx, v) })
		c.connect()
		return w.first()
	},
	"Heartbeat.Message": func(t *testing.T, w *world, v any) wstest.Message {
		defer w.client(wechatws.WithoutLiveness(), wechatws.WithHeartbeat(wechatws.Heartbeat{Message: v})).connect().close()
		w.sleep(3 * time.Second)
		return w.first()
	},
	"Heartbeat.NewMessage": func(t *testing.T, w *world, v any) wstest.Message {
		beat := wechatws.Heartbeat{NewMessage: func() (any, error) { return v, nil }}
		defer w.client(wechatws.WithoutLiveness(), wechatws.WithHeartbeat(beat)).connect().close()
		w.sleep(3 * time.Second)
		return w.first()
	},
}

// first is the first message that the next connection receives.
func (w *world) first() wstest.Message {
	w.sleep(time.Millisecond)
	all := w.conn().Received()
	require.NotEmpty(w, all)
	return all[0]
}

func TestWhatIsSentAsItIs(t *testing.T) {
	text, binary := wechatws.Text("as it is"), wechatws.Binary("\x00\xff")
	for name, tt := range map[string]struct {
		v      any
		binary bool
		data   string
	}{
		"Text":              {text, false, "as it is"},
		"*Text":             {&text, false, "as it is"},
		"empty Text":        {wechatws.Text(""), false, ""},
		"Binary":            {binary, true, "\x00\xff"},
		"*Binary":           {&binary, true, "\x00\xff"},
		"nil Binary":        {wechatws.Binary(nil), true, ""},
		"Outbound":          {wechatws.Outbound{Data: []byte("by hand")}, false, "by hand"},
		"*Outbound":         {&wechatws.Outbound{Data: []byte("by hand")}, false, "by hand"},
		"binary Outbound":   {wechatws.Outbound{Binary: true, Data: []byte("\xff")}, true, "\xff"},
		"a string":          {"encoded", false, `"encoded"`},
		"a nil pointer":     {(*wechatws.Message)(nil), false, "null"},
		"nil *Text":         {(*wechatws.Text)(nil), false, "null"},
		"nil *Binary":       {(*wechatws.Binary)(nil), false, "null"},
		"nil *Outbound":     {(*wechatws.Outbound)(nil), false, "null"},
		"a struct of these": {struct{ T wechatws.Text }{"encoded"}, false, `{"T":"encoded"}`},
	} {
		for place, send := range places {
			t.Run(name+"/"+place, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					got := send(t, w, tt.v)
					require.Equal(t, tt.binary, got.Binary)
					require.Equal(t, tt.data, string(got.Data))
				})
			})
		}
	}
}

func TestNilIsSentAsTheCodecEncodesIt(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		require.NoError(t, c.Send(t.Context(), nil))
		require.NoError(t, c.Send(t.Context(), nil, wechatws.EncodeOnWrite()))
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"null", "null"}, received(w.conn()))
		c.close()
	})
}

func TestTextMustBeUTF8(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		for _, v := range []any{wechatws.Text("\xff"), wechatws.Outbound{Data: []byte("\xff")}} {
			err := c.Send(t.Context(), v)
			require.ErrorIs(t, err, wechatws.ErrNotUTF8)
			require.EqualError(t, err, fmt.Sprintf("wechatws: cannot encode %T: text is not valid UTF-8", v))
			_, err = c.Request(t.Context(), v, isOfType("x"))
			require.ErrorIs(t, err, wechatws.ErrNotUTF8)
			_, err = c.SendConfirmed(t.Context(), v, isOfType("x"))
			require.ErrorIs(t, err, wechatws.ErrNotUTF8)
			_, err = wechatws.New("ws://h", wechatws.WithHeartbeat(wechatws.Heartbeat{Message: v}))
			require.ErrorContains(t, err, "text is not valid UTF-8")
		}
	})
}

// undelivered closes the client, and returns what it hands back.
func (c *client) undelivered() []wechatws.Outbound {
	c.t.Helper()
	var left *wechatws.UndeliveredError
	require.ErrorAs(c.t, c.Close(wechatws.StatusNormalClosure, ""), &left)
	return left.Messages
}

func TestDataThatIsSentIsTheCallersAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		binary, data := []byte("binary"), []byte("by hand")
		require.NoError(t, c.Send(t.Context(), wechatws.Binary(binary)))
		require.NoError(t, c.Send(t.Context(), wechatws.Outbound{Data: data}))
		binary[0], data[0] = 'x', 'x'
		require.Equal(t, []string{"binary", "by hand"}, outgoing(c.undelivered()))
	})
}

// The data of a constant is in memory that cannot be written to.
func TestDataThatIsHandedBackMayBeWrittenTo(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const text = wechatws.Text(`{"msg_type":"message"}`)
		c := w.client(wechatws.WithQueue(1, 1000, wechatws.QueueDropOldest))
		require.NoError(t, c.Send(t.Context(), text))
		require.NoError(t, c.Send(t.Context(), text))
		w.sleep(0)
		var dropped *wechatws.DroppedError
		require.ErrorAs(t, c.errors()[0], &dropped)
		for _, m := range append(dropped.Messages, c.undelivered()...) {
			m.Data[0] = '['
			require.NoError(t, c.Connect(t.Context()))
			require.NoError(t, c.Send(t.Context(), m))
			require.Equal(t, wechatws.Text(`["msg_type":"message"}`), wechatws.Text(m.Data))
			require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		}
	})
}

func TestWhatWasHandedBackKeepsItsDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		after   time.Duration // from the first Send to the connection that may write it
		options []wechatws.SendOption
		sent    bool
	}{
		"in time":    {after: 59 * time.Second, sent: true},
		"too late":   {after: 61 * time.Second},
		"overridden": {after: 61 * time.Second, options: []wechatws.SendOption{wechatws.ExpireAfter(time.Minute)}, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client()
				require.NoError(t, c.Send(t.Context(), "news", wechatws.ExpireAfter(time.Minute)))
				w.sleep(30 * time.Second)
				left := c.undelivered()
				require.Len(t, left, 1)

				next := w.client(quiet()...)
				require.NoError(t, next.Send(t.Context(), &left[0], tt.options...))
				w.sleep(tt.after - w.since())
				next.connect()
				next.flush()
				w.sleep(time.Millisecond)
				if tt.sent {
					require.Equal(t, []string{`"news"`}, received(w.conn()))
					require.Empty(t, next.errors())
				} else {
					require.Empty(t, received(w.conn()))
					require.ErrorIs(t, next.errors()[0], wechatws.ErrExpired)
				}
				next.close()
			})
		})
	}
}

// One that was dropped as expired is dropped again, also by what waits for an answer.
func TestWhatHasExpiredIsNotSentAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), "old", wechatws.ExpireAfter(time.Second)))
		w.sleep(time.Second)
		c.connect()
		w.sleep(time.Second)
		var dropped *wechatws.DroppedError
		require.ErrorAs(t, c.errors()[0], &dropped)
		require.EqualError(t, dropped, "wechatws: 1 message dropped: message has expired")

		old := dropped.Messages[0]
		require.NoError(t, c.Send(t.Context(), old))
		_, err := c.Request(t.Context(), old, isOfType("never"))
		require.ErrorIs(t, err, wechatws.ErrExpired)
		_, err = c.SendConfirmed(t.Context(), old, isOfType("never"))
		require.ErrorIs(t, err, wechatws.ErrExpired)
		require.NoError(t, c.Send(t.Context(), wechatws.Text(old.Data)))
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"old"`}, received(w.conn()), "nothing but the data was kept")
		c.close()
	})
}

func TestWhatWasHandedBackIsEncodedOnWriteAgain(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "old"}
		c := w.client()
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		require.NoError(t, c.Send(t.Context(), k))
		left := c.undelivered()
		require.Equal(t, []string{`"old"`, `"old"`}, outgoing(left))

		k.set("now", nil)
		next := w.client(append(quiet(), wechatws.WithLoginMessage(left[0]))...)
		for _, m := range left {
			require.NoError(t, next.Send(t.Context(), m, wechatws.EncodeOnWrite()))
		}
		k.set("when written", nil)
		next.connect()
		next.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"when written"`, `"when written"`, `"old"`}, received(w.conn()))

		fails := errors.New("out of tickets")
		k.set("", fails)
		require.ErrorIs(t, next.Send(t.Context(), left[0]), fails)
		next.close()
	})
}

func TestRequestThatIsNotToWaitForAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		_, err := c.Request(t.Context(), "x", isOfType("never"), wechatws.FailFast())
		require.ErrorIs(t, err, wechatws.ErrNotOpen)
		require.Zero(t, w.since())
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// Without a connection nothing is written, and the request ends all the same.
func TestRequestThatExpires(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		_, err := c.Request(t.Context(), "x", isOfType("never"), wechatws.ExpireAfter(time.Minute))
		require.ErrorIs(t, err, wechatws.ErrExpired)
		require.Equal(t, time.Minute, w.since())
		require.Zero(t, c.Stats().Queued)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// A request that was written in time may be answered at any time.
func TestRequestThatIsWrittenInTime(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		time.AfterFunc(time.Hour, func() { _ = conn.Send(`{"msg_type":"answer"}`) })
		_, err := c.Request(t.Context(), "x", isOfType("answer"), wechatws.ExpireAfter(time.Second))
		require.NoError(t, err)
		c.close()
	})
}

func TestRequestThatIsEncodedOnWrite(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.echo()
		k := &ticket{id: "old"}
		c := w.client(quiet()...)
		time.AfterFunc(time.Second, func() {
			k.set("new", nil)
			c.connect()
		})
		_, err := c.Request(t.Context(), k, isOfType("echo"), wechatws.EncodeOnWrite())
		require.NoError(t, err)
		require.Equal(t, []string{`"new"`}, received(w.conn()))
		c.close()
	})
}

// An option that means nothing to a verb does not compile.
func TestOptionsAreTypedByVerb(t *testing.T) {
	for name, tt := range map[string]struct {
		option         any
		sends, confirm bool
	}{
		"ExpireAfter":    {wechatws.ExpireAfter(1), true, true},
		"EncodeOnWrite":  {wechatws.EncodeOnWrite(), true, true},
		"FailFast":       {wechatws.FailFast(), true, false},
		"ConfirmTimeout": {wechatws.ConfirmTimeout(1), false, true},
	} {
		_, sends := tt.option.(wechatws.SendOption)
		_, confirm := tt.option.(wechatws.ConfirmOption)
		require.Equal(t, tt.sends, sends, name)
		require.Equal(t, tt.confirm, confirm, name)
	}
}

func TestOutboundIsPrintedWithoutItsData(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		require.NoError(t, c.Send(t.Context(), wechatws.Text("s3cret"), wechatws.ExpireAfter(time.Hour)))
		require.NoError(t, c.Send(t.Context(), "s3cret", wechatws.EncodeOnWrite()))
		require.NoError(t, c.Send(t.Context(), wechatws.Binary("s3cret")))
		left := c.undelivered()
		require.Equal(t, "[text message of 6 bytes text message of 8 bytes binary message of 6 bytes]", fmt.Sprint(left))
		require.NotContains(t, fmt.Sprintf("%#v", left), "s3cret")
		require.Equal(t, "wechatws.Outbound(text message of 6 bytes)", fmt.Sprintf("%#v", left[0]))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("left", "message", left[2], "all", left)
		require.Contains(t, log.String(), "message.type=binary message.size=6")
		require.NotContains(t, log.String(), "s3cret")
	})
}

// A program that saves what was handed back keeps the deadlines over its restart.
func TestOutboundAsJSON(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), "late", wechatws.ExpireAfter(1500*time.Millisecond)))
		require.NoError(t, c.Send(t.Context(), wechatws.Binary("\xff")))
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		file, err := json.Marshal(left.Messages)
		require.NoError(t, err)
		expires := w.start.Add(1500 * time.Millisecond).Format(time.RFC3339Nano)
		require.Equal(t, `[{"data":"ImxhdGUi","expires":"`+expires+`"},{"binary":true,"data":"/w=="}]`, string(file))

		var saved []wechatws.Outbound
		require.NoError(t, json.Unmarshal(file, &saved))
		require.Equal(t, wechatws.Outbound{Binary: true, Data: []byte("\xff")}, saved[1])
		next := w.client(quiet()...)
		w.sleep(2 * time.Second)
		for _, m := range saved {
			require.NoError(t, next.Send(t.Context(), m))
		}
		next.connect()
		w.sleep(time.Second)
		require.Equal(t, []string{"\xff"}, received(w.conn()))
		require.Len(t, next.errors(), 1)
		require.ErrorIs(t, next.errors()[0], wechatws.ErrExpired)
		next.close()
	})
	m := wechatws.Outbound{Binary: true, Data: []byte("1")}
	require.NoError(t, json.Unmarshal([]byte("null"), &m))
	require.Equal(t, wechatws.Outbound{Binary: true, Data: []byte("1")}, m)
	require.NoError(t, json.Unmarshal([]byte(`{"data":"MQ=="}`), &m))
	require.Equal(t, wechatws.Outbound{Data: []byte("1")}, m)
	for _, bad := range []string{`{"data":1}`, `{"data":"MQ==","expires":"soon"}`, `[]`} {
		require.Error(t, json.Unmarshal([]byte(bad), &m))
	}
}
