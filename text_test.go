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
		{wechatws.StatusMandatoryExtension, "1010 (mandatory extension)"},
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
				State: wechatws.StateWaiting, Since: at, Attempt: 3, RetryAt: at.Add(3 * time.Second), Attempts: 9, Opens: 7,
				Disconnects: wechatws.Disconnects{Closed: 1, Lost: 2, HalfOpen: 3, Protocol: 4, Local: 5},
				LastError:   &wechatws.CloseError{Code: 4001, Reason: "s3cret", Remote: true}, LastErrorAt: at,
				MessagesIn: 10, BytesIn: 100, PartialAt: at, MessagesOut: 20, BytesOut: 200, Dropped: 30,
				Queued: 1, QueuedBytes: 11, MaxQueued: 111, Inbox: 2, MaxInbox: 22,
				RTT: 80 * time.Millisecond, SmoothedRTT: 81500 * time.Microsecond, MaxRTT: 2 * time.Second,
			},
			"it.state=waiting it.since=2026-11-29T05:20:00.000Z it.attempt=3 it.retry_at=2026-11-29T05:20:03.000Z it.attempts=9 it.opens=7 " +
				"it.disconnects.closed=1 it.disconnects.lost=2 it.disconnects.half_open=3 it.disconnects.protocol=4 it.disconnects.local=5 " +
				`it.last_error="wechatws: peer closed the connection: close code 4001" it.last_error_at=2026-11-29T05:20:00.000Z ` +
				"it.messages_in=10 it.bytes_in=100 it.partial_at=2026-11-29T05:20:00.000Z it.messages_out=20 it.bytes_out=200 it.dropped=30 " +
				"it.queued=1 it.queued_bytes=11 it.max_queued=111 it.inbox=2 it.max_inbox=22 it.rtt=80ms it.smoothed_rtt=81.5ms it.max_rtt=2s",
			`{"state":"waiting","since":"2026-11-29T05:20:00Z","attempt":3,"retry_at":"2026-11-29T05:20:03Z","attempts":9,"opens":7,` +
				`"disconnects":{"closed":1,"lost":2,"half_open":3,"protocol":4,"local":5},` +
				`"last_error":"wechatws: peer closed the connection: close code 4001","last_error_at":"2026-11-29T05:20:00Z",` +
				`"messages_in":10,"bytes_in":100,"partial_at":"2026-11-29T05:20:00Z","messages_out":20,"bytes_out":200,"dropped":30,` +
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
			},
			"it.connection=4 it.attempt=1 it.timings.start=2026-11-29T05:20:00.000Z it.timings.resolve=1ms it.timings.connect=2ms it.timings.handshake=3ms it.timings.total=6ms",
			`{"connection":4,"attempt":1,"timings":{"start":"2026-11-29T05:20:00Z","resolve":"1ms","connect":"2ms","handshake":"3ms","total":"6ms"}}`,
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
		State: wechatws.StateWaiting, Since: at, RetryAt: at, Attempts: 9, Disconnects: wechatws.Disconnects{HalfOpen: 3},
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

// The errors about On name it as the program does.
func TestOnIsNamedByItsType(t *testing.T) {
	c, err := wechatws.New("ws://server.test")
	require.NoError(t, err)
	wechatws.On(c, "", func(context.Context, any) {})
	wechatws.On(c, "", func(context.Context, error) {})
	wechatws.On(c, "", func(context.Context, stringer) {})
	wechatws.On(c, "", func(context.Context, map[string]any) {})
	wechatws.On(c, "", func(context.Context, *time.Time) {})
	wechatws.On(c, "", func(context.Context, box[int]) {})
	wechatws.On(c, "", func(context.Context, struct{ A any }) {})
	var names []string
	for line := range strings.Lines(c.Connect(t.Context()).Error()) {
		name, _, _ := strings.Cut(line, `(""): the message type must not be empty`)
		names = append(names, name)
	}
	require.Equal(t, []string{
		"wechatws: On[any]", "wechatws: On[error]", "wechatws: On[wechatws_test.stringer]", "wechatws: On[map[string]any]",
		"wechatws: On[*time.Time]", "wechatws: On[wechatws_test.box[int]]", "wechatws: On[struct { A any }]",
	}, names)
}

func TestWhatTracesReceiveHasOneForm(t *testing.T) {
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
