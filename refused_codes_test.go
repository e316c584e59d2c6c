package wechatws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

const policy = int(wechatws.StatusPolicyViolation)

// refusedWith checks that err drops the message because of the code.
func refusedWith(t *testing.T, err error, code int, message string) {
	t.Helper()
	var de *wechatws.DroppedError
	require.ErrorAs(t, err, &de)
	require.ErrorIs(t, err, wechatws.ErrRefused)
	require.Equal(t, code == 1009, errors.Is(err, wechatws.ErrMessageTooBig))
	require.ErrorContains(t, err, fmt.Sprintf("refused by the peer with close code %v", wechatws.StatusCode(code)))
	require.True(t, strings.Join(outgoing(de.Messages), ",") == message)
}

// With each code that is about a message, the second refusal drops it, and the others are sent.
func TestAMessageRefusedWithAnyCodeIsDropped(t *testing.T) {
	for _, code := range []int{1003, 1007, 1009} {
		t.Run(fmt.Sprint("Send ", code), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				big := strings.Repeat("x", 1<<20)
				c.send(big, "1", "2")
				refused := w.refuseHalf(2, code)
				c.connect()
				refused()
				conn := w.conn()
				w.sleep(2 * time.Second)
				require.Equal(t, []string{"1", "2"}, received(conn))
				require.Len(t, c.errors(), 1)
				refusedWith(t, c.errors()[0], code, big)
				c.close()
			})
		})
		t.Run(fmt.Sprint("SendConfirmed ", code), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.refuse("7", code)
				c := w.client().connect()
				seven := c.confirm(t.Context(), 7)
				w.sleep(time.Millisecond)
				eight := c.confirm(t.Context(), 8)
				refusedWith(t, <-seven, code, "7")
				require.NoError(t, <-eight)
				require.Len(t, w.srv.Conns(), 3)
				require.Empty(t, c.errors(), "the caller has the error")
				c.close()
			})
		})
	}
}

// Request returns the cause at once: after the first refusal if the socket has taken the message,
// and after the second one if it was cut.
func TestARefusedRequestReturnsTheCause(t *testing.T) {
	for _, code := range []int{1003, 1007, policy, 1009} {
		t.Run(fmt.Sprint("written ", code), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.refuse("7", code)
				c := w.client(quiet()...).connect()
				_, err := c.Request(t.Context(), 7, isOfType("never"))
				require.Zero(t, w.since())
				require.ErrorIs(t, err, wechatws.ErrConnectionLost)
				var ce *wechatws.CloseError
				require.ErrorAs(t, err, &ce)
				require.EqualValues(t, code, ce.Code)
				c.close()
			})
		})
		t.Run(fmt.Sprint("cut ", code), func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				refused := w.refuseHalf(2, code)
				c := w.client(quiet()...).connect()
				big := strings.Repeat("x", 1<<20)
				result := make(chan error, 1)
				go func() {
					_, err := c.Request(t.Context(), wechatws.Text(big), isOfType("never"))
					result <- err
				}()
				refused()
				refusedWith(t, <-result, code, big)
				require.Less(t, w.since(), time.Minute)
				w.sleep(10 * time.Second)
				require.Empty(t, c.errors())
				c.close()
			})
		})
	}
}

// 1008 may be about the client. A message is dropped for it when otherwise the client would end,
// and the client goes on.
func TestAMessageRefusedWith1008IsDroppedWhenThatLasts(t *testing.T) {
	lasts := func(t *testing.T, w *world) {
		require.GreaterOrEqual(t, w.since(), 15*time.Minute)
		require.Less(t, w.since(), 15*time.Minute+2*450*time.Second)
	}
	t.Run("SendConfirmed", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.refuse("7", policy)
			c := w.client().connect()
			seven := c.confirm(t.Context(), 7)
			w.sleep(time.Millisecond)
			eight := c.confirm(t.Context(), 8)
			refusedWith(t, <-seven, policy, "7")
			lasts(t, w)
			require.NoError(t, <-eight)
			w.sleep(time.Hour)
			require.Equal(t, wechatws.StateOpen, c.State())
			require.Empty(t, c.errors())
			c.close()
		})
	})
	t.Run("Send", func(t *testing.T) {
		virtual(t, func(t *testing.T, w *world) {
			w.net.SetLatency(5 * time.Millisecond)
			c := w.client()
			big := strings.Repeat("x", 1<<20)
			w.srv.OnConn(func(conn *wstest.Conn) {
				if len(c.errors()) > 0 {
					return
				}
				conn.StopReading()
				w.sleep(2 * time.Second)
				_ = conn.Close(policy, "")
				w.sleep(100 * time.Millisecond)
				conn.Cut(wstest.RST)
			})
			c.send(big, "1", "2")
			c.connect()
			for len(c.errors()) == 0 && w.since() < time.Hour {
				w.sleep(time.Second)
			}
			lasts(t, w)
			w.sleep(450*time.Second + 10*time.Second)
			require.Len(t, c.errors(), 1)
			refusedWith(t, c.errors()[0], policy, big)
			conns := w.srv.Conns()
			require.Equal(t, []string{"1", "2"}, received(conns[len(conns)-1])[:2])
			c.close()
		})
	})
}

// A server that closes with 1008 because of something else makes the client lose nothing.
func TestNoMessageIsDroppedFor1008AboutTheClient(t *testing.T) {
	kick := func(conn *wstest.Conn) { _ = conn.Close(policy, "") }
	for name, server := range map[string]func(w *world){
		"after each 10 messages": func(w *world) {
			counts := map[*wstest.Conn]int{}
			w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
				if counts[conn]++; counts[conn] == 10 {
					kick(conn)
					return
				}
				_ = conn.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
			})
		},
		"after each message, for 14 minutes": func(w *world) {
			w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
				if w.since() < 14*time.Minute {
					kick(conn)
					return
				}
				_ = conn.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
			})
		},
		"when it likes": func(w *world) {
			w.net.SetLatency(300 * time.Millisecond)
			w.echo()
			w.srv.OnConn(func(conn *wstest.Conn) {
				time.AfterFunc(time.Duration(700+conn.ID()*1117%9000)*time.Millisecond, func() { kick(conn) })
			})
		},
		"when it has opened, for 14 minutes": func(w *world) {
			w.echo()
			w.srv.OnConn(func(conn *wstest.Conn) {
				if w.since() < 14*time.Minute {
					kick(conn)
				}
			})
		},
	} {
		for how, options := range map[string][]wechatws.Option{"": quiet(), ", heartbeats": nil} {
			t.Run(name+how, func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					server(w)
					c := w.client(options...).connect()
					for n := range 50 {
						require.NoError(t, <-c.confirm(t.Context(), n))
					}
					require.Empty(t, c.errors())
					require.Zero(t, c.Stats().Dropped)
					_ = c.CloseNow()
				})
			})
		}
	}
}

// Refusals of a message with 1008 that are not in a row are not added up.
func TestRefusalsWith1008CountInARow(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		const trial, before = 2 * time.Second, 500 * time.Millisecond
		ends := []time.Duration{trial, trial, before, 20 * time.Minute, trial, trial}
		w.srv.OnConn(func(conn *wstest.Conn) {
			if n := len(w.srv.Conns()); n <= len(ends) {
				time.AfterFunc(ends[n-1], func() { _ = conn.Close(policy, "") })
			}
		})
		c := w.client(quiet()...).connect()
		seven := c.confirm(t.Context(), 7, wechatws.ConfirmTimeout(time.Hour))
		w.sleep(30 * time.Minute)
		require.Len(t, w.srv.Conns(), len(ends)+1)
		require.Empty(t, seven)
		require.NoError(t, w.srv.Conns()[len(ends)].Send(`{"msg_type":"echo","echo":7}`))
		require.NoError(t, <-seven)
		c.close()
	})
}

// A connection that ends otherwise, and an outage of the server, do not continue the row.
func TestAnotherEndEndsARowOf1008(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.OnConn(func(conn *wstest.Conn) {
			switch n := len(w.srv.Conns()); {
			case n == 3:
				time.AfterFunc(2*time.Second, func() { w.srv.Stop(wstest.RST) })
			case n <= 5:
				time.AfterFunc(2*time.Second, func() { _ = conn.Close(policy, "") })
			}
		})
		c := w.client(quiet()...).connect()
		seven := c.confirm(t.Context(), 7)
		w.sleep(16 * time.Minute)
		w.srv.Start()
		w.sleep(40 * time.Minute)
		require.Len(t, w.srv.Conns(), 6)
		require.Empty(t, seven)
		_ = c.CloseNow()
	})
}

// When every message is refused with 1008 for good, the client ends, and no more than the first one
// is dropped before.
func TestAClientThatIsRefusedWith1008EndsAndHandsBack(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.refuse("", policy)
		c := w.client(quiet()...).connect()
		seven := c.confirm(t.Context(), 7)
		w.sleep(time.Millisecond)
		eight := c.confirm(t.Context(), 8)
		refusedWith(t, <-seven, policy, "7")
		require.ErrorIs(t, <-eight, wechatws.ErrClosed)
		require.Less(t, w.since(), time.Hour)
		require.Equal(t, wechatws.StateFailed, c.State())
	})
}

// A heartbeat that the peer refuses is reported, and no message is dropped for it, however short
// the interval is.
func TestARefusedHeartbeatIsReported(t *testing.T) {
	for _, code := range []int{1003, 1007, policy} {
		for _, interval := range []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second} {
			t.Run(fmt.Sprint(code, ", ", interval), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.net.SetLatency(20 * time.Millisecond)
					w.refuse("ping", code) // and confirms no message in time
					c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: interval}), wechatws.WithoutLiveness()).connect()
					ctx, cancel := context.WithCancel(t.Context())
					result := make(chan error, 1)
					go func() {
						_, err := c.SendConfirmed(ctx, 7, isOfType("never"))
						result <- err
					}()
					w.sleep(10 * time.Minute)
					for _, err := range c.errors() {
						require.ErrorContains(t, err, "of the first heartbeat", "and no message is dropped")
					}
					require.Empty(t, result)
					require.EqualError(t, c.lastClose().Err, fmt.Sprintf(
						"wechatws: peer closed the connection: close code %v: a heartbeat of 19 bytes was written last", wechatws.StatusCode(code)))
					require.Equal(t, c.Stats().Disconnects.Closed, len(c.ends()))
					w.sleep(time.Hour)
					require.Equal(t, wechatws.StateFailed, c.State(), "no connection is stable")
					require.ErrorIs(t, <-result, wechatws.ErrClosed)
					cancel()
				})
			})
		}
	}
}

// A heartbeat that is too big is not taken for the message that waits for its confirmation.
func TestAHeartbeatThatIsTooBigDropsNoMessage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		beat := strings.Repeat("beat", 100_000)
		w.refuse("beat")
		c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Message: wechatws.Text(beat)})).connect()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		_, err := c.SendConfirmed(ctx, 7, isOfType("never"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_ = c.CloseNow()
	})
}

// A message is also found next to heartbeats that follow each other closely.
func TestAMessageIsRefusedBetweenHeartbeats(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(200 * time.Millisecond)
		w.refuse("7", 1007)
		c := w.client(wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: 100 * time.Millisecond})).connect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		refusedWith(t, <-c.confirm(ctx, 7), 1007, "7")
		require.NoError(t, <-c.confirm(ctx, 8))
		for _, conn := range w.srv.Conns() {
			require.NotEmpty(t, received(conn))
		}
		c.close()
	})
}

// What is written on each connection and refused ends the client as a refusal of the client does.
// The queue waits, and none of it is dropped.
func TestARefusedLoginEndsTheClient(t *testing.T) {
	login := wechatws.WithLoginMessage(wechatws.Text("10001"))
	for _, code := range []int{1003, 1007, policy, 1009} {
		for name, tt := range map[string]struct {
			options []wechatws.Option
			setup   string
			want    string
		}{
			"login":           {[]wechatws.Option{login}, "", "only the login of 5 bytes was written"},
			"setup":           {nil, "2000002", "only 1 message of AfterConnect (7 bytes) was written"},
			"login and setup": {[]wechatws.Option{login}, "2000002", "only the login of 5 bytes and 1 message of AfterConnect (7 bytes) was written"},
		} {
			t.Run(fmt.Sprint(name, " ", code), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					w.net.SetLatency(5 * time.Millisecond)
					word := "10001"
					if tt.setup != "" {
						word = tt.setup
					}
					w.refuse(word, code)
					c := w.client(tt.options...)
					if tt.setup != "" {
						c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
							return o.Send(ctx, wechatws.Text(tt.setup))
						})
					}
					c.connect()
					w.sleep(time.Second)
					big := strings.Repeat("x", 1<<20)
					c.send(big, "1")
					for c.State() != wechatws.StateFailed && w.since() < time.Hour {
						w.sleep(time.Second)
					}
					require.GreaterOrEqual(t, w.since(), 15*time.Minute)
					require.Less(t, w.since(), 15*time.Minute+450*time.Second)
					require.LessOrEqual(t, c.Stats().Attempts, 53, "by the schedule")
					require.EqualError(t, c.lastChange().Err, fmt.Sprintf(
						"wechatws: peer closed the connection: close code %v: %s", wechatws.StatusCode(code), tt.want))
					require.Empty(t, c.errors())
					var left *wechatws.UndeliveredError
					require.ErrorAs(t, c.Close(wechatws.StatusNormalClosure, ""), &left)
					require.Len(t, left.Messages, 2)
				})
			})
		}
	}
}

// In an AfterConnect function that waits for an answer the refusal is one of the attempt, and before
// the first open it is permanent the third time.
func TestALoginRefusedDuringSetup(t *testing.T) {
	for _, code := range []int{1003, 1007, policy, 1009} {
		virtual(t, func(t *testing.T, w *world) {
			w.refuse("10001", code)
			c := w.client(append(quiet(), wechatws.WithLoginMessage(wechatws.Text("10001")))...)
			c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
				_, err := o.Receive(ctx)
				return err
			})
			require.EqualError(t, c.Connect(t.Context()), fmt.Sprintf(
				"wechatws: setup: peer closed the connection: close code %v: only the login of 5 bytes was written", wechatws.StatusCode(code)))
			require.Equal(t, 3, c.Stats().Attempts)
		})
	}
}

// A login, or a message of AfterConnect, that the peer refuses while it is being written.
func TestALoginIsRefusedWhileItIsWritten(t *testing.T) {
	big := wechatws.Text(strings.Repeat("x", 1<<20))
	for name, tt := range map[string]struct {
		options []wechatws.Option
		want    string
	}{
		"login": {[]wechatws.Option{wechatws.WithLoginMessage(big)}, "only the login of 1048576 bytes was written"},
		"setup": {nil, "only 1 message of AfterConnect (1048576 bytes) was written"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				w.net.SetLatency(5 * time.Millisecond)
				w.srv.OnConn(func(conn *wstest.Conn) {
					conn.StopReading()
					w.sleep(time.Second)
					_ = conn.Close(1009, "")
					w.sleep(100 * time.Millisecond)
					conn.Cut(wstest.RST)
				})
				c := w.client(append(quiet(), tt.options...)...)
				if name == "setup" {
					c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error { return o.Send(ctx, big) })
				}
				require.EqualError(t, c.Connect(t.Context()), fmt.Sprintf(
					"wechatws: %s: peer closed the connection: close code 1009 (message too big): %s", name, tt.want))
				require.Equal(t, 3, c.Stats().Attempts)
			})
		})
	}
}
