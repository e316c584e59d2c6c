package liveroomtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial speaks to the backend without the library that it is there to test.
func dial(t *testing.T, b *liveroomtest.Backend) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), b.URL(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func read(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, data, err := c.Read(ctx)
	require.NoError(t, err)
	return string(data)
}

func write(t *testing.T, c *websocket.Conn, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, data))
}

// What goes over a real socket, to the letter, in the two dialects.
func TestDialects(t *testing.T) {
	for _, tt := range []struct {
		quirks liveroomtest.Quirks
		want   []string
	}{
		{liveroomtest.Quirks{}, []string{
			`{"client_id":"7f0000010b5400000001","msg_type":"init"}`,
			`{"message_list":[{"content":"1/2","from_name":"小红"}],"msg_content":"小明 进入直播间","msg_type":"join","online_num":1,"subscribe_num":1}`,
			`{"content":"<好>","from_name":"小明","msg_type":"message"}`,
			`{"msg_content":"小红 关注了主播","msg_type":"subscribe","subscribe_num":2}`,
			`{"msg_content":"小红 购买了 茶","msg_type":"buy"}`,
		}},
		{liveroomtest.GatewayWorker(), []string{
			`{"client_id":"7f0000010b5400000001","msg_type":"init"}`,
			`{"message_list":[{"content":"1\/2","name":"\u5c0f\u7ea2"}],"msg_content":"\u5c0f\u660e \u8fdb\u5165\u76f4\u64ad\u95f4","msg_type":"join","online_num":"1","subscribe_num":"1"}`,
			`{"content":"<\u597d>","from_name":"\u5c0f\u660e","msg_type":"message"}`,
			`{"msg_content":"\u5c0f\u7ea2 \u5173\u6ce8\u4e86\u4e3b\u64ad","msg_type":"subscribe","subscribe_num":"2"}`,
			`{"msg_content":"\u5c0f\u7ea2 \u8d2d\u4e70\u4e86 \u8336","msg_type":"buy"}`,
		}},
	} {
		b := liveroomtest.NewBackend(tt.quirks)
		b.Subscribe("1", "小红")
		b.Say("1", "小红", "1/2")
		c := dial(t, b)
		got := []string{read(t, c)}
		write(t, c, liveroom.JoinCommand{RoomID: liveroom.Num(1), FromName: "小明"})
		got = append(got, read(t, c))
		write(t, c, liveroom.CommentCommand{FromName: "小明", Content: "<好>"})
		got = append(got, read(t, c))
		b.Subscribe("1", "小红")
		b.Buy("1", "小红", "茶")
		got = append(got, read(t, c), read(t, c))
		require.Equal(t, tt.want, got)
		b.Close()
	}
}

func TestMessagesOutsideARoomAreIgnored(t *testing.T) {
	b := liveroomtest.NewBackend(liveroomtest.Quirks{})
	defer b.Close()
	c, other := dial(t, b), dial(t, b)
	read(t, c)
	read(t, other)
	write(t, c, liveroom.CommentCommand{Content: "before the join"})
	write(t, c, "no object")
	write(t, c, liveroom.JoinCommand{RoomID: liveroom.Str("1"), FromName: "a"})
	require.Contains(t, read(t, c), `"join"`)
	write(t, other, liveroom.JoinCommand{RoomID: liveroom.Str("2"), FromName: "b"})
	require.Contains(t, read(t, other), `"online_num":1`)
	write(t, other, liveroom.CommentCommand{FromName: "b", Content: "in room 2"})
	require.Contains(t, read(t, other), "in room 2")
	write(t, c, liveroom.CommentCommand{FromName: "a", Content: "in room 1"})
	require.Contains(t, read(t, c), "in room 1")
	require.Equal(t, 1, b.Viewers("1"))
	require.Zero(t, b.Kick("1", "b"))
}

// The first message behind a join is accepted, those that follow it at once are not.
func TestSessionDelay(t *testing.T) {
	const refusal = `{"msg_type":"error","msg_content":"not in a room"}`
	synctest.Test(t, func(t *testing.T) {
		b := liveroomtest.NewBackend(liveroomtest.GatewayWorker(), wstest.WithNetwork(wstest.NewNetwork()))
		defer b.Close()
		c, _, err := websocket.Dial(t.Context(), b.URL(), &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: &http.Transport{DialContext: b.DialContext}},
		})
		require.NoError(t, err)
		defer func() { _ = c.CloseNow() }()
		say := func(text string) { write(t, c, liveroom.CommentCommand{FromName: "a", Content: text}) }
		join := liveroom.JoinCommand{RoomID: liveroom.Str("1"), FromName: "a"}
		require.Contains(t, read(t, c), `"init"`)
		write(t, c, join)
		require.Contains(t, read(t, c), `"join"`)
		say("1")
		say("2")
		say("3")
		require.Contains(t, read(t, c), `"content":"1"`)
		require.JSONEq(t, refusal, read(t, c))
		require.JSONEq(t, refusal, read(t, c))
		time.Sleep(50 * time.Millisecond)
		say("4")
		say("5")
		require.Contains(t, read(t, c), `"content":"4"`)
		require.Contains(t, read(t, c), `"content":"5"`)

		write(t, c, join) // once more: the session from before is good
		require.Contains(t, read(t, c), `"join"`)
		say("6")
		say("7")
		require.Contains(t, read(t, c), `"content":"6"`)
		require.Contains(t, read(t, c), `"content":"7"`)
	})
}

// Recovery, to the time: refused while it is down, cut in the handshake for a
// moment, then good.
func TestRecovery(t *testing.T) {
	b := liveroomtest.NewBackend(liveroomtest.Quirks{Recovery: time.Hour})
	defer b.Close()
	b.Stop()
	_, _, err := websocket.Dial(t.Context(), b.URL(), nil)
	require.ErrorContains(t, err, "refused")
	b.Start()
	_, _, err = websocket.Dial(t.Context(), b.URL(), nil)
	require.ErrorContains(t, err, "EOF")
}

func TestCloseEndsARollingRestart(t *testing.T) {
	b := liveroomtest.NewBackend(liveroomtest.Quirks{})
	dial(t, b)
	done := make(chan struct{})
	go func() { defer close(done); b.RollingRestart(1000, time.Hour) }()
	b.Close()
	<-done
	b.Close()
}

func ExampleBackend() {
	backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker())
	defer backend.Close()
	backend.Say("9527", "Hong", "good morning")

	client, err := wechatws.New(backend.URL())
	if err != nil {
		panic(err)
	}
	room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("9527"), Name: "bot"})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Connect(ctx); err != nil {
		panic(err)
	}
	defer room.Leave()
	if err := room.Joined(ctx); err != nil {
		panic(err)
	}
	s := room.Snapshot()
	fmt.Println(s.Viewers, s.Comments[0].FromName, s.Comments[0].Content)
	// Output: 1 Hong good morning
}
