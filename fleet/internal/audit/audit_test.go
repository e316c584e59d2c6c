package audit_test

import (
	"fmt"
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

// open is a connection under a fence.
func open(second, conn int, room, worker string, fence ...int) wstest.Event {
	if fence == nil {
		fence = []int{int(worker[0])} // b follows a
	}
	u, _ := url.Parse(fmt.Sprintf("/?room=%s&worker=%s&fence=%d", room, worker, fence[0]))
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

	oneFence := []wstest.Event{open(0, 1, "r", "a", 1), said(1, 1), open(2, 2, "r", "b", 1), said(3, 2), said(4, 1)}
	assert.Len(t, audit.Twice(audit.Holds(oneFence)), 1)

	heldAgain := []wstest.Event{open(0, 1, "r", "a", 1), said(1, 1), open(2, 2, "r", "a", 2), said(3, 2), said(4, 1)}
	assert.Len(t, audit.Twice(audit.Holds(heldAgain)), 1, "one worker, but its first hold was over")

	three := []wstest.Event{
		open(0, 1, "r", "a"), said(1, 1), open(2, 2, "r", "b"), said(3, 2), open(4, 3, "r", "c"), said(5, 3), said(6, 1),
	}
	assert.Len(t, audit.Twice(audit.Holds(three)), 2, "with each of the others")

	backwards := []wstest.Event{open(0, 1, "r", "b"), said(1, 1), gone(2, 1), open(3, 2, "r", "a"), said(4, 2)}
	assert.Len(t, audit.Twice(audit.Holds(backwards)), 1, "its hold was over before it began to speak")

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
		client, err := wechatws.New(fmt.Sprintf("%s/?room=r&worker=%s&fence=%d", s.URL(), worker, worker[0]), wechatws.WithoutHeartbeat(), wechatws.WithoutReconnect())
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

// A Judge gets messages in any order, and judges by the fence and the time of arrival of each.
func TestJudge(t *testing.T) {
	type message struct {
		fence  uint64
		second int
	}
	for _, tt := range []struct {
		name  string
		heard []message
		twice int
	}{
		{"handed over", []message{{1, 1}, {1, 2}, {7, 3}, {7, 4}}, 0},
		{"the last word read late", []message{{1, 1}, {7, 3}, {1, 2}, {7, 4}}, 0},
		{"all words read late", []message{{7, 3}, {1, 1}, {1, 2}, {7, 4}}, 0},
		{"a word too many", []message{{1, 1}, {7, 3}, {1, 4}}, 1},
		{"a word too many, read before", []message{{1, 1}, {1, 4}, {7, 3}}, 1},
		{"a word too many, read before the first one of the next", []message{{7, 5}, {1, 4}, {7, 3}}, 1},
		{"two words too many", []message{{7, 3}, {1, 4}, {1, 5}}, 2},
		{"of the one before the last", []message{{1, 1}, {2, 2}, {3, 3}, {1, 4}}, 1},
		{"at the same moment, in the order of reading", []message{{1, 1}, {2, 1}}, 0},
		{"a former holder begins when the next has ended", []message{{2, 1}, {1, 9}}, 1},
	} {
		var j audit.Judge
		twice := 0
		for _, m := range tt.heard {
			if j.Twice("r", fmt.Sprint("worker of ", m.fence), m.fence, at(m.second)) {
				twice++
			}
		}
		assert.Equal(t, tt.twice, twice, tt.name)
	}
	var j audit.Judge
	assert.False(t, j.Twice("r", "a", 1, at(1)))
	assert.False(t, j.Twice("r", "a", 1, at(0)))
	assert.False(t, j.Twice("q", "b", 1, at(2)), "another room")
	assert.True(t, j.Twice("r", "b", 1, at(3)), "two workers with one fence")
}
