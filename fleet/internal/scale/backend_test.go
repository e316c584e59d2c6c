//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/wstest"
)

// A busy backend may read what arrived on two connections in another order.
func TestHeldTwiceIsJudgedByArrival(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	enter := func(worker string) *wstest.Conn {
		client, err := wechatws.New(fmt.Sprintf("%s/?room=r&worker=%s&fence=%d", s.URL(), worker, worker[0]), wechatws.WithoutReconnect())
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.CloseNow() })
		require.NoError(t, client.Connect(t.Context()))
		conn, err := s.NextConn(t.Context())
		require.NoError(t, err)
		return conn
	}
	a, b := enter("a"), enter("b")
	at := func(second int) wstest.Message { return wstest.Message{At: time.Unix(int64(second), 0)} }
	for _, tt := range []struct {
		name  string
		hear  func(*backend)
		twice int
		held  string
	}{
		{"handed over", func(o *backend) { o.hear(a, at(1)); o.hear(a, at(2)); o.hear(b, at(3)) }, 0, "b"},
		{"the last word read late", func(o *backend) { o.hear(a, at(1)); o.hear(b, at(3)); o.hear(a, at(2)) }, 0, "b"},
		{"all words read late", func(o *backend) { o.hear(b, at(3)); o.hear(a, at(1)); o.hear(a, at(2)); o.hear(b, at(4)) }, 0, "b"},
		{"a word too many", func(o *backend) { o.hear(a, at(1)); o.hear(b, at(3)); o.hear(a, at(4)) }, 1, "b"},
		{"a word too many after some that were read late", func(o *backend) { o.hear(b, at(3)); o.hear(a, at(1)); o.hear(a, at(4)) }, 1, "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newBackend()
			tt.hear(o)
			assert.Equal(t, tt.twice, o.look.Twice)
			assert.Equal(t, tt.held, o.look.Rooms["r"].Worker)
		})
	}
}
