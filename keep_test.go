package wechatws_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// keep keeps texts under their first character.
func (c *client) keep(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		require.NoError(c.t, c.Keep(text[:1], wechatws.Text(text)))
	}
}

// What is kept is written on every connection, behind the setup and ahead of the queue, in the order
// of the first Keep of each key.
func TestKeep(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithLoginMessage(wechatws.Text("login")))...)
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			if o.Connection == 2 {
				c.keep("d1") // in the setup
			}
			time.Sleep(time.Second)
			return o.Send(ctx, wechatws.Text("setup"))
		})
		c.keep("a1", "b1")
		require.NoError(t, c.Keep("c", wechatws.Binary("c1")))
		c.keep("b2")
		c.send("queued")
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(2 * time.Second)
		first := w.conn()
		want := []string{"login", "setup", "a1", "b2", "c1", "queued"}
		require.Equal(t, want, received(first))
		require.True(t, first.Received()[4].Binary)

		for _, text := range []string{"a2", "e1", "a3"} { // open
			c.keep(text)
			w.sleep(0)
		}
		c.Forget("c")
		c.Forget("unknown")
		w.sleep(0)
		require.Equal(t, append(want, "a2", "e1", "a3"), received(first))

		first.Cut(wstest.FIN)
		w.sleep(time.Second)
		c.keep("e2") // not open
		c.Forget("b")
		w.sleep(2*time.Second + time.Second + time.Millisecond)
		require.Equal(t, []string{"login", "setup", "a3", "e2", "d1"}, received(w.conn()))
		require.Empty(t, c.errors())

		c.close()
		c.connect()
		w.sleep(0)
		require.Equal(t, []string{"login", "setup", "a3", "e2", "d1"}, received(w.conn()), "in the next session too")
		c.close()
	})
}

// A resumption says where to go on. Its second and third encodings fail.
type resumption struct{ calls *atomic.Int64 }

func (p resumption) MarshalJSON() ([]byte, error) {
	n := p.calls.Add(1)
	switch n {
	case 2:
		panic("not now")
	case 3:
		runtime.Goexit()
	}
	return fmt.Appendf(nil, `%d`, n), nil
}

// Keep encodes the message, and again for each connection. What was encoded before is sent if that
// fails.
func TestKeepEncodesForEachConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		require.ErrorContains(t, c.Keep("x", func() {}), "cannot encode")
		require.ErrorContains(t, c.Keep("x", wechatws.Text("\xff")), "UTF-8")
		p := resumption{new(atomic.Int64)}
		require.NoError(t, c.Keep("place", p))
		data := wechatws.Binary("data")
		require.NoError(t, c.Keep("data", data))
		copy(data, "lost")
		c.connect()
		for _, want := range []string{"1", "1", "4"} {
			w.sleep(0)
			conn := w.conn()
			require.Equal(t, []string{want, "data"}, received(conn))
			conn.Cut(wstest.FIN)
			w.sleep(3 * time.Second)
		}
		require.Len(t, c.errors(), 2)
		require.ErrorContains(t, c.errors()[0], "not now")
		require.NoError(t, c.Keep("place", p))
		w.sleep(0)
		require.Equal(t, []string{"5", "data", "6"}, received(w.conn()), "encoded by the call")
		c.close()
	})
}

// Messages that wait for the socket are sent once, with their last value; those that wait when the
// client closes are not handed back.
func TestKeepWhileTheSocketIsFull(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithDrainTimeout(time.Millisecond))...).connect()
		conn := w.conn()
		conn.StopReading()
		c.keep("a" + strings.Repeat("x", 1<<20))
		w.sleep(0)
		c.keep("b1", "c1", "b2")
		c.send("queued")
		c.Forget("c")
		w.sleep(time.Second)
		conn.ResumeReading()
		w.sleep(0)
		require.Equal(t, []string{"b2", "queued"}, received(conn)[1:])

		conn.StopReading()
		c.keep("a" + strings.Repeat("x", 1<<20))
		w.sleep(0)
		c.keep("d1")
		c.close()
	})
}

// A connection that is lost while kept messages are written costs none of them.
func TestKeepOnAConnectionThatIsLost(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const messages = 300
		var want []string
		c := w.client(quiet()...)
		for i := range messages { // of together 300 KiB
			text := fmt.Sprintf("%3d%s", i, strings.Repeat("x", 1<<10))
			want = append(want, text)
			require.NoError(t, c.Keep(fmt.Sprint(i), wechatws.Text(text)))
		}
		c.send("queued")
		w.srv.OnConn(func(conn *wstest.Conn) {
			if conn.ID() <= 2 {
				conn.StopReading()
				time.AfterFunc(time.Second, func() { conn.Cut(wstest.RST) })
			}
		})
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(time.Minute)
		conns := w.srv.Conns()
		got := received(conns[len(conns)-1])
		require.Equal(t, append(want, "queued"), got)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
		<-c.Done()
	})
}

// A peer that answers each message before it reads the next one blocks nothing.
func TestKeepWithAPeerThatAnswersEach(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const messages = 2000
		var answers atomic.Int64
		w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
			_ = conn.Send(`{"msg_type":"snapshot","of":"` + strings.Repeat("x", 4<<10) + `"}`)
		})
		c := w.client(quiet()...)
		c.OnMessage(func(context.Context, wechatws.Message) { answers.Add(1) })
		for i := range messages {
			require.NoError(t, c.Keep(fmt.Sprint(i), wechatws.Text(strings.Repeat("s", 200))))
		}
		c.connect()
		w.sleep(time.Minute)
		require.EqualValues(t, messages, answers.Load())
		require.EqualValues(t, 1, c.Stats().Opens)
		c.close()
	})
}

// None of 1,000 messages that are kept while connections come and go is missed, and none is sent
// twice, on any connection.
func TestEachKeptMessageIsSentOnceOnEachConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const messages, opens = 1000, 200
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))...)
		c.AfterConnect(time.Minute, func(context.Context, *wechatws.Setup) error { return nil })
		c.connect()
		var wg sync.WaitGroup
		var kept atomic.Int64
		for from := range 2 {
			wg.Go(func() {
				for i := from; i < messages; i += 2 {
					assert.NoError(t, c.Keep(fmt.Sprint(i), i))
					kept.Add(1)
					if i%5 < 2 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		for range opens {
			conn := w.conn()
			before := kept.Load() // on an older connection, or on this one
			w.sleep(time.Millisecond)
			got := received(conn)
			slices.Sort(got)
			require.Len(t, slices.Compact(slices.Clone(got)), len(got), "twice")
			require.GreaterOrEqual(t, int64(len(got)), before)
			conn.Cut(wstest.FIN)
		}
		wg.Wait()
		conn := w.conn()
		for conn != nil && len(conn.Received()) < messages {
			w.sleep(time.Second)
			last := w.srv.Conns()
			conn = last[len(last)-1]
		}
		got := received(conn)
		slices.Sort(got)
		require.Len(t, slices.Compact(got), messages)
		require.Len(t, conn.Received(), messages)
		c.close()
	})
}

// A kept message that the peer refuses is named by the error of the close, in setup and later, and
// ends the client as a refused login does; the queue is handed back.
func TestARefusedKeptMessageEndsTheClient(t *testing.T) {
	for name, busy := range map[string]bool{"quiet": false, "with a queue": true} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
					if m.Text() == "bad" {
						_ = conn.Close(int(wechatws.StatusPolicyViolation), "no")
					}
				})
				c := w.client(quiet()...).connect()
				w.sleep(time.Minute)
				require.NoError(t, c.Keep("bad", wechatws.Text("bad")))
				w.sleep(time.Millisecond)
				require.ErrorContains(t, c.lastClose().Err, "1 message of Keep (3 bytes)")
				if busy {
					c.send("written")
					w.sleep(10 * time.Second)
					c.send("1", "2")
				}
				w.sleep(time.Hour)
				require.Equal(t, wechatws.StateFailed, c.State())
				require.ErrorContains(t, c.lastChange().Err, "only 1 message of Keep (3 bytes) was written")
				err := c.Close(wechatws.StatusNormalClosure, "")
				<-c.Done()
				if undelivered := new(wechatws.UndeliveredError); busy {
					require.ErrorAs(t, err, &undelivered)
					require.Len(t, undelivered.Messages, 2)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}
