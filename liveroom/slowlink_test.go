package liveroom_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// A slowLink brings 8,000 bytes a second, that is 64 kbit/s, and everything in order.
type slowLink struct{ net.Conn }

func (c slowLink) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 800)])
	time.Sleep(100 * time.Millisecond)
	return n, err
}

func (w *world) bySlowLink() wechatws.Option {
	return wechatws.WithNetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := w.backend.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return slowLink{c}, nil
	})
}

// connectIn is enter for what would go on for ever if it failed.
func (v *visitor) connectIn(d time.Duration) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), d)
	defer cancel()
	require.NoError(v.t, v.Connect(ctx))
	require.NoError(v.t, v.Joined(ctx))
}

// 120 kB take 15 s, in which no echo can come.
func TestALongMessageOnASlowLinkIsNoSilence(t *testing.T) {
	for name, options := range map[string][]liveroom.Option{
		"EchoTimeout":    nil,
		"SilenceTimeout": {liveroom.WithEchoTimeout(0), liveroom.WithSilenceTimeout(10 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
				v := w.visitor(as("a", options...), w.bySlowLink()).enter()
				w.conn().IgnorePings(true) // its library waits 5 s for a pong to leave
				v.say("hello")
				w.sleep(2 * time.Second)
				w.backend.Say(roomID, "b", strings.Repeat("x", 120_000))
				for i := range 10 {
					if name == "EchoTimeout" {
						v.say(fmt.Sprint(i))
					}
					w.sleep(2 * time.Second)
				}
				require.Empty(t, v.ends())
				require.EqualValues(t, strings.Repeat("x", 120_000), v.comments[1].Content)
			})
		})
	}
}

// Nor does it hide that we are thrown out: what is still coming in ends.
func TestThrownOutBehindALongMessage(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"), w.bySlowLink(), wechatws.WithLiveness(wechatws.Liveness{Timeout: time.Minute})).enter()
		w.conn().IgnorePings(true)
		v.say("hello")
		w.sleep(2 * time.Second)
		w.backend.Say(roomID, "b", strings.Repeat("x", 120_000))
		w.backend.ThrowOut(roomID, "a")
		for range 12 {
			v.say("anybody there?")
			w.sleep(2 * time.Second)
		}
		require.Empty(t, v.ends(), "the first question after it is less than 10 s old")
		w.sleep(3 * time.Second)
		require.Len(t, v.ends(), 1)
		require.ErrorIs(t, v.ends()[0].Err, liveroom.ErrSilentRoom)
	})
}

// A history of 180 kB takes 23 s, and the timeout is 10 s.
func TestALongHistoryOnASlowLinkIsJoined(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		for range 20 {
			w.backend.Say(roomID, "b", strings.Repeat("好", 1500)) // six bytes each, as PHP writes them
		}
		v := w.visitor(as("a"), w.bySlowLink())
		began := time.Now()
		v.connectIn(5 * time.Minute)
		require.Greater(t, time.Since(began), 20*time.Second)
		require.Equal(t, 1, v.Stats().Attempts)
		require.Len(t, v.Snapshot().Comments, 20)
	})
}

// What comes before init may be long, too.
func TestALongMessageBeforeInit(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		w.backend.Server().OnConn(func(c *wstest.Conn) {
			_ = c.Send(`{"msg_type":"news","text":"` + strings.Repeat("x", 120_000) + `"}`)
			_ = c.Send(`{"msg_type":"init","client_id":"1"}`)
			_ = c.Send(`{"msg_type":"join"}`)
		})
		v := w.visitor(as("a"), w.bySlowLink())
		v.connectIn(5 * time.Minute)
		require.Equal(t, 1, v.Stats().Attempts)
	})
}

// The timeouts begin with the last byte of a message that is never complete, and a
// message that comes a byte a second does not keep the opening going for ever.
func TestAHistoryThatIsNeverComplete(t *testing.T) {
	const header = "\x81\x7f\x00\x00\x00\x00\x00\x0f\xff\xff" // of a text of nearly 1 MiB
	for _, tt := range []struct{ bytes, ends time.Duration }{
		{30, 40 * time.Second},
		{1000, 5*time.Minute + 20*time.Second},
	} {
		virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
			w.backend.Freeze(true)
			v := w.visitor(as("a"))
			go func() { _ = v.Connect(t.Context()) }()
			c := w.conn()
			_ = c.Send(`{"msg_type":"init","client_id":"1"}`)
			_, _ = c.Receive(t.Context())
			began := time.Now()
			require.NoError(t, c.WriteRaw([]byte(header)))
			for range tt.bytes {
				time.Sleep(time.Second)
				if c.WriteRaw([]byte("x")) != nil {
					break
				}
			}
			w.sleep(tt.ends - time.Since(began) + time.Second)
			require.Equal(t, wechatws.StateWaiting, v.lastChange().To)
			require.Equal(t, began.Add(tt.ends), v.lastChange().At)
		})
	}
}
