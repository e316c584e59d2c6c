package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

// newWorldOf is a world with a fleet of its own configuration.
func newWorldOf(t *testing.T, options ...fleet.Option) *world {
	t.Helper()
	w := newWorld(t)
	f, err := fleet.Open(w.ctx(), options...)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	w.fleet = f
	return w
}

// A message that does not decode is reported, counted and acknowledged at the first attempt. The
// other rooms of its partition do not wait for it.
func TestAMessageThatDoesNotDecodeHoldsNothingUp(t *testing.T) {
	w := newWorldOf(t, fleet.WithPartitions(1))
	w.add(2)
	a := w.worker("a")
	conns := map[string]*wstest.Conn{}
	for range 2 {
		c, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
		conns[c.Request().URL.Query().Get("room")] = c
	}
	var o told
	h := w.handlers(fleet.WithRetryAfter(10 * time.Minute)) // whatever is tried again comes too late
	h.OnError(o.tell)
	got := make(chan string, 10)
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, c comment) error {
		got <- m.Room + " " + c.Content
		return nil
	})
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, v struct{ Content any }) error {
		got <- fmt.Sprint(m.Room, " any ", v.Content)
		return nil
	})
	w.runHandlers(h)
	require.NoError(t, conns["r0"].Send(`{"msg_type":"message","content":[1]}`))
	require.Eventually(t, func() bool { return a.Stats().In == 1 }, patience, tick, "it is in front of the other one")
	require.NoError(t, conns["r1"].Send(`{"msg_type":"message","content":"good"}`))
	var texts []string
	for range 3 {
		texts = append(texts, receiving(w, got))
	}
	assert.ElementsMatch(t, []string{"r0 any [1]", "r1 good", "r1 any good"}, texts)
	require.Eventually(t, func() bool { return len(o.all()) == 1 }, patience, tick)
	errs := o.all()
	var decode *wechatws.DecodeError
	require.ErrorAs(t, errs[0], &decode)
	assert.Equal(t, "message", decode.Type)
	assert.Equal(t, "r0", o.msgs[0].Room)
	require.Eventually(t, func() bool { return h.Stats().Undecodable == 1 }, patience, tick)
	assert.Zero(t, h.Stats().GivenUp)
}

type explosive struct{}

func (*explosive) UnmarshalJSON([]byte) error { panic("boom") }

// A decode that panics would panic at any later attempt, too.
func TestADecodeThatPanicsIsNotTriedAgain(t *testing.T) {
	w := newWorldOf(t, fleet.WithPartitions(1))
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	var o told
	h := w.handlers(fleet.WithRetryAfter(10 * time.Minute)) // whatever is tried again comes too late
	h.OnError(o.tell)
	fleet.On(h, "message", func(context.Context, fleet.Message, explosive) error { return nil })
	last := make(chan bool, 1)
	fleet.On(h, "last", func(context.Context, fleet.Message, any) error { last <- true; return nil })
	w.runHandlers(h)
	require.NoError(t, conn.Send(`{"msg_type":"message"}`))
	require.NoError(t, conn.Send(`{"msg_type":"last"}`))
	select {
	case <-last:
	case <-w.ctx().Done():
		require.Fail(t, "the message behind it did not come")
	}
	errs := o.all()
	require.Len(t, errs, 1)
	var decode *wechatws.DecodeError
	require.ErrorAs(t, errs[0], &decode)
	var panicked *wechatws.PanicError
	require.ErrorAs(t, errs[0], &panicked)
	assert.Equal(t, "boom", panicked.Value)
	require.Eventually(t, func() bool { return h.Stats().Undecodable == 1 }, patience, tick)
	assert.Zero(t, h.Stats().GivenUp)
}

// That a message does not decode for one callback is reported once, when another one is done with it or
// gives it up.
func TestAMessageThatIsGivenUpIsReportedAsUndecodableAsWell(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	var o told
	h := w.handlers(fleet.WithAttempts(2))
	h.OnError(o.tell)
	fleet.On(h, "message", func(context.Context, fleet.Message, struct{ N int }) error { return nil })
	fleet.On(h, "message", func(context.Context, fleet.Message, any) error { return errors.New("always") })
	last := make(chan bool, 1)
	fleet.On(h, "last", func(context.Context, fleet.Message, any) error { last <- true; return nil })
	w.runHandlers(h)
	require.NoError(t, conn.Send(`{"msg_type":"message","n":"x"}`))
	require.NoError(t, conn.Send(`{"msg_type":"last"}`))
	<-last
	assert.EqualValues(t, 1, h.Stats().Undecodable)
	assert.EqualValues(t, 1, h.Stats().GivenUp)
	errs := o.all()
	require.Len(t, errs, 3)
	require.EqualError(t, errs[0], "always")
	var decode *wechatws.DecodeError
	require.ErrorAs(t, errs[1], &decode)
	require.EqualError(t, errs[2], "given up after 2 attempts: always")
}

// A DecodeError that a callback itself returns is an error like any other, and tried again.
func TestADecodeErrorOfACallbackIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	h := w.handlers(fleet.WithAttempts(2))
	attempts := make(chan int, 10)
	fleet.On(h, "message", func(_ context.Context, m fleet.Message, _ comment) error {
		attempts <- m.Attempt
		return &wechatws.DecodeError{Err: errors.New("of a file")}
	})
	last := make(chan bool, 1)
	fleet.On(h, "last", func(context.Context, fleet.Message, any) error { last <- true; return nil })
	w.runHandlers(h)
	require.NoError(t, conn.Send(`{"msg_type":"message"}`))
	require.NoError(t, conn.Send(`{"msg_type":"last"}`))
	<-last
	assert.Equal(t, 1, <-attempts)
	assert.Equal(t, 2, <-attempts)
	assert.EqualValues(t, 1, h.Stats().GivenUp)
}

// A message to a room that its client can never write is reported, counted and removed, and
// what is behind it is written. It is a dead letter, unless it was not stored by Send.
func TestAMessageThatCanNeverBeDeliveredHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		put  func(w *world) error
		told string
		sent bool
	}{
		"larger than the queue": {func(w *world) error {
			return w.fleet.Send(w.ctx(), "r0", wechatws.Text(`"`+strings.Repeat("x", 2000)+`"`))
		}, "message is too big: 2002 bytes of at most 1000", true},
		"a header that is no Match":        {matched(`{"type":7}`), "ConfirmedBy", true},
		"a Match that is null":             {matched(`null`), "ConfirmedBy: no type", true},
		"a Match without a type":           {matched(`{"fields":{"a":1}}`), "ConfirmedBy: no type", true},
		"a Match with something behind it": {matched(`{"type":"x"} {}`), "ConfirmedBy: there is more", true},
		"headers that are none": {func(w *world) error {
			const headers = "NATS/1.0\r\nno header\r\n\r\n"
			return w.raw(fmt.Sprintf("HPUB "+outOf("r0")+" %d %d\r\n%s\r\n", len(headers), len(headers), headers))
		}, "could not decode headers", false},
		"not UTF-8": {func(w *world) error {
			m := nats.NewMsg(outOf("r0"))
			m.Header.Set("Fleet-To", "r0")
			m.Data = []byte("\xff")
			_, err := w.jetStream().PublishMsg(w.ctx(), m)
			return err
		}, "not valid UTF-8", true},
		"not stored by Send": {func(w *world) error {
			_, err := w.jetStream().Publish(w.ctx(), outOf("r0"), []byte("{}"))
			return err
		}, "not sent to this room by Send", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
			w.add(1)
			require.NoError(t, one.put(w))
			require.NoError(t, w.fleet.Send(w.ctx(), "r0", wechatws.Text("behind it")))
			errs := make(chan error, 10)
			a := w.workerReporting(func(room string, err error) {
				assert.Equal(t, "r0", room)
				errs <- err
			}, func(_ context.Context, r *fleet.Room) (*wechatws.Client, error) {
				return r.NewClient(r.Endpoint, wechatws.WithoutHeartbeat(), wechatws.WithoutLiveness(), wechatws.WithQueue(10, 1000, wechatws.QueueFail))
			}, fleet.WithWorkerName("a"))
			var err error
			conn := w.conn("r0")
			select {
			case err = <-errs:
			case <-w.ctx().Done():
				require.Fail(t, "the message is held for deliverable")
			}
			assert.Equal(t, "behind it", w.receive(conn))
			require.ErrorContains(t, err, "can never be delivered")
			require.ErrorContains(t, err, one.told)
			require.Eventually(t, func() bool { return a.Stats().Out == 1 }, patience, tick)
			s := a.Stats()
			assert.EqualValues(t, 1, s.Undeliverable)
			assert.EqualValues(t, 1, s.Errors)
			out := w.stream("wechatws-out")
			require.Eventually(t, func() bool {
				info, err := out.Info(w.ctx())
				return err == nil && info.State.Msgs == 0
			}, patience, tick, "both are out of the stream")
			dead := w.deadLetters()
			if !one.sent {
				assert.Empty(t, dead)
				return
			}
			require.Len(t, dead, 1)
			assert.Contains(t, dead[0].Reason, one.told)
			assert.Equal(t, "r0", dead[0].Room)
			assert.Empty(t, dead[0].Group)
			assert.Equal(t, "a", dead[0].Worker)
			assert.WithinDuration(t, time.Now(), dead[0].Received, patience)
		})
	}
}

// matched returns a function that writes a message to a room whose Match is as given.
func matched(match string) func(w *world) error {
	return func(w *world) error {
		m := nats.NewMsg(outOf("r0"))
		m.Header.Set("Fleet-To", "r0")
		m.Header.Set("Fleet-Match", match)
		m.Data = []byte("{}")
		_, err := w.jetStream().PublishMsg(w.ctx(), m)
		return err
	}
}

// jetStream is the NATS of a fleet that listens.
func (w *world) jetStream() jetstream.JetStream {
	w.Helper()
	nc, err := nats.Connect(w.fleet.URL())
	require.NoError(w, err)
	w.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(w, err)
	return js
}

func (w *world) stream(name string) jetstream.Stream {
	w.Helper()
	s, err := w.jetStream().Stream(w.ctx(), name)
	require.NoError(w, err)
	return s
}

// raw writes a command of the NATS protocol, and returns when NATS has processed it.
func (w *world) raw(text string) error {
	c, err := net.Dial("tcp", strings.TrimPrefix(w.fleet.URL(), "nats://"))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, `CONNECT {"headers":true}`+"\r\n"+text+"PING\r\n"); err != nil {
		return err
	}
	for answer, buffer := "", make([]byte, 1<<16); !strings.Contains(answer, "PONG\r\n"); {
		n, err := c.Read(buffer)
		if err != nil {
			return err
		}
		answer += string(buffer[:n])
		if strings.Contains(answer, "-ERR") {
			return errors.New(answer)
		}
	}
	return nil
}

// outOf returns the subject of messages to a room.
func outOf(room string) string {
	return "wechatws.out." + shardOf(room) + "." + room
}
