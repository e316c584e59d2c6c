package wechatws_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/transport/coder"
	"github.com/wechatws/wechatws/wstest"
)

// inLogs returns the lines of both of slog's handlers about v, without time and level.
func inLogs(v any) (text, object string) {
	var b, j bytes.Buffer
	short := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key != "it" {
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&b, short)).Info("", "it", v)
	slog.New(slog.NewJSONHandler(&j, short)).Info("", "it", v)
	return b.String(), j.String()
}

func TestEnumsHaveText(t *testing.T) {
	for _, tt := range []struct {
		v    encoding.TextMarshaler
		text string
	}{
		{wechatws.StateIdle, "idle"},
		{wechatws.StateConnecting, "connecting"},
		{wechatws.StateOpen, "open"},
		{wechatws.StateWaiting, "waiting"},
		{wechatws.StateOffline, "offline"},
		{wechatws.StateClosed, "closed"},
		{wechatws.StateFailed, "failed"},
		{wechatws.State(7), "State(7)"},
		{wechatws.State(-1), "State(-1)"},
		{wechatws.QueueFail, "fail"},
		{wechatws.QueueWait, "wait"},
		{wechatws.QueueDropOldest, "drop_oldest"},
		{wechatws.QueuePolicy(3), "QueuePolicy(3)"},
		{wechatws.StatusNormalClosure, "1000 (normal closure)"},
		{wechatws.StatusGoingAway, "1001 (going away)"},
		{wechatws.StatusProtocolError, "1002 (protocol error)"},
		{wechatws.StatusUnsupportedData, "1003 (unsupported data)"},
		{wechatws.StatusNoStatusRcvd, "1005 (no status received)"},
		{wechatws.StatusAbnormalClosure, "1006 (abnormal closure)"},
		{wechatws.StatusInvalidFramePayloadData, "1007 (invalid frame payload data)"},
		{wechatws.StatusPolicyViolation, "1008 (policy violation)"},
		{wechatws.StatusMessageTooBig, "1009 (message too big)"},
		{wechatws.StatusCode(1010), "1010"},
		{wechatws.StatusInternalError, "1011 (internal error)"},
		{wechatws.StatusServiceRestart, "1012 (service restart)"},
		{wechatws.StatusTryAgainLater, "1013 (try again later)"},
		{wechatws.StatusCode(4001), "4001"},
		{wechatws.StatusCode(0), "0"},
	} {
		require.Equal(t, tt.text, fmt.Sprint(tt.v))
		text, err := tt.v.MarshalText()
		require.NoError(t, err)
		require.Equal(t, tt.text, string(text))
	}
}

func TestStatesAndPoliciesAreReadFromText(t *testing.T) {
	for state := wechatws.StateIdle; state <= wechatws.StateFailed; state++ {
		b, err := json.Marshal(state)
		require.NoError(t, err)
		read := wechatws.State(-1)
		require.NoError(t, json.Unmarshal(b, &read))
		require.Equal(t, state, read)
	}
	for policy := wechatws.QueueFail; policy <= wechatws.QueueDropOldest; policy++ {
		b, err := json.Marshal(policy)
		require.NoError(t, err)
		read := wechatws.QueuePolicy(-1)
		require.NoError(t, json.Unmarshal(b, &read))
		require.Equal(t, policy, read)
	}
	state, policy := wechatws.StateOpen, wechatws.QueueWait
	require.EqualError(t, state.UnmarshalText([]byte("opne\n")), `wechatws: state "opne\n": must be idle, connecting, open, waiting, offline, closed or failed`)
	require.EqualError(t, policy.UnmarshalText([]byte("1")), `wechatws: queue policy "1": must be fail, wait or drop_oldest`)
	require.Equal(t, wechatws.StateOpen, state)
	require.Equal(t, wechatws.QueueWait, policy)
}

// A close code is searched for by its number.
func TestACloseCodeIsANumberInLogsAndJSON(t *testing.T) {
	text, object := inLogs(wechatws.StatusAbnormalClosure)
	require.Equal(t, "it=1006\n", text)
	require.Equal(t, `{"it":1006}`+"\n", object)
	b, err := json.Marshal(wechatws.StatusAbnormalClosure)
	require.NoError(t, err)
	require.Equal(t, "1006", string(b))
	var read wechatws.StatusCode
	require.NoError(t, json.Unmarshal(b, &read))
	require.Equal(t, wechatws.StatusAbnormalClosure, read)
}

// What a program gets from the client can be logged and encoded as it is, and holds no
// secrets then.
func TestRecordsInLogsAndJSON(t *testing.T) {
	at := time.Date(2026, 11, 29, 5, 20, 0, 0, time.UTC)
	for _, tt := range []struct {
		name         string
		v            any
		text, object string
	}{
		{"no stats", wechatws.Stats{}, "it.state=idle", `{"state":"idle"}`},
		{
			"stats",
			wechatws.Stats{
				State: wechatws.StateWaiting, Since: at, Attempt: 3, RetryAt: at.Add(3 * time.Second), AwaySince: at, Attempts: 9, Opens: 7,
				Disconnects: wechatws.Disconnects{Closed: 1, Lost: 2, HalfOpen: 3, Protocol: 4, Local: 5},
				LastError:   &wechatws.CloseError{Code: 4001, Reason: "s3cret", Remote: true}, LastErrorAt: at,
				MessagesIn: 10, BytesIn: 100, ReceivedAt: at, PartialAt: at, TakenAt: at, MessagesOut: 20, BytesOut: 200, Dropped: 30,
				Queued: 1, QueuedBytes: 11, MaxQueued: 111, Inbox: 2, MaxInbox: 22,
				RTT: 80 * time.Millisecond, SmoothedRTT: 81500 * time.Microsecond, MaxRTT: 2 * time.Second,
			},
			"it.state=waiting it.since=2026-11-29T05:20:00.000Z it.attempt=3 it.retry_at=2026-11-29T05:20:03.000Z it.away_since=2026-11-29T05:20:00.000Z it.attempts=9 it.opens=7 " +
				"it.disconnects.closed=1 it.disconnects.lost=2 it.disconnects.half_open=3 it.disconnects.protocol=4 it.disconnects.local=5 " +
				`it.last_error="wechatws: peer closed the connection: close code 4001" it.last_error_at=2026-11-29T05:20:00.000Z ` +
				"it.messages_in=10 it.bytes_in=100 it.received_at=2026-11-29T05:20:00.000Z it.partial_at=2026-11-29T05:20:00.000Z it.taken_at=2026-11-29T05:20:00.000Z it.messages_out=20 it.bytes_out=200 it.dropped=30 " +
				"it.queued=1 it.queued_bytes=11 it.max_queued=111 it.inbox=2 it.max_inbox=22 it.rtt=80ms it.smoothed_rtt=81.5ms it.max_rtt=2s",
			`{"state":"waiting","since":"2026-11-29T05:20:00Z","attempt":3,"retry_at":"2026-11-29T05:20:03Z","away_since":"2026-11-29T05:20:00Z","attempts":9,"opens":7,` +
				`"disconnects":{"closed":1,"lost":2,"half_open":3,"protocol":4,"local":5},` +
				`"last_error":"wechatws: peer closed the connection: close code 4001","last_error_at":"2026-11-29T05:20:00Z",` +
				`"messages_in":10,"bytes_in":100,"received_at":"2026-11-29T05:20:00Z","partial_at":"2026-11-29T05:20:00Z","taken_at":"2026-11-29T05:20:00Z","messages_out":20,"bytes_out":200,"dropped":30,` +
				`"queued":1,"queued_bytes":11,"max_queued":111,"inbox":2,"max_inbox":22,"rtt":"80ms","smoothed_rtt":"81.5ms","max_rtt":"2s"}`,
		},
		{"disconnects", wechatws.Disconnects{Lost: 1}, "it.lost=1", `{"lost":1}`},
		{
			"a change",
			wechatws.StateChange{From: wechatws.StateConnecting, To: wechatws.StateWaiting, At: at, Attempt: 2, RetryIn: 3 * time.Second, Err: errors.New("no")},
			"it.from=connecting it.to=waiting it.at=2026-11-29T05:20:00.000Z it.attempt=2 it.retry_in=3s it.err=no",
			`{"from":"connecting","to":"waiting","at":"2026-11-29T05:20:00Z","attempt":2,"retry_in":"3s","err":"no"}`,
		},
		{
			"another change",
			wechatws.StateChange{From: wechatws.StateIdle, To: wechatws.StateConnecting, At: at, Attempt: 1},
			"it.from=idle it.to=connecting it.at=2026-11-29T05:20:00.000Z it.attempt=1",
			`{"from":"idle","to":"connecting","at":"2026-11-29T05:20:00Z","attempt":1}`,
		},
		{
			"an open",
			wechatws.OpenEvent{
				Connection: 4, Attempt: 1, Header: http.Header{"Set-Cookie": {"s3cret"}}, Subprotocol: "s3cret",
				Timings: wechatws.Timings{Start: at, Resolve: time.Millisecond, Connect: 2 * time.Millisecond, Handshake: 3 * time.Millisecond, Total: 6 * time.Millisecond},
				URL:     "ws://server.test",
			},
			"it.connection=4 it.attempt=1 it.timings.start=2026-11-29T05:20:00.000Z it.timings.resolve=1ms it.timings.connect=2ms it.timings.handshake=3ms it.timings.total=6ms it.url=ws://server.test",
			`{"connection":4,"attempt":1,"timings":{"start":"2026-11-29T05:20:00Z","resolve":"1ms","connect":"2ms","handshake":"3ms","total":"6ms"},"url":"ws://server.test"}`,
		},
		{
			"a close",
			wechatws.CloseEvent{Connection: 4, Code: wechatws.StatusPolicyViolation, Reason: "s3cret", Remote: true, Err: &wechatws.CloseError{Code: 1008, Reason: "s3cret", Remote: true}},
			`it.connection=4 it.code=1008 it.remote=true it.err="wechatws: peer closed the connection: close code 1008 (policy violation)"`,
			`{"connection":4,"code":1008,"remote":true,"err":"wechatws: peer closed the connection: close code 1008 (policy violation)"}`,
		},
		{"an own close", wechatws.CloseEvent{Connection: 1, Code: 1000}, "it.connection=1 it.code=1000 it.remote=false", `{"connection":1,"code":1000,"remote":false}`},
		{
			"timings",
			wechatws.Timings{Start: at, TLS: 1500 * time.Microsecond, Total: time.Second},
			"it.start=2026-11-29T05:20:00.000Z it.tls=1.5ms it.total=1s",
			`{"start":"2026-11-29T05:20:00Z","tls":"1.5ms","total":"1s"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, object := inLogs(tt.v)
			require.Equal(t, tt.text+"\n", text)
			require.Equal(t, `{"it":`+tt.object+"}\n", object)
			b, err := json.Marshal(tt.v)
			require.NoError(t, err)
			require.Equal(t, tt.object, string(b))
		})
	}
}

func TestStatsAreReadFromJSON(t *testing.T) {
	at := time.Date(2026, 11, 29, 5, 20, 0, 1, time.UTC)
	in := wechatws.Stats{
		State: wechatws.StateWaiting, Since: at, RetryAt: at, AwaySince: at, Attempts: 9, Disconnects: wechatws.Disconnects{HalfOpen: 3},
		LastError: errors.New("no"), LastErrorAt: at, BytesIn: 1 << 60, RTT: 80 * time.Millisecond,
	}
	b, err := json.Marshal(in)
	require.NoError(t, err)
	var out wechatws.Stats
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"state":"opne"}`), &out), `state: wechatws: state "opne"`)
}

type box[T any] []T

type stringer interface{ String() string }

// The errors about On name its type as the program does.
func TestOnIsNamedByItsType(t *testing.T) {
	c, err := wechatws.New("ws://server.test")
	require.NoError(t, err)
	wechatws.On[any](c, "", nil)
	wechatws.On[error](c, "", nil)
	wechatws.On[stringer](c, "", nil)
	wechatws.On[map[string]any](c, "", nil)
	wechatws.On[*time.Time](c, "", nil)
	wechatws.On[box[int]](c, "", nil)
	wechatws.On[struct{ A any }](c, "", nil)
	var names []string
	for line := range strings.Lines(c.Connect(t.Context()).Error()) {
		name, _, _ := strings.Cut(line, `(nil): the callback must be a function`)
		names = append(names, name)
	}
	require.Equal(t, []string{
		"wechatws: On[any]", "wechatws: On[error]", "wechatws: On[wechatws_test.stringer]", "wechatws: On[map[string]any]",
		"wechatws: On[*time.Time]", "wechatws: On[wechatws_test.box[int]]", "wechatws: On[struct { A any }]",
	}, names)
}

func TestTraceValuesInLogsAndJSON(t *testing.T) {
	failed := errors.New("no route")
	for _, tt := range []struct {
		v            any
		text, object string
	}{
		{wechatws.Failure{Err: failed, Opened: true, Repeats: 3}, `it.err="no route" it.opened=true it.repeats=3 it.persistent=false it.fresh_endpoint=false`, `{"err":"no route","opened":true,"repeats":3,"persistent":false,"fresh_endpoint":false}`},
		{wechatws.DialInfo{Attempt: 2, Header: http.Header{"X-A": {"s3cret"}}, Err: failed}, `it.attempt=2 it.err="no route"`, `{"attempt":2,"err":"no route"}`},
		{wechatws.PingInfo{Connection: 3, RTT: 80 * time.Millisecond}, `it.connection=3 it.rtt=80ms`, `{"connection":3,"rtt":"80ms"}`},
		{wechatws.MessageInfo{Connection: 3, Type: "join", Size: 12, Waited: time.Millisecond, Took: time.Second}, `it.connection=3 it.type=join it.binary=false it.size=12 it.waited=1ms it.took=1s`, `{"connection":3,"type":"join","binary":false,"size":12,"waited":"1ms","took":"1s"}`},
		{wechatws.NetworkStatus{Connected: true, Type: "wifi"}, `it.connected=true it.type=wifi`, `{"connected":true,"type":"wifi"}`},
	} {
		text, object := inLogs(tt.v)
		require.Equal(t, tt.text+"\n", text)
		require.Equal(t, `{"it":`+tt.object+"}\n", object)
		b, err := json.Marshal(tt.v)
		require.NoError(t, err)
		require.Equal(t, tt.object, string(b))
	}
}

// A StateChange has the time of the change, also in a callback that runs late and in a Trace.
func TestStateChangesHaveTheTimeOfTheChange(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		type moved struct {
			at       time.Duration
			from, to wechatws.State
		}
		of := func(e wechatws.StateChange) moved { return moved{e.At.Sub(w.start), e.From, e.To} }
		var retries, changes []moved
		c := w.client(wechatws.WithTrace(wechatws.Trace{Retry: func(_ context.Context, e wechatws.StateChange) { retries = append(retries, of(e)) }}))
		c.OnStateChange(func(_ context.Context, e wechatws.StateChange) {
			if e.To == wechatws.StateConnecting {
				time.Sleep(time.Minute)
			}
			changes = append(changes, of(e))
		})
		w.srv.Answer(wstest.Delay(time.Second, wstest.Status(502, nil, "")), wstest.Delay(2*time.Second, wstest.Accept()))
		c.connect()
		require.Equal(t, 6*time.Second, c.Stats().Since.Sub(w.start))
		w.sleep(10 * time.Minute)
		c.close()
		require.Equal(t, []moved{{time.Second, wechatws.StateConnecting, wechatws.StateWaiting}}, retries)
		require.Equal(t, []moved{
			{0, wechatws.StateIdle, wechatws.StateConnecting},
			{time.Second, wechatws.StateConnecting, wechatws.StateWaiting},
			{4 * time.Second, wechatws.StateWaiting, wechatws.StateConnecting},
			{6 * time.Second, wechatws.StateConnecting, wechatws.StateOpen},
			{10*time.Minute + 6*time.Second, wechatws.StateOpen, wechatws.StateClosed},
		}, changes)
	})
}

func TestStatsCountWhyConnectionsEnded(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client(wechatws.WithStrict()).connect()
		first := c.Stats()
		require.WithinDuration(t, w.start, first.ReceivedAt, time.Millisecond)
		first.ReceivedAt = time.Time{}
		require.Equal(t, wechatws.Stats{State: wechatws.StateOpen, Since: w.start, Attempt: 1, Attempts: 1, Opens: 1}, first)

		number := 1
		for _, end := range []func(*wstest.Conn){
			func(conn *wstest.Conn) { _ = conn.Close(4001, "") },
			func(conn *wstest.Conn) { _ = conn.Close(1005, "") },
			func(conn *wstest.Conn) { conn.Cut(wstest.RST) },
			func(conn *wstest.Conn) { conn.Cut(wstest.FIN) },
			func(conn *wstest.Conn) { conn.Blackhole(true) },
			func(conn *wstest.Conn) { _ = conn.WriteRaw([]byte(frame(fin|rsv3|1, "x"))) },
			func(conn *wstest.Conn) { _ = conn.Send(strings.Repeat("x", 33<<20)) },
			func(*wstest.Conn) { _ = c.Reconnect() },
			func(*wstest.Conn) { _ = c.Disconnect(number, errors.New("no prices for a minute")) },
		} {
			end(w.conn())
			w.sleep(20 * time.Second)
			number++
		}
		s := c.Stats()
		require.Equal(t, wechatws.Disconnects{Closed: 2, Lost: 2, HalfOpen: 1, Protocol: 2, Local: 2}, s.Disconnects)
		require.Equal(t, 9, s.Disconnects.Total())
		require.Equal(t, 10, s.Attempts)
		require.Equal(t, 10, s.Opens)
		require.EqualError(t, s.LastError, "wechatws: connection ended: close code 1006 (abnormal closure): no prices for a minute")
		require.Equal(t, w.start.Add(8*20*time.Second), s.LastErrorAt)
		c.close()
		require.Equal(t, s.Disconnects, c.Stats().Disconnects, "Close is no drop")
		require.Equal(t, s.LastError, c.Stats().LastError)
	})
}

func TestStatsWhileWaiting(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		go func() { _ = c.Connect(t.Context()) }()
		w.sleep(4 * time.Second)
		s := c.Stats()
		require.Equal(t, wechatws.StateWaiting, s.State)
		require.Equal(t, w.start.Add(3*time.Second), s.Since)
		require.Equal(t, w.start.Add(6*time.Second), s.RetryAt)
		require.Equal(t, 2, s.Attempts)
		require.Zero(t, s.Opens)
		require.ErrorContains(t, s.LastError, "refused")
		w.srv.Start()
		w.sleep(2 * time.Second)
		require.Equal(t, wechatws.StateOpen, c.Stats().State)
		require.Zero(t, c.Stats().RetryAt)
		c.close()
	})
}

func TestStatsCountMessages(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(40 * time.Millisecond)
		c := w.client(append(quiet(), wechatws.WithQueue(3, 1000, wechatws.QueueDropOldest))...)
		c.send("12345", "12345", "12345", "12345", "12345")
		s := c.Stats()
		require.Equal(t, []int{3, 15, 3}, []int{s.Queued, s.QueuedBytes, s.MaxQueued})
		require.EqualValues(t, 2, s.Dropped)
		require.Zero(t, s.MessagesOut)

		release := make(chan struct{})
		wechatws.On(c.Client, "x", func(context.Context, wechatws.Message) { <-release })
		c.connect()
		c.flush()
		for range 7 {
			require.NoError(t, w.srv.Conns()[0].Send(`{"msg_type":"x"}`))
		}
		w.sleep(time.Second)
		s = c.Stats()
		require.Equal(t, []int{0, 0, 3}, []int{s.Queued, s.QueuedBytes, s.MaxQueued})
		require.Equal(t, []int64{3, 15}, []int64{s.MessagesOut, s.BytesOut})
		require.Equal(t, []int64{7, 7 * 16}, []int64{s.MessagesIn, s.BytesIn})
		require.Equal(t, []int{7, 7}, []int{s.Inbox, s.MaxInbox})
		close(release)
		w.sleep(0)
		require.Equal(t, []int{0, 7}, []int{c.Stats().Inbox, c.Stats().MaxInbox})
		c.close()
	})
}

func TestStatsKeepTheWorstRoundTrip(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.net.SetLatency(120 * time.Millisecond)
		c := w.client().connect()
		w.sleep(4 * time.Second)
		w.net.SetLatency(40 * time.Millisecond)
		w.sleep(3 * time.Second)
		s := c.Stats()
		require.Equal(t, 80*time.Millisecond, s.RTT)
		require.Equal(t, 220*time.Millisecond, s.SmoothedRTT)
		require.Equal(t, 240*time.Millisecond, s.MaxRTT)
		c.close()
	})
}

// The end of a context is no failure: it does not hide the one before it.
func TestLastErrorIsThatOfAnAttemptOrAConnection(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		w.srv.Stop(wstest.FIN)
		c := w.client()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		require.ErrorIs(t, c.Connect(ctx), context.DeadlineExceeded)
		s := c.Stats()
		require.ErrorContains(t, s.LastError, "refused")
		require.Equal(t, w.start.Add(3*time.Second), s.LastErrorAt)

		w.srv.Start()
		ctx, cancel = context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- c.Run(ctx) }()
		w.sleep(time.Second)
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		lost := c.Stats().LastError
		require.ErrorAs(t, lost, new(*wechatws.CloseError))
		cancel()
		require.NoError(t, <-over)
		require.Equal(t, lost, c.Stats().LastError)
	})
}

// trickle writes what is left of a frame in pieces, one a second, and returns when the
// piece before the last has been written.
func trickle(w *world, conn *wstest.Conn, frame string, pieces int) (last string) {
	w.Helper()
	size := len(frame)/pieces + 1
	for len(frame) > size {
		require.NoError(w, conn.WriteRaw([]byte(frame[:size])))
		frame = frame[size:]
		w.sleep(time.Second)
	}
	return frame
}

// Stats show a message while it arrives slowly, with and without the WebSocket library; a
// pong is not such a message.
func TestStatsShowAMessageThatIsArriving(t *testing.T) {
	for name, option := range map[string]func(*world) wechatws.Option{
		"by default":     func(w *world) wechatws.Option { return wechatws.WithNetDial(w.net.DialContext) },
		"over a library": func(*world) wechatws.Option { return wechatws.WithDialer(coder.Dialer{}) },
	} {
		for _, size := range []int{100, 10_000, 200_000} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				virtual(t, func(t *testing.T, w *world) {
					c := w.client(option(w)).record().connect()
					conn := w.conn()
					w.sleep(4 * time.Second) // a ping and its pong
					require.Equal(t, 1, conn.Pings())
					require.Zero(t, c.Stats().PartialAt)
					require.WithinDuration(t, w.start.Add(3*time.Second), c.Stats().ReceivedAt, time.Millisecond, "a pong has arrived")
					conn.IgnorePings(true) // a pong would be written into the frame
					for range 2 {
						last := trickle(w, conn, frame(fin|1, strings.Repeat("x", size)), 5)
						require.Equal(t, time.Now().Add(-time.Second), c.Stats().PartialAt)
						require.Equal(t, c.Stats().PartialAt, c.Stats().ReceivedAt)
						require.NoError(t, conn.WriteRaw([]byte(last)))
						w.sleep(0)
						require.Zero(t, c.Stats().PartialAt)
						require.Equal(t, time.Now(), c.Stats().ReceivedAt)
					}
					require.Len(t, c.messages, 2)
					trickle(w, conn, frame(fin|1, strings.Repeat("x", size)), 5)
					c.close()
					require.Zero(t, c.Stats().PartialAt, "it will never be complete")
					require.Zero(t, c.Stats().ReceivedAt)
				})
			})
		}
	}
}

func TestStatsShowAMessageThatIsArrivingDuringAfterConnect(t *testing.T) {
	virtual(t, func(t *testing.T, w *world) {
		c := w.client()
		c.AfterConnect(time.Minute, func(ctx context.Context, o *wechatws.Setup) error {
			_, err := o.Receive(ctx)
			return err
		})
		go func() { _ = c.Connect(t.Context()) }()
		conn := w.conn()
		require.Zero(t, c.Stats().PartialAt)
		last := trickle(w, conn, frame(fin|1, `{"msg_type":"welcome"}`), 5)
		require.Equal(t, time.Now().Add(-time.Second), c.Stats().PartialAt)
		require.NoError(t, conn.WriteRaw([]byte(last)))
		w.sleep(0)
		require.Equal(t, wechatws.StateOpen, c.State())
		require.Zero(t, c.Stats().PartialAt)
		c.close()
	})
}
