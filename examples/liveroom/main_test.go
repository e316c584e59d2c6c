package main

import (
	"bytes"
	"context"
	"errors"
	"log"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func demo() settings {
	return settings{
		room: liveroom.Identity{RoomID: liveroom.Str("1"), LiveID: liveroom.Str("1"), UserID: liveroom.Str("42"), Name: "bot", Anchor: true},
		addr: "127.0.0.1:0",
	}
}

// Cut once, restarted once, and back from both: its summary is an error otherwise.
func TestHeadless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := demo()
		s.headless, s.duration, s.network = true, shortest, wstest.NewNetwork()
		require.NoError(t, run(t.Context(), s))
	})
}

func TestWithAPageItEndsInTime(t *testing.T) {
	t.Parallel()
	s := demo()
	s.duration = time.Second
	require.NoError(t, run(t.Context(), s))
}

func TestBadFlags(t *testing.T) {
	for want, change := range map[string]func(*settings){
		"no password":               func(s *settings) { s.addr = "0.0.0.0:0" },
		"missing port":              func(s *settings) { s.addr = "localhost" },
		"give another port":         func(s *settings) { s.addr = "127.0.0.1:99999" },
		"too short":                 func(s *settings) { s.headless, s.duration = true, time.Second },
		"scheme must be":            func(s *settings) { s.url = "ftp://x" },
		"liveroom.Identity.RoomID(": func(s *settings) { s.room.RoomID = liveroom.Value{} },
	} {
		s := demo()
		change(&s)
		require.ErrorContains(t, run(t.Context(), s), want)
	}
}

// What a person does with the buttons, without the browser.
func TestDesk(t *testing.T) {
	t.Parallel()
	show := newStage(demo().room, nil)
	defer show.close()
	s := demo()
	s.url, s.duration = show.backend.URL(), 2*time.Second
	client, err := wechatws.New(s.url)
	require.NoError(t, err)
	watcher, err := liveroom.New(client, liveroom.Identity{RoomID: s.room.RoomID, Name: "watcher"})
	require.NoError(t, err)
	shelf := make(chan liveroom.ShelfEvent, 10)
	watcher.OnShelfChange(func(_ context.Context, g liveroom.ShelfEvent) { shelf <- g })
	require.NoError(t, client.Connect(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(t.Context(), s) }()
	<-shelf // the bot has joined
	require.NoError(t, watcher.Leave())
	d := &desk{stage: show}
	require.NoError(t, d.Say(t.Context(), "", "what is the price?"))
	require.NoError(t, d.Cut())
	require.NoError(t, d.Restart())
	require.ErrorContains(t, d.Restart(), "down already")
	err = <-done
	if undelivered := (*wechatws.UndeliveredError)(nil); !errors.As(err, &undelivered) { // the bot's answer waits for the backend
		require.NoError(t, err)
	}
}

// Text from outside cannot control the terminal.
func TestTextIsPrintable(t *testing.T) {
	const evil = "\x1b[2J\u202e\r\nfake"
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		s := newStage(demo().room, wstest.NewNetwork())
		defer s.close()
		client, err := wechatws.New(s.backend.URL(), s.dialing()...)
		require.NoError(t, err)
		room, err := liveroom.New(client, s.bot)
		require.NoError(t, err)
		narrate(room, watch(client))
		require.NoError(t, client.Connect(t.Context()))
		defer room.Leave()
		require.NoError(t, room.Joined(t.Context()))
		s.backend.Say("1", evil, evil)
		s.backend.Buy("1", evil, evil)
		require.NoError(t, room.PutOnShelf(t.Context(), liveroom.Goods{ID: liveroom.Str(evil), Name: evil, Price: liveroom.Str(evil)}))
		time.Sleep(time.Second)
	})
	require.Contains(t, out.String(), `\x1b[2J\u202e\r\nfake`)
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\u202e")
	require.NotContains(t, out.String(), "\nfake")
}
