package wechatws_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

func TestRequest(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
			_ = c.Send(`{"msg_type":"noise"}`)
			_ = c.Send(`{"msg_type":"reply","to":` + m.Text() + `}`)
		})
		c := w.client(quiet()...).record()
		reply := func(to string) func(wechatws.Message) bool {
			return func(m wechatws.Message) bool {
				return m.Type == "reply" && strings.Contains(string(m.Data), to)
			}
		}
		inside := ""
		wechatws.On(c.Client, "go", func(ctx context.Context, _ wechatws.Message) {
			m, err := c.Request(ctx, "inside", reply("inside"))
			assert.NoError(t, err)
			inside = string(m.Data)
		})
		c.connect()
		m, err := c.Request(t.Context(), "outside", reply("outside"))
		require.NoError(t, err)
		assert.Equal(t, `{"msg_type":"reply","to":"outside"}`, string(m.Data))
		conn := w.conn()
		require.NoError(t, conn.Send(`{"msg_type":"go"}`))
		w.sleep(time.Second)
		assert.Equal(t, `{"msg_type":"reply","to":"inside"}`, inside, "also in a callback, which keeps the inbox busy")
		assert.Contains(t, c.texts(), inside, "callbacks get the answer too")

		_, err = c.Request(t.Context(), "x", nil)
		assert.EqualError(t, err, "wechatws: Request(nil): match must be a function")
		_, err = c.Request(t.Context(), func() {}, reply(""))
		assert.ErrorContains(t, err, "wechatws: cannot encode func()")
		c.close()
		_, err = c.Request(t.Context(), "x", reply(""))
		assert.ErrorIs(t, err, wechatws.ErrClosed)
	})
}

func TestRequestThatIsNotAnswered(t *testing.T) {
	never := func(wechatws.Message) bool { return false }
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Request(ctx, "x", never)
		assert.ErrorIs(t, err, context.DeadlineExceeded)

		result := make(chan error, 1)
		go func() { _, err := c.Request(t.Context(), "x", never); result <- err }()
		w.sleep(time.Second)
		w.conn().Cut(wstest.FIN)
		err = <-result
		assert.ErrorIs(t, err, wechatws.ErrConnectionLost)
		assert.EqualError(t, err, "wechatws: connection lost before the answer came: wechatws: peer closed the connection: close code 1006 (abnormal closure): EOF")

		// Without a connection a request waits in the queue, and is removed when its context
		// ends.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Request(ctx, "given up", never)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		go func() { _, err := c.Request(t.Context(), "patient", never); result <- err }()
		w.sleep(10 * time.Second)
		assert.Equal(t, []string{`"patient"`}, received(w.conn()))
		c.close()
		assert.ErrorIs(t, <-result, wechatws.ErrClosed)
	})
}

// A slow match function delays the reader, and does not count as silence of the peer.
func TestASlowMatch(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		conn := w.conn()
		n := 0
		result := make(chan error, 1)
		go func() {
			_, err := c.Request(t.Context(), "x", func(m wechatws.Message) bool {
				n++
				time.Sleep(time.Second)
				return m.Type == "reply"
			})
			result <- err
		}()
		w.sleep(0)
		for range 200 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		require.NoError(t, conn.Send(`{"msg_type":"reply"}`))
		require.NoError(t, <-result)
		assert.Equal(t, 201, n)
		assert.Equal(t, 1, c.Stats().Opens)
		assert.Equal(t, 201*time.Second, w.since())
		c.close()
	})
}

// The inbox is full before the request.
func TestRequestInACallbackWhenTheInboxIsFullAlready(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		other := w.client(quiet()...)
		w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) { _ = c.Send(`{"msg_type":"reply"}`) })
		isReply := func(m wechatws.Message) bool { return m.Type == "reply" }
		var err, otherErr error
		first := true
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if first {
				first = false
				time.Sleep(time.Second)
				_, err = c.Request(ctx, "x", isReply)
				_, otherErr = other.Request(context.Background(), "x", isReply)
			}
		})
		c.connect()
		conn := w.conn()
		other.connect()
		for range 3000 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		w.sleep(time.Minute)
		assert.ErrorIs(t, err, wechatws.ErrInboxFull)
		assert.NoError(t, otherErr, "another client has an inbox of its own")
		c.close()
		other.close()
	})
}

// An answer behind more messages than the inbox holds cannot be read before the callback
// returns: the request fails instead of blocking for ever.
func TestRequestInACallbackBehindAFullInbox(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		var err error
		first := true
		c.OnMessage(func(ctx context.Context, _ wechatws.Message) {
			if first {
				first = false
				_, err = c.Request(ctx, "x", func(m wechatws.Message) bool { return m.Type == "reply" })
			}
		})
		c.connect()
		conn := w.conn()
		for range 3000 {
			require.NoError(t, conn.Send(`{"msg_type":"flood"}`))
		}
		require.NoError(t, conn.Send(`{"msg_type":"reply"}`))
		w.sleep(time.Second)
		assert.ErrorIs(t, err, wechatws.ErrInboxFull)
		assert.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A fault in match fails that call only: the other requests that wait and the callbacks see
// the message, and the connection stays.
func TestFaultsInMatch(t *testing.T) {
	for _, fault := range faults {
		for name, call := range map[string]func(c *client, match func(wechatws.Message) bool) error{
			"Request": func(c *client, match func(wechatws.Message) bool) error {
				_, err := c.Request(c.t.Context(), "x", match)
				return err
			},
			"SendConfirmed": func(c *client, match func(wechatws.Message) bool) error {
				_, err := c.SendConfirmed(c.t.Context(), "x", match)
				return err
			},
		} {
			t.Run(name+", "+fault.name, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(quiet()...).record().connect()
					conn := w.conn()
					results := make(chan error, 4)
					for range 2 {
						go func() { results <- call(c, func(wechatws.Message) bool { fault.happen(); return true }) }()
						go func() {
							_, err := c.Request(t.Context(), "x", isOfType("answer"))
							results <- err
						}()
						w.sleep(0)
					}
					w.net.SetLatency(time.Millisecond) // they arrive together
					require.NoError(t, conn.Send(`{"msg_type":"first"}`))
					require.NoError(t, conn.Send(`{"msg_type":"answer"}`))
					if name == "SendConfirmed" { // the second one has waited for its turn
						w.sleep(time.Second)
						require.NoError(t, conn.Send(`{"msg_type":"last"}`))
					}
					failed := 0
					for range 4 {
						if err := <-results; err != nil {
							var pe *wechatws.PanicError
							require.ErrorAs(t, err, &pe)
							require.ErrorContains(t, err, fault.value)
							failed++
						}
					}
					require.Equal(t, 2, failed)
					w.sleep(time.Second)
					require.GreaterOrEqual(t, len(c.texts()), 2)
					require.Equal(t, []string{`{"msg_type":"first"}`, `{"msg_type":"answer"}`}, c.texts()[:2])
					require.Equal(t, 1, c.Stats().Opens)
					require.Empty(t, c.errors())
					c.close()
				})
			})
		}
	}
}

// match is not called any more once the call has returned, also if its context ends while
// match runs.
func TestMatchIsNotCalledAfterTheCallHasReturned(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			w.sleep(500 * time.Millisecond)
			_ = conn.Send(`{"msg_type":"answer"}`)
		}()
		running := false
		_, err := c.Request(ctx, "x", func(wechatws.Message) bool {
			running = true
			time.Sleep(time.Minute)
			running = false
			return true
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, running)
		require.Equal(t, time.Minute+500*time.Millisecond, w.since())
		c.close()
	})
}

// The data of a message is valid while match runs, and that of the answer for ever.
func TestAnAnswerMayBeRetained(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) { _ = conn.Send(string(m.Data)) })
		c := w.client(quiet()...).connect()
		var answers []wechatws.Message
		for n := range 100 {
			m, err := c.Request(t.Context(), n, func(m wechatws.Message) bool { return string(m.Data) == fmt.Sprint(n) })
			require.NoError(t, err)
			answers = append(answers, m)
		}
		for n, m := range answers {
			require.Equal(t, fmt.Sprint(n), string(m.Data))
		}
		require.Empty(t, c.errors(), "an answer that is no JSON object is no error")
		c.close()
	})
}

// As in JSON-RPC: events have a type, answers have an id.
func TestAnAnswerThatARequestHasTakenIsNoError(t *testing.T) {
	for name, answer := range map[string]func(*wstest.Conn, int) error{
		"JSON":       func(c *wstest.Conn, n int) error { return c.Send(fmt.Sprintf(`{"id":%d}`, n)) },
		"other text": func(c *wstest.Conn, n int) error { return c.Send(fmt.Sprintf("id %d", n)) },
		"binary":     func(c *wstest.Conn, n int) error { return c.SendBinary(fmt.Appendf(nil, "id %d", n)) },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				wechatws.On(c.Client, "event", func(context.Context, wechatws.Message) {})
				c.connect()
				conn := w.conn()
				is := func(n int) func(wechatws.Message) bool {
					return func(m wechatws.Message) bool { return slices.Contains(m.Data, byte('0'+n)) }
				}
				errs := make(chan error, 5)
				for n := range 3 { // each of them is shown all answers
					go func() { _, err := c.Request(t.Context(), n, is(n)); errs <- err }()
				}
				go func() { _, err := c.SendConfirmed(t.Context(), 3, is(3)); errs <- err }()
				go func() { // there is no answer
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					_, err := c.Request(ctx, 9, is(9))
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					errs <- nil
				}()
				w.sleep(0)
				for _, n := range []int{2, 0, 3, 1} {
					require.NoError(t, answer(conn, n))
					w.sleep(0)
				}
				w.sleep(time.Hour)
				for range 5 {
					assert.NoError(t, <-errs)
				}
				assert.Empty(t, c.errors())
				c.close()
			})
		})
	}
}

// A request that is waiting does not hide what no request takes.
func TestAMessageThatNoRequestTakesIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...).connect()
		conn := w.conn()
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		for range 2 {
			go func() {
				_, _ = c.Request(ctx, "x", func(wechatws.Message) bool { calls++; return false })
			}()
		}
		w.sleep(0)
		for i := 1; i <= 3; i++ {
			require.NoError(t, conn.Send(fmt.Sprintf(`{"id":%d}`, i)))
		}
		w.sleep(0)
		assert.Equal(t, 6, calls)
		require.Len(t, c.errors(), 3)
		for i, err := range c.errors() {
			var de *wechatws.DecodeError
			require.ErrorAs(t, err, &de)
			assert.ErrorIs(t, err, wechatws.ErrNoType)
			assert.Equal(t, fmt.Sprintf(`{"id":%d}`, i+1), string(de.Data))
		}
		cancel()
		w.sleep(0)
		c.close()
	})
}
