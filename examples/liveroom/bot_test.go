package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// A flood of comments makes the bot drop answers, and starts no goroutine for any of them.
func TestTheBotInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log.SetOutput(&out)
		defer log.SetOutput(os.Stderr)
		s := newStage(demo().room, wstest.NewNetwork())
		defer s.close()
		client, err := wechatws.New(s.backend.URL(), s.dialing()...)
		require.NoError(t, err)
		room, err := liveroom.New(client, s.bot, liveroom.WithCommentRate(commentRate))
		require.NoError(t, err)
		bot := newBot(room)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { bot.speak(ctx) })
		running.Go(func() { _ = client.Run(ctx) })
		require.NoError(t, room.Joined(ctx))
		time.Sleep(time.Second)
		before := runtime.NumGoroutine()
		const hellos = 1000
		for i := range hellos {
			s.backend.Say("1", fmt.Sprint("viewer ", i), "hello")
		}
		synctest.Wait()
		require.LessOrEqual(t, runtime.NumGoroutine(), before+1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		own := 0
		for _, c := range room.Snapshot().Comments {
			if c.Own {
				own++
			}
		}
		require.GreaterOrEqual(t, own, backlog)
		require.Less(t, own, 4*backlog)
		require.Contains(t, out.String(), "too busy to say")
		require.LessOrEqual(t, strings.Count(out.String(), "\n"), own, out.String())
	})
}
