package liveroom_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// refused keeps what OnRefused receives.
func (v *visitor) refused() func() []string {
	var mu sync.Mutex
	var all []string
	v.OnRefused(func(_ context.Context, e *liveroom.RefusedError) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, strings.TrimSpace(e.Type+" "+e.Content+": "+e.Text))
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// A refusal answers the oldest action that is not answered: SayConfirmed returns it, of any other one
// the callbacks receive it.
func TestARefusalAnswersTheOldestAction(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		refused := v.refused()
		v.enter()
		v.say("accepted")
		w.sleep(time.Second)
		go w.backend.Reload(time.Second)
		synctest.Wait()
		v.say("1")
		confirmed := v.confirm(t.Context(), "2")
		require.NoError(t, v.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Num(7)}))
		v.say("3")
		w.backend.Mute(roomID, "a", true)
		w.sleep(time.Second)
		var e *liveroom.RefusedError
		require.True(t, confirmed.over())
		require.ErrorAs(t, confirmed.err, &e)
		require.Equal(t, []string{"message", "2", "not in a room"}, []string{e.Type, e.Content, e.Text})
		require.Equal(t, `{"msg_type":"error","msg_content":"not in a room"}`, string(e.Message.Data))
		require.EqualError(t, e, `liveroom: "message" was refused by the server: "not in a room"`)
		require.Equal(t, []string{"message 1: not in a room", "on_off_shelf 7: not in a room", "message 3: not in a room"}, refused())

		require.NoError(t, w.conn().Send(`{"msg_type":"error"}`))
		w.sleep(time.Second)
		require.Equal(t, ":", refused()[3], "of an action that is not known")

		w.backend.Mute(roomID, "a", false)
		require.NoError(t, v.SayConfirmed(t.Context(), "4"))
		synctest.Wait() // for the callbacks
		require.Empty(t, v.errors())
		synctest.Wait()
		require.Equal(t, []string{"a: accepted", "a: 4"}, texts(v.Snapshot().Comments))
	})
}

// What applications of GatewayWorker send.
func TestWithRefusals(t *testing.T) {
	for _, tt := range []struct {
		refusal liveroom.Refusal
		message string
		text    string
	}{
		{liveroom.Refusal{Field: "type", Is: []string{"error"}, Text: "content"}, `{"type":"error","content":"no"}`, "no"},
		{liveroom.Refusal{Field: "code", Not: []string{"0", "200"}, Text: "msg"}, `{"code":403,"msg":"\u4e0d"}`, "不"},
		{liveroom.Refusal{Field: "code", Not: []string{"0", "200"}, Text: "msg"}, `{"code":"400","type":"message","msg":3}`, "3"},
		{liveroom.Refusal{Field: "errcode", Not: []string{"0"}, Text: "errmsg"}, `{"errcode":1001}`, ""},
		{liveroom.Refusal{Field: "status", Is: []string{"fail"}, Text: "info"}, `{"msg_type":"message","status":"fail","info":["a"]}`, `["a"]`},
		{liveroom.Refusal{Field: "ok", Is: []string{"false"}, Text: "info"}, `{"ok":false,"info":"a\u001b[2J"}`, `a\x1b[2J`},
	} {
		t.Run(tt.message, func(t *testing.T) {
			virtual(t, liveroomtest.Quirks{Refusal: tt.message}, func(t *testing.T, w *world) {
				v := w.visitor(as("a", liveroom.WithRefusals(liveroom.Refusal{Field: "msg_type", Is: []string{"error"}}, tt.refusal)))
				refused := v.refused()
				v.enter()
				require.NoError(t, v.SayConfirmed(t.Context(), "accepted"))
				w.backend.Mute(roomID, "a", true)
				var e *liveroom.RefusedError
				require.ErrorAs(t, v.SayConfirmed(t.Context(), "refused"), &e)
				require.Equal(t, tt.text, e.Text)
				v.say("another")
				w.sleep(time.Second)
				require.Equal(t, []string{strings.TrimSpace("message another: " + tt.text)}, refused())
				conn := w.conn()
				for _, m := range []string{`{"code":0,"errcode":0,"status":"ok","ok":true}`, `{"code":null}`, `[]`, `"fail"`} {
					require.NoError(t, conn.Send(m))
				}
				w.sleep(time.Second)
				require.Len(t, refused(), 1)
			})
		})
	}
}

func TestWithRefusalsReportsWrongValues(t *testing.T) {
	client, err := wechatws.New("ws://server.test")
	require.NoError(t, err)
	_, err = liveroom.New(client, as("a").Identity, liveroom.WithRefusals(
		liveroom.Refusal{Is: []string{"error"}}, liveroom.Refusal{Field: "code"}, liveroom.Refusal{Field: "code", Is: []string{"1"}, Not: []string{"0"}}))
	require.EqualError(t, err, `wechatws: liveroom.WithRefusals({Field: Is:[error] Not:[] Text:}): must name the field by which the message is recognized
wechatws: liveroom.WithRefusals({Field:code Is:[] Not:[] Text:}): must have values in either Is or Not
wechatws: liveroom.WithRefusals({Field:code Is:[1] Not:[0] Text:}): must have values in either Is or Not`)
}

// A refusal is no sign that this member is in the room: it was thrown out.
func TestARefusalIsNoSignOfTheRoom(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		v := w.visitor(as("a")).enter()
		require.NoError(t, v.SayConfirmed(t.Context(), "hello"))
		synctest.Wait()
		w.backend.ThrowOut(roomID, "a")
		conn := w.conn()
		for range 3 {
			v.say("anybody there?")
			require.NoError(t, conn.Send(`{"msg_type":"error","msg_content":"not in a room"}`))
			w.sleep(4 * time.Second)
		}
		require.Len(t, v.ends(), 1)
		require.ErrorIs(t, v.ends()[0].Err, liveroom.ErrSilentRoom)
	})
}

// A server that floods a member with refusals and echoes, while a callback blocks, costs no more than
// the inbox.
func TestAFloodOfRefusals(t *testing.T) {
	virtual(t, liveroomtest.Quirks{}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"))
		release := make(chan struct{})
		n := 0
		v.OnRefused(func(_ context.Context, e *liveroom.RefusedError) {
			if n++; n == 1 {
				<-release
			}
		})
		v.enter()
		conn := w.conn()
		w.backend.Mute(roomID, "a", true)
		v.say("x")
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 20_000 {
				_ = conn.Send(`{"msg_type":"error"}`)
				_ = conn.Send(fmt.Sprintf(`{"msg_type":"message","from_name":"a","content":"%d"}`, i))
			}
		})
		w.sleep(time.Second)
		close(release)
		sending.Wait()
		w.sleep(time.Second)
		require.Equal(t, 20_001, n)
		require.Len(t, v.comments, 20_000)
		w.backend.Mute(roomID, "a", false)
		require.NoError(t, v.SayConfirmed(t.Context(), "y"))
	})
}

// What was written to a connection that is lost is not refused on the next one.
func TestARefusalAnswersNoActionOfAnotherConnection(t *testing.T) {
	virtual(t, liveroomtest.Quirks{NoEcho: true, EmptyList: "[]"}, func(t *testing.T, w *world) {
		v := w.visitor(as("a"), wechatws.WithTiers(wechatws.Tier{Delay: time.Second}))
		refused := v.refused()
		v.enter()
		v.say("1")
		r := v.confirm(t.Context(), "2")
		w.backend.Server().OnMessage(func(*wstest.Conn, wstest.Message) {})
		w.conn().Cut(wstest.FIN)
		w.sleep(time.Second)
		next := w.conn()
		require.NoError(t, next.Send(`{"msg_type":"error","msg_content":"who are you?"}`))
		require.NoError(t, next.Send(`{"msg_type":"join","message_list":[]}`))
		w.sleep(100 * time.Millisecond) // and it settles
		require.NoError(t, next.Send(`{"msg_type":"error","msg_content":"late"}`))
		w.sleep(50 * time.Millisecond)
		require.False(t, r.over())
		require.Equal(t, []string{": who are you?", ": late"}, refused())
		w.sleep(100 * time.Millisecond) // it is written again
		require.NoError(t, next.Send(`{"msg_type":"error","msg_content":"no"}`))
		w.sleep(time.Millisecond)
		var e *liveroom.RefusedError
		require.ErrorAs(t, r.err, &e)
	})
}
