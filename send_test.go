package wechatws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
		beat := wechatws.Heartbeat{NewMessage: func(int) (any, error) { return v, nil }}
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

func TestValuesThatAreSentAsTheyAre(t *testing.T) {
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

func TestDataMayBeReusedAfterSend(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		binary, data := []byte("binary"), []byte("by hand")
		require.NoError(t, c.Send(t.Context(), wechatws.Binary(binary)))
		require.NoError(t, c.Send(t.Context(), wechatws.Outbound{Data: data}))
		binary[0], data[0] = 'x', 'x'
		require.Equal(t, []string{"binary", "by hand"}, outgoing(c.undelivered()))
	})
}

func TestRequestWithFailFast(t *testing.T) {
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

// An option that a method does not support does not compile.
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

// A ticket holds the id of the connection that it goes out on.
type ticket struct {
	mu   sync.Mutex
	id   string
	fail error
}

func (k *ticket) set(id string, fail error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id, k.fail = id, fail
}

func (k *ticket) MarshalJSON() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	return json.Marshal(k.id)
}

func TestEncodeOnWriteEncodesForItsConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "none"}
		c := w.client(quiet()...)
		c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
			k.set(fmt.Sprintf("id of connection %d", o.Connection), nil)
			return nil
		})
		require.NoError(t, c.Send(t.Context(), k))
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		first := w.conn()
		require.Equal(t, []string{`"none"`, `"id of connection 1"`}, received(first))
		require.Zero(t, c.Stats().QueuedBytes, "although it is longer now than when it was accepted")
		c.close()
	})
}

func TestEncodeOnWriteFailureSendsTheFirstEncoding(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		k := &ticket{id: "before"}
		out := errors.New("out of tickets")
		c := w.client(quiet()...)
		require.NoError(t, c.Send(t.Context(), k, wechatws.EncodeOnWrite()))
		k.set("", out)
		c.connect()
		c.flush()
		w.sleep(time.Millisecond)
		require.Equal(t, []string{`"before"`}, received(w.conn()))
		require.ErrorIs(t, c.errors()[0], out)
		c.close()
	})
}

// holding makes a client that holds its queue for a second on each connection.
func holding(w *world, options ...wechatws.Option) *client {
	c := w.client(options...).record()
	c.AfterConnect(time.Second, func(_ context.Context, o *wechatws.Setup) error {
		o.HoldQueue(time.Millisecond)
		o.HoldQueue(time.Second)
		o.HoldQueue(time.Microsecond)
		return nil
	})
	return c
}

// Messages that were queued before or are sent meanwhile wait, and are written in order.
// Incoming messages and the heartbeat do not wait.
func TestHoldQueueKeepsMessagesBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 300 * time.Millisecond}))
		c.send("1")
		c.connect()
		conn := w.conn()
		require.Equal(t, time.Duration(0), w.since(), "it is open at once")
		c.send("2")
		done := make(chan time.Duration, 2)
		go func() {
			_ = c.Send(t.Context(), wechatws.Text("3"), wechatws.FailFast())
			done <- w.since()
		}()
		require.NoError(t, conn.Send(`{"msg_type":"x"}`))
		w.sleep(999 * time.Millisecond)
		require.Equal(t, []string{`{"msg_type":"x"}`}, c.texts())
		const beat = `{"msg_type":"ping"}`
		require.Equal(t, []string{beat, beat, beat}, received(conn))
		require.Empty(t, done)
		require.Equal(t, 3, c.Stats().Queued)
		w.sleep(time.Millisecond)
		require.Equal(t, []string{beat, beat, beat, "1", "2", "3"}, received(conn))
		require.Equal(t, time.Second, <-done)
		c.send("4")
		w.sleep(0)
		require.Equal(t, "4", received(conn)[6], "and that is all that waits")
		c.close()
	})
}

// A connection that ends meanwhile has received nothing, and the next one holds the queue again.
func TestHoldQueueAndAConnectionThatEnds(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w).connect()
		c.send("1")
		conn := w.conn()
		w.sleep(500 * time.Millisecond)
		conn.Cut(wstest.FIN)
		w.sleep(3*time.Second + 999*time.Millisecond)
		require.Empty(t, received(conn))
		conn = w.conn()
		require.Empty(t, received(conn))
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"1"}, received(conn))
		c.close()
	})
}

// Close writes held messages within the drain timeout, and hands back the others.
func TestCloseOfAHeldQueue(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := holding(w, wechatws.WithDrainTimeout(2*time.Second)).connect()
		c.send("1")
		c.close()
		require.Equal(t, []string{"1"}, received(w.conn()))

		c = holding(w, wechatws.WithDrainTimeout(500*time.Millisecond)).connect()
		c.send("2")
		var left *wechatws.UndeliveredError
		require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
		require.Len(t, left.Messages, 1)
		require.Empty(t, received(w.conn()))
	})
}
