package liveroom_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func TestJoinsBeforeAnythingQueuedGoesOut(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("小明"))
		v.say("queued before the first connection")
		v.enter()
		first := w.conn()
		require.Equal(t, []string{
			`{"msg_type":"join","room_id":"9527","live_id":1,"from_uid":"u-小明","client_id":"7f0000010b5400000001","is_anchor":false,"from_name":"小明"}`,
			`{"msg_type":"message","room_id":"9527","live_id":1,"from_uid":"u-小明","client_id":"7f0000010b5400000001","from_name":"小明","content":"queued before the first connection"}`,
		}, sent(first))

		first.Cut(wstest.FIN)
		w.sleep(time.Second)
		require.False(t, v.Snapshot().Joined)
		v.say("queued in between")
		w.sleep(2*time.Second + 200*time.Millisecond)
		require.Equal(t, []string{
			`{"msg_type":"join","room_id":"9527","live_id":1,"from_uid":"u-小明","client_id":"7f0000010b5400000002","is_anchor":false,"from_name":"小明"}`,
			`{"msg_type":"message","room_id":"9527","live_id":1,"from_uid":"u-小明","client_id":"7f0000010b5400000002","from_name":"小明","content":"queued in between"}`,
		}, sent(w.conn()), "with the id of the connection that it goes out on, not of that when it was said")
		require.True(t, v.Snapshot().Joined)
		require.Equal(t, "7f0000010b5400000002", v.Snapshot().ClientID.String())
		v.leaveRoom()
		require.False(t, v.Snapshot().Joined)
	})
}

func TestSnapshotIsTheRoomAsThePageKeptIt(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		w.backend.Subscribe(roomID, "小红")
		w.backend.Say(roomID, "小红", "早/上 <b>好</b> 😀")
		v := w.visitor(as("小明"))
		require.Zero(t, v.Snapshot())
		v.enter()
		s := v.Snapshot()
		require.True(t, s.Joined)
		require.EqualValues(t, 1, s.Viewers)
		require.EqualValues(t, 1, s.Followers)
		require.Equal(t, []string{"小红: 早/上 <b>好</b> 😀"}, texts(s.Comments))
		require.Equal(t, "小明 进入直播间", s.Notices[0].Text)

		w.visitor(as("小刚")).enter()
		w.backend.Subscribe(roomID, "小刚")
		w.backend.Buy(roomID, "小刚", "茶")
		v.say("666")
		tea := liveroom.Goods{ID: liveroom.Num(7), Name: "茶", Price: liveroom.Str("9.90"), Image: "https://img.example.com/t.png"}
		require.NoError(t, v.PutOnShelf(t.Context(), tea))
		require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Str("8"), Name: "杯"}))
		w.sleep(time.Millisecond)
		s = v.Snapshot()
		require.EqualValues(t, 2, s.Viewers)
		require.EqualValues(t, 2, s.Followers)
		require.Equal(t, []string{"小红: 早/上 <b>好</b> 😀", "小明: 666"}, texts(s.Comments))
		require.True(t, s.Comments[1].Own)
		require.Equal(t, []string{"小明 进入直播间", "小刚 进入直播间", "小刚 关注了主播", "小刚 购买了 茶"}, notices(s))
		require.Equal(t, []liveroom.Goods{tea, {ID: liveroom.Str("8"), Name: "杯"}}, s.Goods)

		tea.Price = liveroom.Str("8.80")
		require.NoError(t, v.PutOnShelf(t.Context(), tea)) // again: changed in its place
		require.NoError(t, v.TakeOffShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(8)}))
		w.sleep(time.Millisecond)
		require.Equal(t, []liveroom.Goods{tea}, v.Snapshot().Goods)
		require.Equal(t, []string{"7f0000010b5400000001"}, []string{v.Snapshot().ClientID.String()})
		for _, err := range v.errors() {
			require.NoError(t, err)
		}
	})
}

func notices(s liveroom.Snapshot) (texts []string) {
	for _, n := range s.Notices {
		texts = append(texts, n.Text)
	}
	return texts
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a", liveroom.WithHistory(3, 2))).enter()
		std := w.visitor(as("b")).enter()
		for i := range 300 {
			w.backend.Say(roomID, "x", fmt.Sprint(i))
			w.backend.Buy(roomID, "x", fmt.Sprint(i))
		}
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"x: 297", "x: 298", "x: 299"}, texts(v.Snapshot().Comments))
		require.Equal(t, []string{"x 购买了 298", "x 购买了 299"}, notices(v.Snapshot()))
		require.Len(t, std.Snapshot().Comments, 200)
		require.Len(t, std.Snapshot().Notices, 50)
	})
}

// Rejoining brings the history again. What was seen live is neither lost nor
// doubled, and what was missed is filled in.
func TestRejoinCompletesTheComments(t *testing.T) {
	virtual(t, liveroomtest.Quirks{HistorySize: 4}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		for i := range 6 {
			w.backend.Say(roomID, "x", fmt.Sprint(i))
		}
		w.sleep(time.Millisecond)
		w.conn().Cut(wstest.RST)
		w.sleep(time.Second)
		w.backend.Say(roomID, "x", "missed")
		w.sleep(3 * time.Second)
		w.backend.Say(roomID, "x", "live again")
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"x: 0", "x: 1", "x: 2", "x: 3", "x: 4", "x: 5", "x: missed", "x: live again"}, texts(v.Snapshot().Comments))
		require.Len(t, v.comments, 7, "callbacks are for what is said while we are there")
	})
}

// What is heard on the new connection before the answer to the join is in the
// history, too.
func TestCommentsAheadOfTheJoinEchoAreNotDoubled(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true) // the script below does it all
		v := w.visitor(as("a"))
		script := func(c *wstest.Conn, before, list string) {
			_ = c.Send(`{"msg_type":"init","client_id":"1"}`)
			_, _ = c.Receive(t.Context())
			if before != "" {
				_ = c.Send(before)
			}
			_ = c.Send(`{"msg_type":"join","online_num":1,"message_list":` + list + `}`)
		}
		go func() { _ = v.Connect(t.Context()) }()
		c := w.conn()
		script(c, "", `[{"name":"x","content":"1"},{"name":"x","content":"2"}]`)
		w.sleep(time.Millisecond)
		c.Cut(wstest.FIN)
		script(w.conn(), `{"msg_type":"message","from_name":"x","content":"4"}`, `[{"name":"x","content":"2"},{"name":"x","content":"3a"},{"name":"x","content":"3b"},{"name":"x","content":"3c"},{"name":"x","content":"4"}]`)
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"x: 1", "x: 2", "x: 3a", "x: 3b", "x: 3c", "x: 4"}, texts(v.Snapshot().Comments))
	})
}

// A frozen backend accepts, answers pings, and says nothing.
func TestFrozenBackendIsDroppedAndTheScheduleGoesOn(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		v := w.visitor(as("a"))
		go func() { _ = v.Connect(t.Context()) }()
		w.sleep(10*time.Second + time.Millisecond)
		require.Equal(t, wechatws.StateWaiting, v.lastChange().To)
		require.Equal(t, 2, v.lastChange().Attempt)
		require.Equal(t, 3*time.Second, v.lastChange().RetryIn)
		var je *liveroom.JoinError
		require.ErrorAs(t, v.lastChange().Err, &je)
		require.Equal(t, "init", je.Missing)
		require.EqualError(t, v.lastChange().Err, "wechatws: setup: liveroom: no init from the server within 10s")
		w.sleep(13 * time.Second)
		require.Equal(t, 3, v.lastChange().Attempt)
		w.backend.Freeze(false)
		w.sleep(3 * time.Second)
		require.True(t, v.Snapshot().Joined)
	})
}

// One that says init and then nothing more is no better. What it said instead of
// an answer may tell why.
func TestNoJoinEcho(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		w.backend.Server().OnConn(func(c *wstest.Conn) {
			_ = c.Send(`{"msg_type":"init","client_id":"x"}`)
			_, _ = c.Receive(t.Context())
			_ = c.Send(`{"msg_type":"error","msg_content":"the room is closed"}`)
		})
		v := w.visitor(as("a", liveroom.WithJoinTimeout(4*time.Second)), wechatws.WithoutReconnect())
		began := time.Now()
		err := v.Connect(t.Context())
		require.Equal(t, 4*time.Second, time.Since(began))
		require.EqualError(t, err, `wechatws: setup: liveroom: no join from the server within 4s, only "error"`)
		var je *liveroom.JoinError
		require.ErrorAs(t, err, &je)
		require.JSONEq(t, `{"msg_type":"error","msg_content":"the room is closed"}`, string(je.Got[0].Data))
		require.ErrorIs(t, v.Joined(t.Context()), wechatws.ErrClosed)
		require.ErrorAs(t, v.Joined(t.Context()), &je)
	})
}

// A callback that blocks does not delay the join.
func TestSlowCallbackDoesNotDelayTheJoin(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		v.OnClose(func(context.Context, wechatws.CloseEvent) { time.Sleep(time.Minute) })
		v.enter()
		w.conn().Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		require.Equal(t, 1, w.backend.Viewers(roomID))
		require.Len(t, sent(w.conn()), 1, "the join")
		w.sleep(time.Minute)
		require.True(t, v.Snapshot().Joined)
	})
}

func TestJoined(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, v.Joined(ctx), context.DeadlineExceeded)
		result := make(chan error, 1)
		go func() { result <- v.Joined(t.Context()) }()
		v.enter()
		require.NoError(t, <-result)
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Millisecond)
		go func() { result <- v.Joined(t.Context()) }()
		v.leaveRoom()
		require.ErrorIs(t, <-result, wechatws.ErrClosed)
		v.enter() // afresh
	})
}

// After another Connect, a callback that is still busy with the end before it is no reason to
// give up.
func TestJoinedBehindASlowCallback(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		v.OnStateChange(func(_ context.Context, change wechatws.StateChange) {
			if change.To == wechatws.StateClosed {
				time.Sleep(time.Minute)
			}
		})
		v.enter()
		require.NoError(t, v.Close(wechatws.StatusNormalClosure, ""))
		w.sleep(time.Second)
		v.enter()
	})
}

func TestInitOnAnOpenConnectionAsksForAnotherJoin(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.visitor(as("a")).enter()
		c := w.conn()
		require.NoError(t, c.Send(`{"msg_type":"init","client_id":"another"}`))
		w.sleep(time.Millisecond)
		require.Equal(t, `{"msg_type":"join","room_id":"9527","live_id":1,"from_uid":"u-a","client_id":"another","is_anchor":false,"from_name":"a"}`, sent(c)[1])
		require.Len(t, sent(c), 2)

		c.Cut(wstest.FIN)
		w.sleep(4 * time.Second)
		c = w.conn()
		require.NoError(t, c.Send(`{"msg_type":"init","client_id":"once more"}`))
		w.sleep(time.Millisecond)
		require.Len(t, sent(c), 2)
	})
}

// A message may have the client_id of another member. Only one with this member's from_uid replaces that
// of init.
func TestClientIDIsKept(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		c := w.conn()
		for _, tt := range []struct{ message, want string }{
			{`{"msg_type":"message","from_name":"b","content":"hi","client_id":"of b"}`, "7f0000010b5400000001"},
			{`{"msg_type":"join","msg_content":"b","from_uid":"u-b","client_id":"of b"}`, "7f0000010b5400000001"},
			{`{"msg_type":"buy","msg_content":"x","client_id":"2"}`, "7f0000010b5400000001"},
			{`{"msg_type":"news","client_id":3}`, "7f0000010b5400000001"},
			{`{"msg_type":"message","from_name":"a","content":"hi","client_id":"4"}`, "7f0000010b5400000001"},
			{`{"msg_type":"buy","msg_content":"x","from_uid":"u-a","client_id":3}`, "3"},
			{`{"msg_type":"subscribe","from_uid":"u-a","client_id":null}`, "3"},
			{`{"msg_type":"leave","from_uid":"u-a","client_id":"left"}`, "3"},
			{`{"msg_type":"message","from_uid":"u-a","content":"hi","client_id":"4"}`, "4"},
		} {
			require.NoError(t, c.Send(tt.message))
			w.sleep(time.Millisecond)
			require.Equal(t, tt.want, v.Snapshot().ClientID.String(), tt.message)
		}
		require.Empty(t, v.errors())
	})
}

// What an earlier connection has left to tell comes late, behind a callback that
// takes its time. It is not about the connection that there is by then.
func TestLateNewsOfAnEarlierConnection(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		v.OnComment(func(_ context.Context, c liveroom.Comment) {
			if c.Content == "slow" {
				time.Sleep(time.Minute)
			}
		})
		v.enter()
		old := w.conn()
		for _, m := range []string{
			`{"msg_type":"message","from_name":"b","content":"slow"}`,
			`{"msg_type":"buy","msg_content":"x","client_id":"late"}`,
			`{"msg_type":"init","client_id":"late"}`,
		} {
			require.NoError(t, old.Send(m))
		}
		w.sleep(time.Second)
		old.Cut(wstest.FIN)
		w.sleep(2 * time.Minute)
		require.Equal(t, "7f0000010b5400000002", v.Snapshot().ClientID.String())
		c := w.conn()
		joins := 0
		for _, m := range sent(c) {
			if strings.HasPrefix(m, `{"msg_type":"join"`) {
				joins++
			}
		}
		require.Equal(t, 1, joins, "its init is not to be answered any more")

		require.NoError(t, c.Send(`{"msg_type":"buy","msg_content":"x","client_id":"7f0000010b5400000001"}`))
		w.sleep(time.Millisecond)
		require.Equal(t, "7f0000010b5400000002", v.Snapshot().ClientID.String(), "nor is an id of the past ours again")
	})
}

// Without a name there is nothing to know ourselves by, except that the first join
// is the answer to our own.
func TestFirstJoinIsOurOwn(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		m := as("")
		m.UserID = liveroom.Value{}
		v := w.visitor(m).enter()
		w.visitor(as("b")).enter()
		require.Equal(t, []bool{true, false}, own(v.joins))
	})
}

// What a callback gets is its own.
func TestCallbackMayChangeItsMessage(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Say(roomID, "b", "hello")
		v := w.visitor(as("a"))
		v.OnJoin(func(_ context.Context, j liveroom.JoinEvent) { j.MessageList[0].Content = "changed" })
		v.enter()
		require.Equal(t, []string{"b: hello"}, texts(v.Snapshot().Comments))
	})
}

// A message that does not fit its type is reported, and does no other harm. Text that is not JSON and
// binary messages are of no type that a room knows, and are ignored.
func TestMalformedMessages(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		v := w.visitor(as("a"))
		go func() { _ = v.Connect(t.Context()) }()
		c := w.conn()
		_ = c.Send(`no JSON`)
		_ = c.SendBinary([]byte{1})
		_ = c.Send(`{"msg_type":"init","client_id":[]}`)
		_ = c.Send(`{"msg_type":"join","online_num":"many","message_list":7}`)
		require.NoError(t, v.Joined(t.Context()))
		_ = c.Send(`{"msg_type":"message","content":{}}`)
		_ = c.Send(`{"msg_type":"message","from_name":"b","content":"still here"}`)
		w.sleep(time.Millisecond)
		require.Len(t, v.errors(), 3)
		var de *wechatws.DecodeError
		for _, err := range v.errors() {
			require.ErrorAs(t, err, &de)
		}
		require.Equal(t, []string{"b: still here"}, texts(v.Snapshot().Comments))
	})
}

func TestCallbacks(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		var log []string
		note := func(text string) { v.note(func() { log = append(log, text) }) }
		v.OnSubscribe(func(_ context.Context, s liveroom.SubscribeEvent) { note(fmt.Sprint("subscribe ", *s.SubscribeNum)) })
		v.OnBuy(func(_ context.Context, b liveroom.BuyEvent) { note("buy " + string(b.MsgContent)) })
		v.OnShelfChange(func(_ context.Context, s liveroom.ShelfEvent) {
			note(fmt.Sprint("shelf ", s.Status, " ", s.GoodsName))
		})
		v.OnNotice(func(_ context.Context, n liveroom.Notice) { note("notice " + n.Type) })
		v.OnUnknown(func(_ context.Context, m wechatws.Message) { note("unknown " + m.Type) })
		v.OnComment(func(context.Context, liveroom.Comment) { panic("oh") })
		var remove func()
		v.OnComment(func(_ context.Context, c liveroom.Comment) {
			note("comment " + string(c.Content) + fmt.Sprintf(", %d in the snapshot", len(v.Snapshot().Comments)))
			remove()
		})
		remove = v.OnComment(func(context.Context, liveroom.Comment) { note("removed before its turn") })
		v.enter()
		w.backend.Subscribe(roomID, "b")
		w.backend.Buy(roomID, "b", "tea")
		w.sleep(time.Millisecond)
		require.NoError(t, w.conn().Send(`{"msg_type":"gift"}`))
		w.sleep(time.Millisecond)
		v.say("hello")
		require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(1), Name: "tea"}))
		w.sleep(time.Millisecond)
		require.Equal(t, []string{"notice join", "notice subscribe", "subscribe 1", "notice buy", "buy b 购买了 tea", "unknown gift", "comment hello, 1 in the snapshot", "shelf on tea"}, log)
		var pe *wechatws.PanicError
		require.ErrorAs(t, v.errors()[0], &pe)
		require.Equal(t, "oh", pe.Value)
	})
}

func TestNewReportsEverythingThatIsWrong(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		_, err := liveroom.New(v.Client, liveroom.Identity{}, liveroom.WithJoinTimeout(0), liveroom.WithSettle(-1), liveroom.WithEchoTimeout(-1),
			liveroom.WithSilenceTimeout(-1), liveroom.WithHistory(200, -1), liveroom.WithHistoryBytes(-1), nil)
		for _, want := range []string{
			"liveroom.Identity.RoomID(\"\")", "liveroom.WithJoinTimeout(0s): must be above zero", "liveroom.WithSettle(-1ns)",
			"liveroom.WithEchoTimeout(-1ns)", "liveroom.WithSilenceTimeout(-1ns): must not be below zero", "liveroom.WithHistory(200, -1)",
			"liveroom.WithHistoryBytes(-1)", "liveroom.New(nil): an option must not be nil", "liveroom.New(client that is open)",
		} {
			require.ErrorContains(t, err, want)
		}
		var oe *wechatws.OptionError
		require.ErrorAs(t, err, &oe)
		_, err = liveroom.New(nil, as("a").Identity)
		require.ErrorContains(t, err, "client must not be nil")
		v.leaveRoom()
		v.OnComment(nil)
		require.ErrorContains(t, v.Connect(t.Context()), "the callback must be a function")
	})
}

func TestALaterOptionReplacesAnEarlierOne(t *testing.T) {
	client, err := wechatws.New("ws://server.test")
	require.NoError(t, err)
	_, err = liveroom.New(client, as("a").Identity, liveroom.WithJoinTimeout(-1), liveroom.WithJoinTimeout(time.Second),
		liveroom.WithHistory(-1, -1), liveroom.WithHistory(0, 0))
	require.NoError(t, err)
}

func TestNothingIsKeptOfAHistoryOfZero(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Say(roomID, "x", "before")
		v := w.visitor(as("a", liveroom.WithHistory(0, 0))).enter()
		w.backend.Say(roomID, "x", "after")
		w.sleep(time.Millisecond)
		require.Empty(t, v.Snapshot().Comments)
		require.Empty(t, v.Snapshot().Notices)
		require.Len(t, v.comments, 1)
	})
}

// An id that the server writes as a string once and as a number then is the same.
func TestAClientIDInTwoFormsIsOne(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		w.backend.Freeze(true)
		v := w.visitor(as("a"))
		go func() { _ = v.Connect(t.Context()) }()
		c := w.conn()
		_ = c.Send(`{"msg_type":"init","client_id":"7"}`)
		_ = c.Send(`{"msg_type":"join","msg_content":""}`)
		w.sleep(time.Second)
		before := v.Snapshot()
		require.True(t, before.Joined)
		_ = c.Send(`{"msg_type":"else","client_id":7}`)
		w.sleep(time.Second)
		require.Equal(t, before.Version, v.Snapshot().Version)
		require.Equal(t, "7", v.Snapshot().ClientID.String())
	})
}

func TestJoinedWithoutAContextIsAnError(t *testing.T) {
	client, err := wechatws.New("ws://server.test")
	require.NoError(t, err)
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("1")})
	require.NoError(t, err)
	var none context.Context
	require.ErrorAs(t, room.Joined(none), new(*wechatws.OptionError))
}
