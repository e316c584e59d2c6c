package wechatws_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// heap returns the size of the heap in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// beats returns how many heartbeats the server has received.
func beats(c *wstest.Conn) (n int) {
	for _, text := range received(c) {
		if text == `{"msg_type":"ping"}` {
			n++
		}
	}
	return n
}

// A server that sends faster than callbacks run meets the bound of the inbox: most of its
// 100 MB wait on its side. The heartbeat goes on.
func TestAServerFasterThanTheCallbacks(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		release := make(chan struct{})
		handled := 0
		wechatws.On(c.Client, "x", func(context.Context, struct{}) { <-release; handled++ })
		c.connect()
		conn := w.conn()
		before := heap()
		const n = 300
		flooded := make(chan struct{})
		go func() {
			defer close(flooded)
			text := `{"msg_type":"x","pad":"` + strings.Repeat("x", 100<<10) + `"}`
			for range n {
				if conn.Send(text) != nil {
					return
				}
			}
		}()
		w.sleep(time.Minute)
		require.Less(t, c.Stats().Inbox, 60, "4 MiB and what was read last")
		require.Less(t, int64(heap())-int64(before), int64(8<<20))
		require.Equal(t, 20, beats(conn))
		require.Empty(t, c.closes)
		close(release)
		<-flooded
		w.sleep(time.Second)
		require.Equal(t, n, handled)
		c.close()
	})
}

// A producer that is faster than the network meets the queue's bound. The heartbeat
// does not queue up behind it, and goes on when the network does.
func TestAProducerFasterThanTheNetwork(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithoutLiveness()).connect()
		conn := w.conn()
		conn.StopReading()
		before := heap()
		text := strings.Repeat("x", 10<<10)
		accepted := 0
		for range 5000 { // 50 MB
			err := c.Send(t.Context(), wechatws.Text(text))
			if errors.Is(err, wechatws.ErrQueueFull) {
				w.sleep(time.Millisecond)
				continue
			}
			require.NoError(t, err)
			accepted++
		}
		require.Less(t, accepted, 600, "4 MiB, and what the socket's buffers hold")
		require.Less(t, int64(heap())-int64(before), int64(10<<20))
		require.Zero(t, beats(conn))
		conn.ResumeReading()
		c.flush()
		w.sleep(30 * time.Second)
		require.Equal(t, accepted, len(received(conn))-beats(conn))
		require.InDelta(t, 11, beats(conn), 1)
		c.close()
	})
}

// With QueueDropOldest, a peer that reads nothing for an hour costs no time and little memory:
// what is being written, at most 128 messages, one message beyond the bound, and the reports.
func TestDropOldestAndAPeerThatReadsNothing(t *testing.T) {
	for name, queue := range map[string]struct{ messages, size int }{
		"all are being written": {20, 3 << 10},
		"large messages":        {1000, 100 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithQueue(queue.messages, 1<<20, wechatws.QueueDropOldest))...)
				release := make(chan struct{})
				c.OnError(func(context.Context, error) { <-release })
				reported := 0
				c.OnError(func(_ context.Context, err error) {
					var de *wechatws.DroppedError
					require.ErrorAs(t, err, &de)
					reported += len(de.Messages) + de.More
				})
				c.AfterConnect(time.Minute, func(ctx context.Context, s *wechatws.Setup) error {
					return s.Send(ctx, wechatws.Text(make([]byte, 40<<10))) // fills the buffers
				})
				w.net.SetLatency(time.Millisecond)
				w.srv.OnConn(func(conn *wstest.Conn) { conn.StopReading() })
				c.send(slices.Repeat([]string{strings.Repeat("x", queue.size)}, 20)...)
				c.connect()
				w.sleep(time.Minute)
				before := heap()
				const n = 600
				for range n {
					now, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
					require.NoError(t, c.Send(now, wechatws.Text(make([]byte, queue.size))), "Send does not wait")
					cancel()
					require.LessOrEqual(t, c.Stats().Queued, max(queue.messages, 128+1))
					require.LessOrEqual(t, c.Stats().QueuedBytes, 1<<20+queue.size)
					w.sleep(6 * time.Second)
				}
				require.Less(t, int64(heap())-int64(before), int64(4<<20), "a callback blocks the reports")
				close(release)
				w.sleep(0)
				stats := c.Stats()
				require.EqualValues(t, n+20, stats.MessagesOut+int64(stats.Queued)+int64(reported), "each has one fate")
				_ = c.CloseNow()
			})
		})
	}
}

// A reader that waits for room in the inbox notices that its connection has ended.
func TestAFullInboxDoesNotDelayTheEndOfAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		release := make(chan struct{})
		c.OnMessage(func(context.Context, wechatws.Message) { <-release })
		c.connect()
		conn := w.conn()
		go func() {
			for conn.Send(`{"msg_type":"x"}`) == nil {
			}
		}()
		w.sleep(time.Minute)
		require.GreaterOrEqual(t, c.Stats().Inbox, 1024)
		require.NoError(t, c.Disconnect(1, errors.New("over")))
		w.sleep(time.Second)
		require.Equal(t, wechatws.StateWaiting, c.State())
		close(release)
		c.close()
	})
}

func isOfType(name string) func(wechatws.Message) bool {
	return func(m wechatws.Message) bool { return m.Type == name }
}

// The server has one goroutine per connection, as most have: it reads only after it has written. A Request
// that waits for room in the queue, or for its message to be written, must not keep the
// client from reading.
func TestRequestBehindAFullQueueDoesNotStopTheReader(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]wechatws.Option{
		"it waits for room": wechatws.WithQueue(16, 1<<20, wechatws.QueueWait),
		"there is no queue": wechatws.WithQueue(0, 0, wechatws.QueueFail),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(5 * time.Millisecond)
				chat := `{"msg_type":"chat","pad":"` + strings.Repeat("x", 2000) + `"}`
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) {
					for range 5 {
						_ = conn.Send(chat)
					}
				})
				c := w.client(queue)
				c.connect()
				conn := w.conn()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				say := map[string]string{"msg_type": "say", "pad": strings.Repeat("y", 4000)}
				for range 8 {
					go func() {
						for c.Send(ctx, say) == nil {
						}
					}()
				}
				w.sleep(50 * time.Millisecond)
				for range 4 {
					go func() { // in vain: the server answers no request
						_, _ = c.Request(ctx, say, isOfType("never"))
					}()
				}
				time.Sleep(500 * time.Millisecond)
				before := len(conn.Received())
				time.Sleep(500 * time.Millisecond)
				require.Greater(t, len(conn.Received()), before+100, "the server reads on")
				require.Equal(t, 1, c.Stats().Opens)
				cancel()
				_ = c.CloseNow()
			})
		})
	}
}

// A Request whose message is dropped does not wait for an answer.
func TestRequestEndsWhenItsMessageIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithQueue(2, 1<<20, wechatws.QueueDropOldest))...)
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), 1, isOfType("never"))
			result <- err
		}()
		w.sleep(0)
		c.send("2", "3")
		require.ErrorIs(t, <-result, wechatws.ErrQueueFull)
		require.Error(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// In a callback, Request and SendConfirmed wait for room in the queue, for the turn and for
// the answer. A full inbox ends each of these waits, since the reader is about to
// wait for the callback.
func TestAFullInboxEndsEveryWaitInsideACallback(t *testing.T) {
	for name, wait := range map[string]struct {
		before, inside func(ctx context.Context, c *client) error
	}{
		"SendConfirmed, for its turn": {
			before: func(ctx context.Context, c *client) error {
				_, err := c.SendConfirmed(ctx, "outer", isOfType("outer"))
				return err
			},
			inside: func(ctx context.Context, c *client) error {
				_, err := c.SendConfirmed(ctx, "inner", isOfType("inner"))
				return err
			},
		},
		"Request, for room in the queue": {
			before: func(_ context.Context, c *client) error {
				c.send(strings.Repeat("x", 900<<10), strings.Repeat("x", 900<<10))
				return nil
			},
			inside: func(ctx context.Context, c *client) error {
				_, err := c.Request(ctx, strings.Repeat("x", 900<<10), isOfType("inner"))
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithQueue(16, 2<<20, wechatws.QueueWait))...)
				inside, outside := make(chan error, 1), make(chan error, 1)
				wechatws.On(c.Client, "now", func(ctx context.Context, _ struct{}) { inside <- wait.inside(ctx, c) })
				handled := 0
				wechatws.On(c.Client, "chat", func(context.Context, struct{}) { handled++ })
				c.connect()
				conn := w.conn()
				conn.StopReading()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go func() { outside <- wait.before(ctx, c) }()
				w.sleep(time.Second)
				require.NoError(t, conn.Send(`{"msg_type":"now"}`))
				w.sleep(0) // the callback waits before the inbox is full
				go func() {
					for range 2000 {
						_ = conn.Send(`{"msg_type":"chat"}`)
					}
					_ = conn.Send(`{"msg_type":"outer"}`)
				}()
				w.sleep(time.Minute)
				select {
				case err := <-inside:
					require.ErrorIs(t, err, wechatws.ErrInboxFull)
				default:
					t.Errorf("a minute later the callback still waits, with %d messages behind it", c.Stats().Inbox)
				}
				require.Len(t, outside, 1, "what waits elsewhere gets its answer")
				require.Equal(t, 2000, handled)
				_ = c.CloseNow()
			})
		})
	}
}

// When the inbox was full, the reader goes on when half of it is free. Until then the inbox
// counts as full for a callback.
func TestTheInboxIsFullForAsLongAsTheReaderWaits(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *client) error{
		"Request": func(ctx context.Context, c *client) error {
			_, err := c.Request(ctx, "question", isOfType("answer"))
			return err
		},
		"SendConfirmed": func(ctx context.Context, c *client) error {
			_, err := c.SendConfirmed(ctx, "question", isOfType("answer"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				w.srv.OnMessage(func(conn *wstest.Conn, _ wstest.Message) { _ = conn.Send(`{"msg_type":"answer"}`) })
				begin, asked := make(chan struct{}), make(chan error, 1)
				n := 0
				wechatws.On(c.Client, "chat", func(ctx context.Context, _ struct{}) {
					switch n++; n {
					case 1:
						<-begin
					case 400: // more than half of the inbox is still there
						asked <- ask(ctx, c)
					}
				})
				c.connect()
				conn := w.conn()
				go func() {
					for range 2000 {
						_ = conn.Send(`{"msg_type":"chat"}`)
					}
				}()
				w.sleep(time.Second)
				close(begin)
				w.sleep(time.Minute)
				select {
				case err := <-asked:
					require.ErrorIs(t, err, wechatws.ErrInboxFull)
				default:
					t.Errorf("a minute later the callback still waits, with %d messages in the inbox", c.Stats().Inbox)
				}
				require.NoError(t, c.CloseNow())
			})
		})
	}
}
