package liveroom_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Many rooms in one process, each on a client of its own, made with the same
// options. Nothing of one gets into another, and all come back from a restart.
func TestManyRooms(t *testing.T) {
	virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
		id := func(i int) string { return fmt.Sprint("room ", i) }
		visitors := make([]*visitor, rooms)
		for i := range visitors {
			m := as(fmt.Sprintf("bot %d.", i))
			m.RoomID = liveroom.Str(id(i))
			visitors[i] = w.visitor(m, wechatws.WithJitter(0.2)).enter()
			time.Sleep(3 * time.Millisecond) // or all would beat in the same instant
		}
		speak := func(text string) {
			for i, v := range visitors {
				w.backend.Say(id(i), "x", fmt.Sprint(text, i))
				v.say(fmt.Sprint("answer ", i))
			}
			w.sleep(time.Second)
		}
		speak("first ")
		w.backend.Stop()
		w.sleep(10 * time.Second)
		w.backend.Start()
		w.sleep(15 * time.Second)
		speak("second ")
		ids := map[string]bool{}
		for i, v := range visitors {
			bot, s := fmt.Sprintf("bot %d.", i), v.Snapshot()
			require.True(t, s.Joined)
			require.EqualValues(t, 1, s.Viewers)
			require.Equal(t, []string{
				fmt.Sprint("x: first ", i), fmt.Sprint(bot, ": answer ", i),
				fmt.Sprint("x: second ", i), fmt.Sprint(bot, ": answer ", i),
			}, texts(s.Comments))
			require.Len(t, v.closes, 1)
			require.False(t, ids[s.ClientID.String()], "an id of its own")
			ids[s.ClientID.String()] = true
		}
	})
}
