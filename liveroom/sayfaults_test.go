package liveroom_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
)

// Whatever happens while ten comments wait for their confirmation: those that are confirmed are in the
// room once, and those that are not return an error. Beside it, what Say loses with a nil error. The
// table of docs/liveroom.md is what it logs:
//
//	go test -v -run TestCommentsThroughFaults ./liveroom
func TestCommentsThroughFaults(t *testing.T) {
	for _, fault := range []struct {
		name   string
		happen func(w *world)
	}{
		{"the connection is cut", func(w *world) { cutBoth(w) }},
		{"the backend restarts", func(w *world) { w.backend.Stop(); time.Sleep(time.Second); w.backend.Start() }},
		{"reload", func(w *world) { w.backend.Reload(50 * time.Millisecond) }},
		{"reload, then cut", func(w *world) { w.backend.Reload(50 * time.Millisecond); cutBoth(w) }},
		{"thrown out of the room", func(w *world) { w.backend.ThrowOut(roomID, "a"); w.backend.ThrowOut(roomID, "s") }},
		{"the backend is frozen for 15 s", func(w *world) { w.backend.Freeze(true); time.Sleep(15 * time.Second); w.backend.Freeze(false) }},
		{"the network is lost", func(w *world) { blackholeBoth(w) }},
	} {
		for _, chatter := range []bool{true, false} {
			name := fault.name
			if chatter {
				name += ", others talk"
			}
			t.Run(name, func(t *testing.T) {
				virtual(t, liveroomtest.GatewayWorker(), func(t *testing.T, w *world) {
					sayThrough(t, w, chatter, func() { fault.happen(w) })
				})
			})
		}
	}
}

func cutBoth(w *world) {
	w.backend.Kick(roomID, "a")
	w.backend.Kick(roomID, "s")
}

func blackholeBoth(w *world) {
	for _, c := range w.backend.Server().Conns()[1:] { // the first one is the witness
		c.Blackhole(true)
	}
}

// sayThrough has one member say by SayConfirmed, and another one by Say, what a third one counts.
func sayThrough(t *testing.T, w *world, chatter bool, fault func()) {
	rounds := 100
	if testing.Short() || raceDetector {
		rounds = 5
	}
	var mu sync.Mutex
	shown := map[string]int{}
	witness := w.plain(as("witness"))
	witness.Room.OnComment(func(_ context.Context, c liveroom.Comment) {
		mu.Lock()
		defer mu.Unlock()
		shown[string(c.Content)]++
	})
	witness.enter()
	confirming, saying := w.plain(as("a")).enter(), w.plain(as("s")).enter()
	random := rand.New(rand.NewPCG(1, 2))
	errs := map[string]error{}
	for n := range rounds {
		var calls sync.WaitGroup
		calls.Go(func() {
			for i := range 10 {
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
					defer cancel()
					text := fmt.Sprintf("a %d.%d", n, i)
					err := confirming.SayConfirmed(ctx, text)
					mu.Lock()
					defer mu.Unlock()
					errs[text] = err
				})
				synctest.Wait()
				saying.say(fmt.Sprintf("s %d.%d", n, i))
				time.Sleep(10 * time.Millisecond)
			}
		})
		time.Sleep(time.Duration(random.Int64N(int64(120 * time.Millisecond))))
		fault()
		for range 20 {
			w.sleep(time.Second)
			if chatter {
				w.backend.Say(roomID, "c", fmt.Sprint("chatter ", n))
			}
		}
		calls.Wait()
		w.sleep(20 * time.Second)
	}
	var failed, wrong, twice, lost int
	for text, err := range errs {
		switch {
		case err != nil:
			failed++
		case shown[text] == 0:
			wrong++
		}
		if shown[text] > 1 {
			twice++
		}
		if shown["s"+text[1:]] == 0 {
			lost++
		}
	}
	t.Logf("of %d: SayConfirmed: %d errors, %d twice, %d confirmed and not shown; Say: %d not shown", len(errs), failed, twice, wrong, lost)
	assert.Len(t, errs, 10*rounds)
	assert.Zero(t, failed)
	assert.Zero(t, wrong)
	assert.Zero(t, twice)
}
