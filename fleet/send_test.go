package fleet_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/wstest"
)

func (w *world) receive(c *wstest.Conn) string {
	w.Helper()
	m, err := c.Receive(w.ctx())
	require.NoError(w, err)
	return m.Text()
}

// Messages wait while no worker holds the room, and come in order with any holder.
func TestSendsWaitAndKeepTheirOrder(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	for n := range 20 {
		require.NoError(t, w.fleet.Send(w.ctx(), "r0", n))
	}
	a := w.worker("a")
	conn := w.conn("r0")
	for n := range 20 {
		assert.Equal(t, fmt.Sprint(n), w.receive(conn))
	}
	a.stop()
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "later"))
	w.worker("b")
	conn = w.conn("r0")
	assert.Equal(t, `"later"`, w.receive(conn), "and nothing once more")
}

// A message with ConfirmedBy is sent on every connection until it is confirmed, and those behind it wait.
func TestConfirmedBy(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.worker("a", wechatws.WithTiers(wechatws.Tier{Delay: time.Millisecond}))
	const id = 9007199254740993 // a float64 cannot represent it
	confirm := fleet.ConfirmedBy(fleet.Match{Type: "echo", Fields: map[string]any{"id": int64(id), "ok": true}})
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "first", confirm))
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "second"))
	for range 3 {
		conn := w.conn("r0")
		assert.Equal(t, `"first"`, w.receive(conn))
		conn.Cut(wstest.RST)
	}
	conn := w.conn("r0")
	assert.Equal(t, `"first"`, w.receive(conn))
	for _, other := range []string{
		fmt.Sprintf(`{"msg_type":"other","id":%d,"ok":true}`, id),
		fmt.Sprintf(`{"msg_type":"echo","id":%d,"ok":true}`, id-1),
		fmt.Sprintf(`{"msg_type":"echo","id":%d}`, id),
		fmt.Sprintf(`{"msg_type":"echo","id":"%d","ok":true}`, id),
	} {
		require.NoError(t, conn.Send(other))
	}
	// All these have been looked at when they are in the stream.
	got := w.handle("g")
	for range 4 {
		got.next()
	}
	assert.Empty(t, w.waiting(conn))
	require.NoError(t, conn.Send(fmt.Sprintf(`{"more":[],"ok" : true,"id":%d,"msg_type":"echo"}`, id)))
	assert.Equal(t, `"second"`, w.receive(conn))
}

// waiting returns the messages of a connection that the test has not received.
func (w *world) waiting(c *wstest.Conn) []string {
	var list []string
	for _, m := range c.Received()[1:] {
		list = append(list, m.Text())
	}
	return list
}

// Text, Binary and Outbound are sent as they are.
func TestSendOfEncodedMessages(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	text, binary, outbound := wechatws.Text("ping"), wechatws.Binary{0, 255}, wechatws.Outbound{Binary: true, Data: []byte{1}}
	confirm := fleet.ConfirmedBy(fleet.Match{Type: "pong"})
	for _, one := range []struct {
		v      any
		data   string
		binary bool
	}{
		{text, "ping", false},
		{&text, "ping", false},
		{(*wechatws.Text)(nil), "null", false},
		{wechatws.Text(""), "", false},
		{wechatws.Text(` {"a" : "<"} `), ` {"a" : "<"} `, false},
		{binary, "\x00\xff", true},
		{&binary, "\x00\xff", true},
		{(*wechatws.Binary)(nil), "null", false},
		{outbound, "\x01", true},
		{&outbound, "\x01", true},
		{wechatws.Outbound{Data: []byte("ping")}, "ping", false},
		{(*wechatws.Outbound)(nil), "null", false},
	} {
		for _, options := range [][]fleet.SendOption{nil, {confirm}} {
			require.NoError(t, w.fleet.Send(w.ctx(), "r0", one.v, options...))
			m, err := conn.Receive(w.ctx())
			require.NoError(t, err)
			assert.Equal(t, one.data, string(m.Data), "%T", one.v)
			assert.Equal(t, one.binary, m.Binary, "%T", one.v)
			if options != nil {
				require.NoError(t, conn.Send(`{"msg_type":"pong"}`))
			}
		}
	}
}

func TestExpireAfter(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "late", fleet.ExpireAfter(time.Millisecond)))
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "in time", fleet.ExpireAfter(time.Hour)))
	time.Sleep(2 * time.Millisecond) // what it is about
	errs := make(chan error, 10)
	a := w.workerReporting(func(room string, err error) {
		assert.Equal(t, "r0", room)
		errs <- err
	}, quietly, fleet.WithWorkerName("a"))
	assert.Equal(t, `"in time"`, w.receive(w.conn("r0")))
	require.ErrorIs(t, <-errs, wechatws.ErrExpired)
	require.Eventually(t, func() bool { return a.Stats().Out == 1 }, patience, tick)
	assert.EqualValues(t, 1, a.Stats().Expired)

	// A message that is never confirmed expires as well.
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "unheard", fleet.ExpireAfter(200*time.Millisecond), fleet.ConfirmedBy(fleet.Match{Type: "echo"})))
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "behind it"))
	require.ErrorIs(t, <-errs, wechatws.ErrExpired)
	require.Eventually(t, func() bool { return a.Stats().Out == 2 }, patience, tick)
}

func TestMessageID(t *testing.T) {
	w := newWorld(t)
	w.add(2)
	w.worker("a")
	conns := map[string]*wstest.Conn{}
	for range 2 {
		c, err := w.srv.NextConn(w.ctx())
		require.NoError(t, err)
		conns[c.Request().URL.Query().Get("room")] = c
	}
	for range 3 {
		require.NoError(t, w.fleet.Send(w.ctx(), "r0", "once", fleet.MessageID("order 7")))
	}
	require.NoError(t, w.fleet.Send(w.ctx(), "r1", "another room", fleet.MessageID("order 7")))
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "another id", fleet.MessageID("order 8")))
	assert.Equal(t, `"once"`, w.receive(conns["r0"]))
	assert.Equal(t, `"another id"`, w.receive(conns["r0"]))
	assert.Equal(t, `"another room"`, w.receive(conns["r1"]))
}

func TestSendsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(1)
	confirmed := func(field any) fleet.SendOption {
		return fleet.ConfirmedBy(fleet.Match{Type: "x", Fields: map[string]any{"f": field}})
	}
	for _, one := range []struct {
		option, want string
		given        fleet.SendOption
	}{
		{"fleet.ConfirmedBy", "must have the type", fleet.ConfirmedBy(fleet.Match{})},
		{"fleet.ConfirmedBy", "unsupported type: func()", confirmed(func() {})},
		{"fleet.ConfirmedBy", "unsupported value: NaN", confirmed(math.NaN())},
		{"fleet.ConfirmedBy", "a bug", confirmed(unmarshalable{})},
		{"fleet.ConfirmedBy", "must be at most 32768 bytes as JSON", confirmed(strings.Repeat("x", 32<<10))},
		{"fleet.ExpireAfter", "longer than zero", fleet.ExpireAfter(0)},
		{"fleet.MessageID", "must be 1 to 1024 bytes", fleet.MessageID("")},
		{"fleet.MessageID", "must be 1 to 1024 bytes", fleet.MessageID(strings.Repeat("x", 1025))},
		{"fleet.Send", "must not be nil", nil},
	} {
		var wrong *wechatws.OptionError
		err := w.fleet.Send(w.ctx(), "r0", 1, one.given)
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, one.option, wrong.Option)
		assert.Contains(t, wrong.Want, one.want)
		assert.Less(t, len(err.Error()), 300)
	}
	for _, id := range []string{strings.Repeat("x", 1024), strings.Repeat("\xff", 1024)} {
		require.NoError(t, w.fleet.Send(w.ctx(), "r0", 1, fleet.MessageID(id), confirmed(strings.Repeat("x", 32000)), fleet.ExpireAfter(time.Nanosecond)))
	}
	var unsupported *json.UnsupportedTypeError
	require.ErrorAs(t, w.fleet.Send(w.ctx(), "r0", func() {}), &unsupported)
	require.ErrorIs(t, w.fleet.Send(w.ctx(), "r0", wechatws.Text("\xff")), wechatws.ErrNotUTF8)
	require.ErrorIs(t, w.fleet.Send(w.ctx(), "r0", &wechatws.Outbound{Data: []byte("\xff")}), wechatws.ErrNotUTF8)
	require.ErrorIs(t, w.fleet.Send(w.ctx(), "nowhere", 1), fleet.ErrNoRoom)
	require.Error(t, w.fleet.Send(w.ctx(), "r0", wechatws.Text(strings.Repeat("x", 9<<20))), "more than NATS takes")
	var panicked *wechatws.PanicError
	require.ErrorAs(t, w.fleet.Send(w.ctx(), "r0", unmarshalable{}), &panicked)
	require.NoError(t, w.fleet.Send(w.ctx(), "r0", "well", fleet.MessageID(""), fleet.MessageID("later")), "it replaces the earlier one's mistake")
	w.worker("a")
	assert.Equal(t, `"well"`, w.receive(w.conn("r0")))
}

// unmarshalable panics when it is encoded.
type unmarshalable struct{}

func (unmarshalable) MarshalJSON() ([]byte, error) { panic("a bug") }
