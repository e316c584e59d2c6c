package main

import (
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

// downFor is the time from stop to start in a restart of the backend.
const downFor = 2 * time.Second

// A stage is the backend and its visitors.
type stage struct {
	backend *liveroomtest.Backend
	bot     liveroom.Identity

	mu       sync.Mutex
	up       bool
	cuts     int
	restarts int
	ended    bool
	work     sync.WaitGroup
	closing  chan struct{}
}

func newStage(bot liveroom.Identity, network *wstest.Network) *stage {
	quirks := liveroomtest.GatewayWorker()
	quirks.SayWho = true
	return &stage{
		backend: liveroomtest.NewBackend(quirks, wstest.WithNetwork(network), wstest.WithoutRecords()),
		bot:     bot, up: true, closing: make(chan struct{}),
	}
}

func (s *stage) close() {
	s.mu.Lock()
	s.ended = true
	close(s.closing)
	s.mu.Unlock()
	s.work.Wait()
	s.backend.Close()
}

// dialing returns the options of its clients.
func (s *stage) dialing() []wechatws.Option {
	return []wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(s.backend.DialContext)}
}

// cut ends the bot's connection without a close handshake.
func (s *stage) cut() error {
	if s.backend.Kick(s.bot.RoomID.String(), s.bot.Name) == 0 {
		return errors.New("the bot is not connected")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	return nil
}

// restart stops the backend, and starts it again after downFor. It does not block.
func (s *stage) restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.up {
		return errors.New("the backend is down already")
	}
	s.up = false
	s.restarts++
	s.work.Go(func() {
		s.backend.Stop()
		select {
		case <-time.After(downFor):
		case <-s.closing: // the program ends: not started again
			return
		}
		s.backend.Start()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.up = true
	})
	return nil
}

func (s *stage) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// trouble cuts the bot's connection once and restarts the backend once.
func (s *stage) trouble(ctx context.Context, duration time.Duration) {
	if pause(ctx, duration/5) {
		log.Print("** the bot's connection is cut")
		if err := s.cut(); err != nil {
			log.Print(err)
		}
	}
	if pause(ctx, duration/4) {
		log.Printf("** the backend goes down for %v", downFor)
		if err := s.restart(); err != nil {
			log.Print(err)
		}
	}
}

var visitors = []string{"小红 Hong", "小刚 Gang", "小美 Mei"}

var chatter = []string{
	"hello", "你好!", "666", "What is the price?", "多少钱?", "the blue one, please", "太好看了", "I have the same at home",
	"does it come in red?", "下单了", "👍👍👍", "first time here", "讲一下产地",
}

// perform runs the visitors until ctx ends.
func (s *stage) perform(ctx context.Context) {
	var visits sync.WaitGroup
	defer visits.Wait()
	for i, name := range visitors {
		visits.Go(func() { s.visit(ctx, name, time.Duration(i+1)*700*time.Millisecond) })
	}
}

// visit runs one visitor, with a client of its own.
func (s *stage) visit(ctx context.Context, name string, after time.Duration) {
	if !pause(ctx, after) {
		return
	}
	options := append(s.dialing(), wechatws.WithJitter(0.2)) // all visitors lose the backend at once
	client, err := wechatws.New(s.backend.URL(), options...)
	if err != nil {
		log.Print(err)
		return
	}
	room, err := liveroom.New(client, liveroom.Identity{RoomID: s.bot.RoomID, LiveID: s.bot.LiveID, UserID: liveroom.Str(name), Name: name})
	if err != nil {
		log.Print(err)
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { _ = client.Run(ctx) })
	followed := false
	for pause(ctx, time.Second+rand.N(3*time.Second)) {
		switch n := rand.IntN(10); {
		case !room.Snapshot().Joined: // waits
		case n == 0 && !followed:
			followed = true
			s.backend.Subscribe(s.bot.RoomID.String(), name)
		case n <= 1:
			s.backend.Buy(s.bot.RoomID.String(), name, goods[rand.IntN(len(goods))].Name)
		default:
			_ = room.Say(ctx, chatter[rand.IntN(len(chatter))])
		}
	}
}

// pause waits for d. It returns early, with false, when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
