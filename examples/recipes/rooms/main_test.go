package main

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The histogram is another one each time; what is around it is not.
func TestRecipe(t *testing.T) {
	output := recipetest.Virtual(t, run)
	bars := regexp.MustCompile(`(?m)^back after .*\n`)
	require.Regexp(t, bars, output)
	require.Equal(t, `500 rooms are open, each has received its own welcome
** the server restarts, and all connections are lost at the same moment
500 rooms are open, after 1000 attempts
`, bars.ReplaceAllString(output, ""))
}

// toOpen is what it takes to hear that the server is gone, to ask it for a connection
// and to get it.
const toOpen = 3 * latency

// comeBack is when the rooms are back after a restart of their server, since the
// moment in which they lost it.
func comeBack(t *testing.T, options ...wechatws.Option) (after []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		defer server.Close()
		h, err := newHouse(server.URL(), append(options, wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))...)
		require.NoError(t, err)
		ctx, leave := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer leave()
		start := time.Now()
		running.Go(func() { h.run(ctx, func(room int, err error) { t.Errorf("room %d: %v", room, err) }) })
		opened, err := h.allOpen(ctx)
		require.NoError(t, err)
		require.GreaterOrEqual(t, slices.MaxFunc(opened, time.Time.Compare).Sub(start), (rooms-1)*pace, "a start is no storm")

		lost := time.Now()
		server.Stop(wstest.RST)
		server.Start()
		back, err := h.allOpen(ctx)
		require.NoError(t, err)
		for _, at := range back {
			after = append(after, at.Sub(lost))
		}
		slices.Sort(after)
	})
	return after
}

func TestJitterSpreadsTheReturn(t *testing.T) {
	after := comeBack(t, wechatws.WithJitter(jitter))
	require.GreaterOrEqual(t, after[0], 2400*time.Millisecond)
	require.LessOrEqual(t, after[len(after)-1], 3600*time.Millisecond+toOpen)
	perBin := map[time.Duration]int{}
	for _, d := range after {
		perBin[d/bin]++
	}
	require.GreaterOrEqual(t, len(perBin), 6)
	for _, n := range perBin {
		require.Less(t, n, rooms/3) // a sixth is what chance would give
	}
}

// What it is good for: without it all of them are back in the same moment.
func TestWithoutJitterTheyReturnAsAStorm(t *testing.T) {
	after := comeBack(t)
	require.GreaterOrEqual(t, after[0], 3*time.Second)
	require.LessOrEqual(t, after[len(after)-1], 3*time.Second+toOpen)
}

// A room that is gone for good is reported, and the others stay.
func TestOneRoomThatFailsIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		defer server.Close()
		server.Answer(wstest.Status(404, nil, "closed down"))
		h, err := newHouse(server.URL(), wechatws.WithNetDial(server.DialContext), wechatws.WithProxy(nil))
		require.NoError(t, err)
		h.clients = h.clients[:3]
		ctx, leave := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer leave()
		var failed []int
		running.Go(func() {
			h.run(ctx, func(room int, err error) {
				assert.ErrorContains(t, err, "404")
				failed = append(failed, room)
			})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int{0}, failed)
		require.Equal(t, wechatws.StateOpen, h.clients[1].State())
		require.Equal(t, wechatws.StateOpen, h.clients[2].State())
	})
}
