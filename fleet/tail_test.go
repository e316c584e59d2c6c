package fleet_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

func TestTail(t *testing.T) {
	w := newWorld(t)
	w.add(2)
	w.worker("a")
	for range 2 {
		conn, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
		room := conn.Request().URL.Query().Get("room")
		ctx, cancel := context.WithCancel(w.ctx())
		got := make(chan fleet.Message, 100)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for m, err := range w.fleet.Tail(ctx, room) {
				assert.NoError(t, err)
				select {
				case got <- m:
				case <-ctx.Done():
				}
			}
		}()
		// When Tail has begun is not known: it yields the messages that come from then on.
		var m fleet.Message
		for m.Room == "" {
			require.NoError(t, conn.Send(`{"msg_type":"hi"}`))
			select {
			case m = <-got:
			case <-w.srv.Conns()[0].Done():
				t.Fatal("the connection is lost")
			case <-time.After(tick):
			}
		}
		assert.Equal(t, room, m.Room)
		assert.Equal(t, "hi", m.Type)
		assert.Equal(t, "a", m.Worker)
		cancel()
		<-ended
	}
}

// Tail ends with an error when its Fleet is closed, as Watch does.
func TestTailEndsWithItsFleet(t *testing.T) {
	w := newWorldOf(t, fleet.WithListen("127.0.0.1:0", ""))
	f, err := fleet.Open(w.ctx(), fleet.WithNATS(w.fleet.URL()))
	require.NoError(t, err)
	ends := map[string]error{}
	var mu sync.Mutex
	var running sync.WaitGroup
	began := make(chan bool, 2)
	end := func(name string, err error) {
		mu.Lock()
		defer mu.Unlock()
		ends[name] = err
	}
	running.Go(func() {
		for _, err := range f.Tail(w.ctx(), "") {
			end("Tail", err)
			select {
			case began <- true:
			default:
			}
		}
	})
	running.Go(func() {
		for _, err := range f.Control().Watch(w.ctx()) {
			end("Watch", err)
		}
	})
	m := nats.NewMsg("wechatws.in.0.r.x")
	m.Header.Set("Fleet-Worker", "w")
	for there, js := false, w.jetStream(); !there; {
		_, err := js.PublishMsg(w.ctx(), m)
		require.NoError(t, err)
		select {
		case there = <-began:
		case <-time.After(tick):
		}
	}
	f.Close()
	running.Wait()
	require.ErrorIs(t, ends["Tail"], nats.ErrConnectionClosed)
	require.ErrorIs(t, ends["Watch"], nats.ErrConnectionClosed)
}
