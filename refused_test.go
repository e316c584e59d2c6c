package wechatws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// refuse makes the server end a connection with 1009, or the code, when it has read a message
// that contains the word. It echoes numbers.
func (w *world) refuse(word string, code ...int) {
	code = append(code, int(wechatws.StatusMessageTooBig))
	w.srv.OnMessage(func(c *wstest.Conn, m wstest.Message) {
		if strings.Contains(m.Text(), word) {
			_ = c.Close(code[0], "not this one")
			return
		}
		_ = c.Send(fmt.Sprintf(`{"msg_type":"echo","echo":%s}`, m.Data))
	})
}

// refused returns what the client has dropped since the peer refuses it.
func (c *client) refused() (texts []string) {
	for _, err := range c.errors() {
		var de *wechatws.DroppedError
		require.ErrorAs(c.t, err, &de)
		require.ErrorIs(c.t, err, wechatws.ErrRefused)
		texts = append(texts, outgoing(de.Messages)...)
	}
	return texts
}

// refuseHalf has the server refuse each message that is larger than its buffers once it
// has the beginning of it, as servers do that look at the size in the header.
// It is called before the client connects, and returns how to wait until it has happened.
func (w *world) refuseHalf(conns int, code ...int) (wait func()) {
	code = append(code, int(wechatws.StatusMessageTooBig))
	w.net.SetLatency(5 * time.Millisecond) // it has stopped before anything arrives
	stopped := 0
	w.srv.OnConn(func(conn *wstest.Conn) {
		if stopped < conns {
			stopped++
			conn.StopReading()
		}
	})
	return func() {
		for range conns {
			conn := w.conn()
			w.sleep(10 * time.Second)
			_ = conn.Close(code[0], "not this one")
			w.sleep(time.Second)
			conn.Cut(wstest.RST)
		}
	}
}

func TestAMessageThatThePeerRefusesIsDroppedAndTheOthersAreSent(t *testing.T) {
	for name, options := range map[string][]wechatws.SendOption{"Send": nil, "EncodeOnWrite": {wechatws.EncodeOnWrite()}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(quiet()...)
				big := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
				require.NoError(t, c.Send(t.Context(), big, options...))
				c.send("1", "2", "3")
				refused := w.refuseHalf(2)
				c.connect()
				refused()
				conn := w.conn()
				w.sleep(time.Second)
				require.Len(t, received(conn), 3)
				require.Equal(t, []string{"1", "2", "3"}, received(conn))
				require.Equal(t, []string{string(big)}, c.refused())
				require.EqualError(t, c.errors()[0], "wechatws: 1 message dropped: refused by the peer with close code 1009 (message too big)")
				require.ErrorIs(t, c.errors()[0], wechatws.ErrMessageTooBig)
				require.EqualValues(t, 1, c.Stats().Dropped)
				c.close()
			})
		})
	}
}

// A message that was cut when the peer refused another one, or that is as large, is
// written.
func TestMessagesNextToARefusedOneAreNotDropped(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		a, b := "a"+strings.Repeat("x", 1<<20), "b"+strings.Repeat("x", 1<<20)
		for refusals, want := range [][]string{1: {a, b, "3"}, 2: {b, "3"}} {
			if refusals == 0 {
				continue
			}
			c := w.client(quiet()...)
			c.send(a, b, "3")
			refused := w.refuseHalf(refusals)
			c.connect()
			refused()
			conn := w.conn()
			w.sleep(10 * time.Second)
			require.True(t, slices.Equal(want, received(conn)))
			require.Len(t, c.refused(), refusals-1)
			c.close()
		}
	})
}

func TestAConfirmedMessageThatThePeerRefusesIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.refuse("7")
		c := w.client(quiet()...).connect()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		seven := c.confirm(ctx, 7)
		w.sleep(time.Millisecond)
		eight := c.confirm(t.Context(), 8)
		err := <-seven
		var de *wechatws.DroppedError
		require.ErrorAs(t, err, &de)
		require.ErrorIs(t, err, wechatws.ErrMessageTooBig)
		require.Equal(t, []string{"7"}, outgoing(de.Messages))
		require.NoError(t, <-eight)
		require.Len(t, w.srv.Conns(), 3)
		require.Empty(t, c.errors(), "the caller has the error")
		c.close()
	})
}

// While a message waits for its confirmation, others are refused again and again.
func TestAnUnconfirmedMessageIsNotDroppedForOthers(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.refuse("big")
		c := w.client(quiet()...).connect()
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		go func() {
			_, err := c.SendConfirmed(ctx, 7, func(wechatws.Message) bool { return false })
			done <- err
		}()
		for range 50 {
			w.sleep(5 * time.Second)
			c.send(`"big"`)
		}
		require.ErrorIs(t, <-done, context.DeadlineExceeded)
		require.Empty(t, c.errors())
		require.Greater(t, c.Stats().Opens, 10)
		c.close()
	})
}

// On a slow network a refusal takes longer than the time that is waited before the next
// message.
func TestAConfirmedMessageIsDroppedAlsoWhenItsRefusalIsSlow(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(600 * time.Millisecond)
		w.refuse("7")
		c := w.client(quiet()...).connect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		seven := c.confirm(ctx, 7)
		talking, quiet := context.WithCancel(ctx)
		talked := make(chan struct{})
		go func() {
			defer close(talked)
			for talking.Err() == nil {
				_ = c.Send(talking, wechatws.Text(`"hello"`))
				w.sleep(300 * time.Millisecond)
			}
		}()
		require.ErrorIs(t, <-seven, wechatws.ErrMessageTooBig)
		quiet()
		<-talked
		require.LessOrEqual(t, len(w.srv.Conns()), 3)
		_ = c.Close(wechatws.StatusNormalClosure, "")
	})
}

// A suspect delays other messages for no longer than one connection.
func TestASuspectDelaysTheQueueForOneConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(append(quiet(), wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))...)
		w.net.SetLatency(5 * time.Millisecond)
		conns := 0
		w.srv.OnConn(func(conn *wstest.Conn) {
			if conns++; conns == 1 {
				conn.StopReading()
				w.sleep(3 * time.Second)
				_ = conn.Close(int(wechatws.StatusMessageTooBig), "")
				conn.Cut(wstest.RST)
				return
			}
			time.AfterFunc(900*time.Millisecond, func() { conn.Cut(wstest.FIN) })
		})
		c.send(fmt.Sprintf("%0300000d", 1))
		for i := range 20 {
			c.send(fmt.Sprint("small", i))
		}
		c.connect()
		w.sleep(time.Minute)
		got := 0
		for _, conn := range w.srv.Conns() {
			got += len(received(conn))
		}
		require.Equal(t, 21, got)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// A suspect that was written in full, and not refused for some time, is cleared.
func TestADeliveredMessageIsNotDroppedForALaterRefusal(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		c.send("big" + strings.Repeat("x", 1<<20))
		refused := w.refuseHalf(1)
		c.connect()
		refused()
		conn := w.conn()
		w.sleep(time.Hour)
		require.Len(t, received(conn), 1)
		_ = conn.Close(int(wechatws.StatusMessageTooBig), "another one")
		w.sleep(10 * time.Second)
		require.Empty(t, c.errors())
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// A change of the network does not begin the quiet time before a suspect anew.
func TestARefusedMessageIsDroppedWhileTheNetworkChanges(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.refuse("7")
		network := newFakeNetwork(true)
		w.flap(network, flaps["another network"])
		c := w.client(wechatws.WithoutHeartbeat(), wechatws.WithNetworkMonitor(network)).connect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, <-c.confirm(ctx, 7), wechatws.ErrMessageTooBig)
		require.NoError(t, <-c.confirm(ctx, 8))
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// The refusal is behind more messages than the inbox holds.
func TestARefusalBehindAFullInbox(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(quiet()...)
		busy := true
		c.OnMessage(func(context.Context, wechatws.Message) {
			if busy {
				busy = false
				time.Sleep(time.Minute)
			}
		})
		big := "big" + strings.Repeat("x", 1<<20)
		c.send(big, "1", "2", "3")
		refused := w.refuseHalf(1)
		w.srv.OnMessage(func(conn *wstest.Conn, m wstest.Message) {
			if m.Text() == big {
				_ = conn.WriteRaw([]byte(strings.Repeat(frame(fin|1, `{"msg_type":"x"}`), 2000) + frame(fin|8, "\x03\xf1")))
			}
		})
		c.connect()
		refused()
		second := w.conn()
		w.sleep(30 * time.Second)
		require.Equal(t, 1, len(received(second)), "a refusal cannot be read")
		require.GreaterOrEqual(t, c.Stats().Inbox, 1024)
		w.sleep(time.Minute)
		require.Equal(t, []string{"1", "2", "3"}, received(w.conn()))
		require.True(t, slices.Equal([]string{big}, c.refused()))
		c.close()
	})
}

type resetBackOff struct{ reset func() }

func (resetBackOff) NextBackOff() time.Duration { return time.Second }
func (b resetBackOff) Reset()                   { b.reset() }

// QueueDropOldest drops a suspect between its failed write and the judgement of its
// connection.
func TestARefusedMessageIsDroppedOnce(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		var c *client
		resets := 0
		reset := func() {
			if resets++; resets == 3 { // of New, of the first connection, of the second
				for i := range 5 {
					_ = c.Send(context.Background(), wechatws.Text(fmt.Sprint("small", i)))
				}
			}
		}
		c = w.client(append(quiet(), wechatws.WithStableAfter(time.Millisecond), wechatws.WithQueue(3, 4<<20, wechatws.QueueDropOldest),
			wechatws.WithBackOff(func() backoff.BackOff { return resetBackOff{reset} }))...)
		c.send("big" + strings.Repeat("x", 1<<20))
		refused := w.refuseHalf(2)
		c.connect()
		refused()
		w.sleep(10 * time.Second)
		require.EqualValues(t, 3, c.Stats().Dropped)
		require.NoError(t, c.Close(wechatws.StatusNormalClosure, ""))
	})
}

// A Request returns what has become of its message, and OnError does not report it again.
func TestADroppedRequestIsNotReportedToOnError(t *testing.T) {
	for name, tt := range map[string]struct {
		giveUp  func(t *testing.T, w *world, c *client)
		text    string
		options []wechatws.SendOption
		want    error
	}{
		"expired": {
			text: "x", options: []wechatws.SendOption{wechatws.ExpireAfter(time.Second)}, want: wechatws.ErrExpired,
		},
		"expired, when room is made": {
			giveUp: func(t *testing.T, w *world, c *client) {
				time.Sleep(time.Second)
				c.send("2", "3")
			},
			text: "x", options: []wechatws.SendOption{wechatws.ExpireAfter(time.Second)}, want: wechatws.ErrExpired,
		},
		"dropped": {
			giveUp: func(t *testing.T, w *world, c *client) { c.send("2", "3") },
			text:   "x", want: wechatws.ErrQueueFull,
		},
		"refused": {
			giveUp: func(t *testing.T, w *world, c *client) {
				refused := w.refuseHalf(2)
				c.connect()
				refused()
			},
			text: strings.Repeat("x", 1<<20), want: wechatws.ErrMessageTooBig,
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				c := w.client(append(quiet(), wechatws.WithQueue(2, 4<<20, wechatws.QueueDropOldest))...).record()
				result := make(chan error, 1)
				go func() {
					_, err := c.Request(t.Context(), wechatws.Text(tt.text), isOfType("never"), tt.options...)
					result <- err
				}()
				w.sleep(0)
				if tt.giveUp != nil {
					tt.giveUp(t, w, c)
				}
				require.ErrorIs(t, <-result, tt.want)
				w.sleep(10 * time.Second)
				require.Empty(t, c.errors())
				require.Zero(t, c.Stats().Dropped)
				_ = c.Close(wechatws.StatusNormalClosure, "")
			})
		})
	}
}
