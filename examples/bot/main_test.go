package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a room with the bot in it, in virtual time.
type stage struct {
	backend *liveroomtest.Backend
	bot     *bot
	visitor *liveroom.Room

	mu    sync.Mutex
	lines []string // of the bot, and when
}

func onStage(t *testing.T, test func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		quirks := liveroomtest.GatewayWorker()
		quirks.SayWho = true
		s := &stage{backend: liveroomtest.NewBackend(quirks, wstest.WithNetwork(wstest.NewNetwork()))}
		defer s.backend.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		enter := func(name string) *liveroom.Room {
			client, err := wechatws.New(s.backend.URL(), wechatws.WithProxy(nil), wechatws.WithNetDial(s.backend.DialContext))
			require.NoError(t, err)
			room, err := liveroom.New(client, liveroom.Identity{RoomID: liveroom.Str("1"), UserID: liveroom.Str("u-" + name), Name: name})
			require.NoError(t, err)
			if s.bot == nil {
				s.bot = newBot(room)
				running.Go(func() { _ = s.bot.speak(ctx) })
			} else {
				start := time.Now()
				room.OnComment(func(_ context.Context, c liveroom.Comment) {
					if c.FromName == "bot" {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.lines = append(s.lines, fmt.Sprintf("%v %s", time.Since(start).Round(time.Second), c.Content))
					}
				})
			}
			running.Go(func() { _ = client.Run(ctx) })
			require.NoError(t, room.Joined(ctx))
			return room
		}
		enter("bot")
		s.visitor = enter("Hong")
		test(t, s)
	})
}

// heard is what the bot has said since the last time.
func (s *stage) heard(after time.Duration) (lines []string) {
	time.Sleep(after)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, s.lines = s.lines, nil
	return lines
}

func TestGreetsAnswersAndThanks(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		require.Equal(t, []string{"0s welcome! Hong"}, s.heard(10*time.Second))
		require.NoError(t, s.visitor.Say(t.Context(), "What is the PRICE?"))
		require.NoError(t, s.visitor.Say(t.Context(), "nothing of interest"))
		require.Equal(t, []string{"10s Hong: ¥9.90 a bag, ¥25 for three"}, s.heard(10*time.Second))
		s.backend.Buy("1", "Hong", "tea")
		require.Equal(t, []string{"20s thank you! (Hong 购买了 tea)"}, s.heard(10*time.Second))
	})
}

// Its own answer holds a keyword, too.
func TestNeverAnswersItself(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.heard(10 * time.Second)
		require.NoError(t, s.visitor.Say(t.Context(), "hello"))
		require.Len(t, s.heard(2*time.Minute), 1)
	})
}

// Neither its own rejoin is greeted, nor who is back after a lost connection.
func TestDoesNotGreetGhosts(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.heard(time.Minute)
		s.backend.Kick("1", "bot")
		s.backend.Kick("1", "Hong")
		require.Empty(t, s.heard(time.Minute))
		s.heard(greetOnce)
		s.backend.Kick("1", "Hong")
		require.Len(t, s.heard(time.Minute), 1, "a new visit")
	})
}

func TestKeepsToItsPace(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.heard(time.Minute)
		for range 100 {
			require.NoError(t, s.visitor.Say(t.Context(), "hello"))
		}
		lines := s.heard(10 * time.Second)
		require.LessOrEqual(t, len(lines), burst+int(10*time.Second/pace))
		require.GreaterOrEqual(t, len(lines), 7)
		lines = append(lines, s.heard(2*time.Minute)...)
		require.LessOrEqual(t, len(lines), backlog+burst+1, "nobody wants an answer an hour late")
	})
}

// The whole program, as it is started.
func TestDemoEndsByItself(t *testing.T) {
	require.NoError(t, run(t.Context(), "", liveroom.Identity{RoomID: liveroom.Str("1"), Name: "bot"}))
}

func TestStopsWhenItIsTold(t *testing.T) {
	backend := liveroomtest.NewBackend(liveroomtest.Quirks{})
	defer backend.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		conn, _ := backend.Server().NextConn(ctx)
		_, _ = conn.Receive(ctx) // the join
		_, _ = conn.Receive(ctx) // a heartbeat: it is open
		cancel()
	}()
	fast := wechatws.WithHeartbeat(wechatws.Heartbeat{Interval: time.Millisecond})
	require.NoError(t, run(ctx, backend.URL(), liveroom.Identity{RoomID: liveroom.Str("1"), Name: "bot"}, fast))
	<-backend.Server().Conns()[0].Done()
	code, _ := backend.Server().Conns()[0].CloseCode()
	require.Equal(t, 1001, code)
	require.Error(t, run(t.Context(), "no url", liveroom.Identity{}))
	require.True(t, strings.HasPrefix(fmt.Sprint(run(t.Context(), backend.URL(), liveroom.Identity{})), "wechatws: liveroom.Identity.RoomID"))
}

// Text from outside cannot control the terminal.
func TestTextIsPrintable(t *testing.T) {
	const evil = "\x1b[2J\u202e\r\nfake"
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		backend := liveroomtest.NewBackend(liveroomtest.GatewayWorker(), wstest.WithNetwork(wstest.NewNetwork()))
		defer backend.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan error, 1)
		id := liveroom.Identity{RoomID: liveroom.Str("1"), UserID: liveroom.Str("42"), Name: "bot"}
		go func() {
			over <- run(ctx, backend.URL(), id, wechatws.WithProxy(nil), wechatws.WithNetDial(backend.DialContext))
		}()
		time.Sleep(time.Second)
		backend.Say("1", evil, evil)
		for range 2 * backlog { // more than it can answer
			backend.Buy("1", evil, evil)
		}
		time.Sleep(time.Second)
		cancel()
		require.NoError(t, <-over)
	})
	require.Contains(t, out.String(), "too busy to say")
	require.Contains(t, out.String(), `\x1b[2J\u202e\r\nfake`)
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\u202e")
	require.NotContains(t, out.String(), "\nfake")
}
