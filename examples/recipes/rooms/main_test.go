package main

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The histogram is another one each time; what is around it is not.
func TestRecipe(t *testing.T) {
	output := recipetest.Virtual(t, run)
	bars := regexp.MustCompile(`(?m)^back after .*\n`)
	require.Regexp(t, bars, output)
	require.Equal(t, `500 rooms are joined
** the server restarts, and all connections are lost at the same moment
0 rooms are joined, 500 are away
500 rooms are joined
`, bars.ReplaceAllString(output, ""))
}

// What the server receives in any second is within the limit, at the start and after a restart.
func TestNoSecondHasMoreJoinsThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newBackend()
		defer backend.Close()
		h := houseAt(t, backend, func(room string, err error) { t.Errorf("room %s: %v", room, err) })
		require.NoError(t, h.open(t.Context(), rooms))
		require.NoError(t, h.allJoined(t.Context()))
		backend.Stop()
		backend.Start()
		time.Sleep(time.Second)
		require.NoError(t, h.allJoined(t.Context()))
		require.NoError(t, h.Shutdown(t.Context()))
		var joins []time.Time
		for _, c := range backend.Server().Conns() {
			for _, m := range c.Received() {
				var head struct {
					MsgType string `json:"msg_type"`
				}
				if json.Unmarshal(m.Data, &head) == nil && head.MsgType == "join" {
					joins = append(joins, m.At)
				}
			}
		}
		slices.SortFunc(joins, time.Time.Compare)
		require.Len(t, joins, 2*rooms)
		for i := range joins[joinRate:] {
			require.GreaterOrEqual(t, joins[i+joinRate].Sub(joins[i]), time.Second)
		}
	})
}

// A room that is refused is reported, and the others stay.
func TestOneRoomThatFailsIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newBackend()
		defer backend.Close()
		var failed []string
		h := houseAt(t, backend, func(room string, err error) {
			assert.ErrorContains(t, err, "closed down")
			failed = append(failed, room)
		})
		require.NoError(t, h.open(t.Context(), 3))
		require.NoError(t, h.allJoined(t.Context()))
		h.Get(liveroom.Identity{RoomID: liveroom.Str("1"), UserID: liveroom.Num(42)}).Client().Fail(errors.New("closed down"))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"1"}, failed)
		require.Equal(t, liveroom.RoomsStats{Rooms: 3, Joined: 2, Ended: 1}, h.Stats())
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

func houseAt(t *testing.T, backend *liveroomtest.Backend, failed func(string, error)) *house {
	h, err := newHouse(func(context.Context, liveroom.Identity) (*wechatws.Client, error) {
		return wechatws.New(backend.URL(), wechatws.WithNetDial(backend.DialContext), wechatws.WithProxy(nil), wechatws.WithJitter(0.2))
	}, failed)
	require.NoError(t, err)
	return h
}
