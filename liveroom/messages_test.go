package liveroom_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

// lines are the wire samples of one backend: every message type as it writes it.
func lines(t testing.TB, name string) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".jsonl")
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func message(data string) wechatws.Message {
	var head struct {
		Type string `json:"msg_type"`
	}
	_ = json.Unmarshal([]byte(data), &head)
	return wechatws.Message{Type: head.Type, Data: []byte(data)}
}

// describe is what a message says, in whatever way it was written.
func describe(m liveroom.Event) string {
	number := func(n *liveroom.Number) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	switch m := m.(type) {
	case liveroom.InitEvent:
		return fmt.Sprintf("init %s", m.ClientID)
	case liveroom.JoinEvent:
		var list []string
		for _, c := range m.MessageList {
			list = append(list, fmt.Sprintf("%s=%s", c.FromName, c.Content))
		}
		return fmt.Sprintf("join %q %s %s %q %s", m.MsgContent, number(m.OnlineNum), number(m.SubscribeNum), list, m.ClientID)
	case liveroom.Comment:
		return fmt.Sprintf("message %s=%s", m.FromName, m.Content)
	case liveroom.SubscribeEvent:
		return fmt.Sprintf("subscribe %s %s", number(m.SubscribeNum), m.MsgContent)
	case liveroom.LeaveEvent:
		return fmt.Sprintf("leave %s %s", m.MsgContent, m.ClientID)
	case liveroom.BuyEvent:
		return fmt.Sprintf("buy %s", m.MsgContent)
	case liveroom.ShelfEvent:
		g := m.Goods()
		return fmt.Sprintf("shelf %s %s %s %s: %s %s %s %s %s", m.RoomID, m.LiveID, m.FromUID, m.FromName, m.Status, g.ID, g.Name, strings.TrimSuffix(g.Price.String(), "0"), g.Image)
	}
	return fmt.Sprintf("%T", m)
}

// The same conversation, as three kinds of backend write it.
func TestReadsWhatBackendsWrite(t *testing.T) {
	want := []string{
		`init 7f0000010b5400000001`,
		`join "小明 进入直播间" 12 3 ["小红=早/上好 😀" "小刚=666"] 7f0000010b5400000001`,
		`message 小红=<b>多少钱</b>`,
		`subscribe 4 小红 关注了主播`,
		`leave 小刚 离开直播间 7f0000010b5400000002`,
		`buy 小红 购买了 茶`,
		`shelf 9527 1 42 主播: on 7 茶 9.9 https://img.example.com/t.png`,
		`join "" 0 - [] `,
		`join "" 1 - [] `,
		`join "" 2 - ["a=x" "b=y"] `,
	}
	for _, backend := range []string{"php", "node", "go"} {
		var got []string
		for _, line := range lines(t, backend) {
			m, err := liveroom.Decode(message(line))
			require.NoError(t, err, line)
			got = append(got, describe(m))
		}
		require.Equal(t, want, got, backend)
	}
}

func TestReadErrors(t *testing.T) {
	for data, want := range map[string]string{
		`{"msg_type":"gift"}`:                          `unknown message type "gift"`,
		`{"msg_type":"message","content":true}`:        `"true" is not a string or a number`,
		`{"msg_type":"message","from_uid":{}}`:         `"{}" is not a string or a number`,
		`{"msg_type":"join","online_num":1.5}`:         `"1.5" is not a whole number`,
		`{"msg_type":"join","online_num":1e300}`:       `is not a whole number`,
		`{"msg_type":"join","online_num":"NaN"}`:       `is not a whole number`,
		`{"msg_type":"join","online_num":"12 of 20"}`:  `is not a whole number`,
		`{"msg_type":"join","online_num":[]}`:          `is not a whole number`,
		`{"msg_type":"join","message_list":"nothing"}`: `"\"nothing\"" is not a list of comments`,
	} {
		_, err := liveroom.Decode(message(data))
		var de *wechatws.DecodeError
		require.ErrorAs(t, err, &de, data)
		require.ErrorContains(t, err, want, data)
	}
	_, err := liveroom.Decode(message(`{"msg_type":"message","content":[` + strings.Repeat("1,", 200) + `1]}`))
	require.Regexp(t, `\[(1,)+1?…`, err, "cut, wherever the decoder's words have it end")
}

func TestWritesExactlyTheFieldsOfTheProtocol(t *testing.T) {
	room, live, user, client := liveroom.Str("9527"), liveroom.Num(1), liveroom.Str("42"), liveroom.Str("7f0000010b5400000001")
	commands := []any{
		liveroom.PingCommand{},
		liveroom.JoinCommand{RoomID: room, LiveID: live, FromUID: user, ClientID: client, IsAnchor: true, FromName: "主播"},
		liveroom.CommentCommand{RoomID: room, LiveID: live, FromUID: user, ClientID: client, FromName: "主播", Content: "欢迎 <3"},
		liveroom.ShelfCommand{RoomID: room, LiveID: live, FromUID: user, ClientID: client, FromName: "主播",
			GoodsID: liveroom.Num(7), GoodsName: "茶", GoodsPrice: liveroom.Str("9.90"), DefaultImage: "https://img.example.com/t.png", Status: liveroom.ShelfOff},
	}
	for i, line := range lines(t, "commands") {
		data, err := json.Marshal(commands[i])
		require.NoError(t, err)
		require.Equal(t, line, string(data))
	}
	// And back, as a backend in Go would read them.
	var join liveroom.JoinCommand
	require.NoError(t, json.Unmarshal([]byte(lines(t, "commands")[1]), &join))
	require.Equal(t, commands[1], join)
	var comment liveroom.CommentCommand
	require.NoError(t, json.Unmarshal([]byte(lines(t, "commands")[2]), &comment))
	require.Equal(t, commands[2], comment)
	var shelf liveroom.ShelfCommand
	require.NoError(t, json.Unmarshal([]byte(lines(t, "commands")[3]), &shelf))
	require.Equal(t, commands[3], shelf)
}

// An id or a price is written back in the form in which it came.
func TestValueKeepsItsForm(t *testing.T) {
	for _, data := range []string{`"7"`, `7`, `-1`, `9.90`, `"9.90"`, `12345678901234567890`, `1e2`, `"小\u003c"`, `""`} {
		var v liveroom.Value
		require.NoError(t, json.Unmarshal([]byte(data), &v))
		again, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, data, string(again))
	}
	var v liveroom.Value
	require.NoError(t, json.Unmarshal([]byte(`null`), &v))
	require.True(t, v.IsZero())
	require.Equal(t, liveroom.Str("7").String(), liveroom.Num(7).String())
}

// Other codecs may call these methods with anything.
func FuzzDecode(f *testing.F) {
	for _, backend := range []string{"php", "node", "go"} {
		for _, line := range lines(f, backend) {
			f.Add([]byte(line))
		}
	}
	for _, seed := range []string{``, ` `, `{`, `{}x`, `nul`, `"`, `1e`, `-`, `[`, `{"a":{"content":"x"}}y`, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v liveroom.Value
		var text liveroom.Text
		var n liveroom.Number
		var h liveroom.History
		for _, target := range []json.Unmarshaler{&v, &text, &n, &h} {
			if target.UnmarshalJSON(data) == nil && !json.Valid(data) {
				t.Errorf("%T takes %q, which is not JSON", target, data)
			}
		}
		for _, msgType := range []string{"init", "join", "message", "subscribe", "leave", "buy", "on_off_shelf"} {
			m, err := liveroom.Decode(wechatws.Message{Type: msgType, Data: data})
			if err == nil && !json.Valid(data) {
				t.Errorf("%s takes %q, which is not JSON", msgType, data)
			}
			if err == nil && m.MsgType() != msgType {
				t.Errorf("a %s was read as %T", msgType, m)
			}
		}
	})
}

// A string and a number may be the same id. With == they would differ, so that does not
// compile.
func TestValuesAreComparedWithEqual(t *testing.T) {
	require.True(t, liveroom.Str("1").Equal(liveroom.Num(1)))
	require.False(t, liveroom.Str("1").Equal(liveroom.Str("01")))
	require.True(t, liveroom.Value{}.Equal(liveroom.Str("")))
	require.False(t, reflect.TypeFor[liveroom.Value]().Comparable())
}
