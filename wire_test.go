package wechatws

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/wstest"
)

// wirePair is a live wire and the socket on its other side, which holds 64 KiB.
func wirePair(t *testing.T, test func(t *testing.T, w *wire, peer net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		l, err := n.Listen("peer.test:1")
		require.NoError(t, err)
		defer l.Close()
		accepted := make(chan net.Conn)
		go func() {
			c, _ := l.Accept()
			accepted <- c
		}()
		c, err := n.DialContext(t.Context(), "tcp", "peer.test:1")
		require.NoError(t, err)
		w, peer := newWire(c, nil), <-accepted
		w.goLive()
		test(t, w, peer)
		w.Close()
		peer.Close()
		w.finishers.Wait()
	})
}

// The library gives a control frame 5 s to be written and then ends the
// connection. On a slow one it must not come to that.
func TestAControlFrameDoesNotWaitForASlowSocket(t *testing.T) {
	wirePair(t, func(t *testing.T, w *wire, peer net.Conn) {
		filler := bytes.Repeat([]byte("x"), 64<<10)
		_, err := w.Write(filler)
		require.NoError(t, err)
		began := time.Now()
		for _, frame := range []string{"ping", "pong", "close"} {
			_, err = w.Write([]byte(frame))
			require.NoError(t, err)
		}
		assert.Equal(t, writeSlice, time.Since(began))
		w.cork()
		_, err = w.Write([]byte("message"))
		require.NoError(t, err)
		mark := w.mark()
		go func() {
			time.Sleep(time.Minute)
			got := make([]byte, len(filler)+len("pingpongclosemessage"))
			_, err := io.ReadFull(peer, got)
			assert.NoError(t, err)
			assert.Equal(t, "pingpongclosemessage", string(got[len(filler):]), "in order")
		}()
		taken, err := w.uncork()
		require.NoError(t, err)
		assert.Equal(t, mark, taken)
		assert.Equal(t, writeSlice+time.Minute, time.Since(began), "the message waits until it is taken")
		synctest.Wait()
	})
}

func TestTheWireTellsWhatTheSocketTook(t *testing.T) {
	wirePair(t, func(t *testing.T, w *wire, peer net.Conn) {
		w.cork()
		time.AfterFunc(time.Minute, func() { peer.Close() })
		for range 10 { // from the seventh on there is more than may be held back
			_, _ = w.Write(make([]byte, 10000))
		}
		assert.EqualValues(t, 70000, w.mark())
		taken, err := w.uncork()
		require.Error(t, err)
		assert.EqualValues(t, 64<<10, taken)
		_, err = w.Write([]byte("x"))
		assert.Error(t, err, "an error is final")
	})
}

// TLS sets a deadline of its own when it says good-bye.
func TestSomebodyElsesDeadlineEndsAWrite(t *testing.T) {
	wirePair(t, func(t *testing.T, w *wire, _ net.Conn) {
		w.cork()
		for range 6 {
			_, _ = w.Write(make([]byte, 10000))
		}
		_, _ = w.Write(make([]byte, 4000))
		began := time.Now()
		time.AfterFunc(2500*time.Millisecond, func() { _ = w.SetWriteDeadline(time.Now()) })
		_, _ = w.Write(make([]byte, 5000))
		_, err := w.uncork()
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, 2500*time.Millisecond, time.Since(began))
	})
}

// When a write fails, what the peer said last is the better cause.
func TestTheReaderHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wstest.NewNetwork()
		s := wstest.NewServer(wstest.WithNetwork(n))
		defer s.Close()
		c, err := New(s.URL(), WithProxy(nil), WithNetDial(n.DialContext))
		require.NoError(t, err)
		var closed []CloseEvent
		c.OnClose(func(_ context.Context, e CloseEvent) { closed = append(closed, e) })
		require.NoError(t, c.Connect(t.Context()))
		peer, err := s.NextConn(t.Context())
		require.NoError(t, err)
		n.SetLatency(100 * time.Millisecond)
		require.NoError(t, peer.WriteRaw([]byte("\x88\x08\x0f\xa1kicked"))) // close code 4001
		peer.Cut(wstest.FIN)
		require.NoError(t, c.Send(t.Context(), Text("into the void")))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, closed, 1)
		assert.Equal(t, StatusCode(4001), closed[0].Code)
		assert.Equal(t, "kicked", closed[0].Reason)
		require.Error(t, c.Close(StatusNormalClosure, ""), "the message is handed back")
	})
}

// The library answers a close frame and closes the connection at once. Should a message
// be written just then, the answer still goes out, and should the socket be stuck, the
// connection is closed all the same.
func TestCloseLeavesBehindWhatIsPending(t *testing.T) {
	wirePair(t, func(t *testing.T, w *wire, peer net.Conn) {
		w.cork()
		_, err := w.Write([]byte("message, answer"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		_, err = w.uncork()
		require.NoError(t, err)
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Equal(t, "message, answer", string(got))
	})
	wirePair(t, func(t *testing.T, w *wire, peer net.Conn) {
		go func() {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<10))
		}()
		synctest.Wait()
		_, err := w.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		failed := func() error {
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.err
		}
		time.Sleep(closeGrace - time.Nanosecond)
		require.NoError(t, failed())
		time.Sleep(time.Nanosecond)
		require.Error(t, failed())
	})
}
