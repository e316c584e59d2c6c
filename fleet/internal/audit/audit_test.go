package audit_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet/internal/audit"
	"github.com/wechatws/wechatws/wstest"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

func open(second, conn int, room, worker string) wstest.Event {
	u, _ := url.Parse("/?room=" + room + "&worker=" + worker)
	return wstest.Event{At: at(second), Kind: wstest.EventOpen, Conn: conn, Request: &http.Request{URL: u}}
}

func said(second, conn int) wstest.Event {
	return wstest.Event{At: at(second), Kind: wstest.EventMessage, Conn: conn}
}

func gone(second, conn int) wstest.Event {
	return wstest.Event{At: at(second), Kind: wstest.EventClosed, Conn: conn, Code: 1006}
}

func saidGoodBye(second, conn int) wstest.Event {
	return wstest.Event{At: at(second), Kind: wstest.EventClosed, Conn: conn, Code: 1000}
}

func TestTwice(t *testing.T) {
	handedOver := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), said(5, 1), gone(6, 1), open(7, 2, "r", "b"), said(8, 2)}
	holds := audit.Holds(handedOver)
	assert.Len(t, holds, 2)
	assert.Empty(t, audit.Twice(holds))
	assert.Empty(t, audit.TwoSockets(holds))

	stopped := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), said(5, 1), open(7, 2, "r", "b"), said(8, 2), gone(9, 1)}
	holds = audit.Holds(stopped)
	assert.Empty(t, audit.Twice(holds), "nothing was said on the first one any more")
	assert.Len(t, audit.TwoSockets(holds), 1)

	both := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), open(2, 2, "r", "b"), said(3, 2), said(4, 1)}
	assert.Len(t, audit.Twice(audit.Holds(both)), 1)

	lateGoodBye := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), open(2, 2, "r", "b"), said(3, 2), saidGoodBye(4, 1)}
	assert.Len(t, audit.Twice(audit.Holds(lateGoodBye)), 1, "a good-bye is a word, too")

	heldAgain := []wstest.Event{open(0, 1, "r", "a&fence=1"), said(1, 1), open(2, 2, "r", "a&fence=2"), said(3, 2), said(4, 1)}
	assert.Len(t, audit.Twice(audit.Holds(heldAgain)), 1, "one worker, but its first hold was over")

	three := []wstest.Event{
		open(0, 1, "r", "a"), said(1, 1), open(2, 2, "r", "b"), said(3, 2), open(4, 3, "r", "c"), said(5, 3), said(6, 1),
	}
	assert.Len(t, audit.Twice(audit.Holds(three)), 2, "with each of the others")

	reconnected := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), open(2, 2, "r", "a"), said(3, 2), said(4, 1)}
	assert.Empty(t, audit.Twice(audit.Holds(reconnected)), "the same worker")

	others := []wstest.Event{open(0, 1, "r", "a"), said(1, 1), open(0, 2, "q", "b"), said(1, 2), said(4, 1), said(4, 2)}
	assert.Empty(t, audit.Twice(audit.Holds(others)), "another room")
}

func TestGaps(t *testing.T) {
	holds := audit.Holds([]wstest.Event{
		open(0, 1, "r", "a"), said(1, 1), open(0, 2, "q", "a"), said(1, 2), open(0, 3, "p", "b"), said(1, 3),
		gone(10, 1), gone(10, 2), open(15, 4, "r", "b"), said(16, 4),
	})
	gaps, missing := audit.Gaps(holds, "a", at(10))
	assert.Equal(t, []time.Duration{6 * time.Second}, gaps)
	assert.Equal(t, 1, missing)
	assert.Equal(t, []time.Duration{6 * time.Second}, audit.Between(holds, at(10), at(20)))
	assert.Equal(t, 1, audit.Opened(holds, "b", at(10), at(20)))
}

func TestPercentile(t *testing.T) {
	assert.Zero(t, audit.Percentile(nil, 0.5))
	assert.Equal(t, time.Duration(2), audit.Percentile([]time.Duration{1, 2}, 0.99))
	assert.Equal(t, time.Duration(1), audit.Percentile([]time.Duration{1, 2, 3}, 0))
}

// A busy backend reads the last message of the former holder after the first one of the next.
func TestTwiceJudgesByArrival(t *testing.T) {
	s := wstest.NewServer()
	defer s.Close()
	enter := func(worker string) (*wechatws.Client, *wstest.Conn) {
		client, err := wechatws.New(s.URL()+"/?room=r&worker="+worker, wechatws.WithoutHeartbeat(), wechatws.WithoutReconnect())
		require.NoError(t, err)
		t.Cleanup(func() { _ = client.CloseNow() })
		require.NoError(t, client.Connect(t.Context()))
		conn, err := s.NextConn(t.Context())
		require.NoError(t, err)
		return client, conn
	}
	say := func(client *wechatws.Client) {
		require.NoError(t, client.Send(t.Context(), wechatws.Text(`{"msg_type":"message"}`)))
		require.NoError(t, client.Flush(t.Context()))
	}
	heard := func(conn *wstest.Conn) {
		_, err := conn.Receive(t.Context())
		require.NoError(t, err)
	}
	former, slow := enter("a")
	say(former)
	heard(slow)
	slow.StopReading()
	say(former)
	say(former)
	next, quick := enter("b")
	say(next)
	heard(quick)
	slow.ResumeReading()
	heard(slow)
	heard(slow)
	assert.Empty(t, audit.Twice(audit.Holds(s.Events())), "all of it had arrived before")
	say(former)
	heard(slow)
	assert.Len(t, audit.Twice(audit.Holds(s.Events())), 1)
}
