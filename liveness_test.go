package wechatws_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
)

// every calls do at an interval until the test ends.
func (w *world) every(interval time.Duration, do func()) {
	ctx := w.Context()
	go func() {
		for ctx.Err() == nil {
			do()
			select {
			case <-time.After(interval):
			case <-ctx.Done():
			}
		}
	}()
}

// A peer that sends and reads nothing is found: when it takes nothing of what waits for it, and
// without that when it answers no ping any more.
func TestAPeerThatSendsAndReadsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		send  int // bytes that the client sends each second
		own   bool
		after time.Duration
	}{
		"much is sent to it":                {20_000, false, 20 * time.Second},
		"little is sent to it":              {1000, false, 80 * time.Second},
		"nothing is sent to it":             {0, false, 64 * time.Second},
		"much, over a user's connection":    {20_000, true, 20 * time.Second},
		"nothing, over a user's connection": {0, true, 70 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, w *world) {
				var options []wechatws.Option
				if tt.own {
					options = append(options, wechatws.WithDialer(ownDialer{w.net}))
				}
				c := w.client(options...).connect()
				conn := w.conn()
				for range 10 { // what arrived before a ping is not ahead of its pong
					require.NoError(t, conn.Send(strings.Repeat("x", 500_000)))
				}
				w.every(time.Second, func() { _ = conn.Send(`{"msg_type":"chat"}`) })
				w.sleep(10 * time.Second)
				conn.StopReading()
				if tt.send > 0 {
					w.every(time.Second, func() { _ = c.Send(t.Context(), wechatws.Text(strings.Repeat("x", tt.send))) })
				}
				began := w.since()
				w.conn()
				assert.LessOrEqual(t, w.since()-began-3*time.Second, tt.after)
				assert.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
				_ = c.CloseNow()
			})
		})
	}
}

// It is found too if its answers have always come after the next ping was sent.
func TestAPeerThatAnswersLateAndThenReadsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		conn := w.conn()
		w.net.SetLatency(7 * time.Second)
		w.every(time.Second, func() { _ = conn.Send(`{"msg_type":"chat"}`) })
		w.sleep(5 * time.Minute)
		require.Empty(t, c.ends(), "it answers")
		conn.StopReading()
		w.sleep(90 * time.Second)
		require.NotEmpty(t, c.ends())
		assert.ErrorIs(t, c.ends()[0].Err, wechatws.ErrHalfOpen)
		_ = c.CloseNow()
	})
}

// A client that is slow, so that its reader waits again and again for the callbacks, finds that peer
// too.
func TestAPeerThatFloodsAndReadsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		c.OnMessage(func(context.Context, wechatws.Message) { time.Sleep(100 * time.Millisecond) })
		c.connect()
		conn := w.conn()
		conn.StopReading()
		go func() {
			for conn.Send(strings.Repeat("x", 64<<10)) == nil {
			}
		}()
		w.every(time.Second, func() { _ = c.Send(t.Context(), wechatws.Text(strings.Repeat("x", 20_000))) })
		began := w.since()
		w.conn()
		assert.LessOrEqual(t, w.since()-began, time.Minute)
		w.sleep(10 * time.Minute) // the callbacks of what has arrived
		require.NotEmpty(t, c.ends())
		assert.ErrorIs(t, c.ends()[0].Err, wechatws.ErrHalfOpen)
		_ = c.CloseNow()
	})
}

// A large message takes its time on a connection of a user's, of which nothing is known but that the
// write blocks.
func TestASlowWriteToAUsersConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithDialer(ownDialer{w.net})).connect()
		conn := w.conn()
		w.every(time.Second, func() { _ = conn.Send(`{"msg_type":"chat"}`) })
		conn.StopReading()
		c.send(strings.Repeat("x", 200_000))
		w.sleep(30 * time.Second)
		conn.ResumeReading()
		w.sleep(time.Minute)
		require.Equal(t, 1, c.Stats().Opens)
		require.Equal(t, wechatws.StateOpen, c.State())
		c.close()
	})
}

// A large message of the peer's may be ahead of its pong for minutes on a slow link.
func TestAPongBehindALargeMessage(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		conn := w.conn()
		w.sleep(4 * time.Second)
		conn.IgnorePings(true)
		for range 450 {
			require.NoError(t, conn.Send(strings.Repeat("x", 9000)))
			w.sleep(time.Second)
		}
		require.Equal(t, wechatws.StateOpen, c.State())
		for range 200 { // no buffer is so large
			_ = conn.Send(strings.Repeat("x", 90_000))
			w.sleep(time.Second)
		}
		require.ErrorIs(t, c.lastClose().Err, wechatws.ErrHalfOpen)
		_ = c.CloseNow()
	})
}

// A server that has never answered a ping need not answer one while it sends.
func TestAServerThatAnswersNoPings(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client().connect()
		conn := w.conn()
		conn.IgnorePings(true)
		w.every(time.Second, func() { _ = conn.Send(`{"msg_type":"chat"}`) })
		w.sleep(time.Hour)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, c.Stats().Opens)
		c.close()
	})
}

// A server with one goroutine for a connection takes nothing while it waits for a client that does
// not read. That is not the server's fault.
func TestWhileTheInboxIsFullThePeerNeedNotRead(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		busy := true
		c.OnMessage(func(context.Context, wechatws.Message) {
			if busy {
				busy = false
				time.Sleep(5 * time.Minute)
			}
		})
		c.connect()
		conn := w.conn()
		conn.StopReading()
		go func() {
			for range 5000 {
				_ = conn.Send(`{"msg_type":"chat","pad":"` + strings.Repeat("x", 500) + `"}`)
			}
			conn.ResumeReading()
		}()
		w.sleep(time.Second)
		c.send(strings.Repeat("x", 1<<20))
		w.sleep(6 * time.Minute)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Equal(t, 1, c.Stats().Opens)
		require.Empty(t, c.ends())
		c.close()
	})
}

// A peer that takes a large message slowly is alive long before it can answer what is behind it:
// while the socket holds all of it, by what the peer acknowledges.
func TestASlowUploadIsNotSilence(t *testing.T) {
	const upload, rate = 120_000, 20_000
	for name, send := range map[string]func(ctx context.Context, c *wechatws.Client) error{
		"Send": func(ctx context.Context, c *wechatws.Client) error {
			return errors.Join(c.Send(ctx, wechatws.Text(strings.Repeat("x", upload))), c.Flush(ctx))
		},
		"SendConfirmed": func(ctx context.Context, c *wechatws.Client) error {
			_, err := c.SendConfirmed(ctx, wechatws.Text(strings.Repeat("x", upload)), isOfType("got"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			defer close(done)
			url := rawServer(t, func(c *net.TCPConn) {
				_ = c.SetReadBuffer(4 << 10)
				buffer := make([]byte, rate/10)
				for read := 0; read < upload; {
					n, err := io.ReadFull(c, buffer)
					if err != nil {
						return
					}
					read += n
					time.Sleep(100 * time.Millisecond)
				}
				_, _ = c.Write([]byte(frame(fin|1, `{"msg_type":"got"}`)))
				<-done
			})
			c, err := wechatws.New(url, wechatws.WithProxy(nil), wechatws.WithoutHeartbeat(), wechatws.WithoutReconnect(),
				wechatws.WithLiveness(wechatws.Liveness{Interval: time.Second, Timeout: 3 * time.Second}))
			require.NoError(t, err)
			got := make(chan struct{})
			wechatws.On(c, "got", func(context.Context, wechatws.Message) { close(got) })
			require.NoError(t, c.Connect(t.Context()))
			defer func() { _ = c.CloseNow(); <-c.Done() }()
			require.NoError(t, send(t.Context(), c))
			select {
			case <-got:
			case <-c.Done():
				t.Error("the connection has ended")
			}
		})
	}
}
