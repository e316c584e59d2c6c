package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// The tests in this file are of faults that the fleet once had. TestFaultsAreFound puts them back.

// A server that is cut from the others is left by workers, senders and handlers, while it is cut.
func TestAServerThatIsCutFromTheOthersIsLeft(t *testing.T) {
	virtual(t, 2, 3, 9, func(w *world) {
		var workers []*process
		for i, name := range []string{"a", "b", "c"} {
			workers = append(workers, w.open(name, i).work())
		}
		w.open("h", 1).handle(shortly)
		sender := w.open("sender", 1)
		w.held(10 * time.Second)
		w.isolate(1)
		time.Sleep(2 * lease)
		w.within(5*time.Second, "all workers hold rooms", func() (without []string) {
			for _, p := range workers {
				if s := p.worker.Stats(); !s.Ready || s.Rooms == 0 {
					without = append(without, p.name)
				}
			}
			return without
		})
		w.held(time.Second)
		w.within(10*time.Second, "a message can be sent", func() []string {
			if err := sender.send("r0", note, false); err != nil {
				return []string{err.Error()}
			}
			return nil
		})
		for _, room := range w.account.names {
			require.NoError(w, sender.send(room, note, false))
			w.backend.say(room)
		}
		w.settled(5 * time.Second)
	})
}

// Handlers leave such a server also when they have only begun to make what a group needs.
func TestHandlersBeginOnAServerThatIsCutFromTheOthers(t *testing.T) {
	virtual(t, 22, servers, 3, func(w *world) {
		w.open("a", 0).work()
		h := w.open("h", 1)
		w.held(10 * time.Second)
		w.isolate(1)
		h.handle(shortly)
		time.Sleep(2 * lease)
		for _, room := range w.account.names {
			w.backend.say(room)
		}
		w.settled(5 * time.Second)
	})
}

// A worker that is drained while it hands rooms over has handed over all of them in time.
func TestDrainingWhileRoomsAreHandedOver(t *testing.T) {
	virtual(t, 4, 1, 120, func(w *world) {
		p := w.open("p", 0).work(fleet.WithMoveRate(2))
		w.held(10 * time.Second)
		w.open("q", 0).work()
		time.Sleep(5 * time.Second)
		taken := p.worker.Stats().Taken
		p.stop()
		assert.GreaterOrEqual(w, p.worker.Stats().Released, taken, "rooms that were handed over")
		w.held(2 * time.Second)
	})
}

var errPoison = errors.New("poison")

// Messages whose callbacks fail delay the messages of no other room. For those that fail permanently there
// is a dead letter at once.
func TestPoison(t *testing.T) {
	virtual(t, 5, 3, 16, func(w *world) {
		w.open("a", 0).work()
		dead := 0
		w.open("h", 1).handle(func(ctx context.Context, v words) error {
			switch {
			case v.Room == "r0" && v.N%2 == 0:
				dead++ // its messages are handled one at a time
				return wechatws.Permanent(errPoison)
			case v.Room == "r1":
				return errors.New("try again")
			}
			return shortly(ctx, v)
		}, fleet.WithRetryAfter(5*time.Second))
		w.held(10 * time.Second)
		stop := w.traffic(w.admin)
		time.Sleep(20 * time.Second)
		stop()
		time.Sleep(time.Second)
		for _, left := range w.account.open() {
			assert.True(w, strings.HasPrefix(left, "r1:"), left)
		}
		letters := 0
		for d, err := range w.admin.fleet.Control().DeadLetters(w.Context()) {
			require.NoError(w, err)
			assert.Equal(w, "r0", d.Room)
			letters++
		}
		assert.Positive(w, dead)
		assert.Equal(w, dead, letters)
		for name, longest := range w.account.latencies() {
			assert.True(w, name == "r1" || longest < time.Second, "%s: a message was handled after %v", name, longest)
		}
	})
}

// A message that can never be delivered is reported, and stops no other one to the room.
func TestAMessageThatCanNeverBeDelivered(t *testing.T) {
	virtual(t, 5, 1, 2, func(w *world) {
		a := w.open("a", 0).work()
		w.held(10 * time.Second)
		require.NoError(w, w.admin.fleet.Send(w.Context(), "r0", wechatws.Text(strings.Repeat("x", maxQueued+1))))
		for range 3 {
			require.NoError(w, w.admin.send("r0", note, false))
		}
		w.settled(5 * time.Second)
		assert.Error(w, <-a.errs)
	})
}

// Settings that differ from those that the fleet was made with are refused.
func TestSettingsThatDiffer(t *testing.T) {
	virtual(t, 7, 3, 0, func(w *world) {
		for name, option := range map[string]fleet.Option{
			"WithReplicas": fleet.WithReplicas(1), "WithLease": fleet.WithLease(2 * lease), "WithPartitions": fleet.WithPartitions(5),
			"WithKeepIn": fleet.WithKeepIn(time.Hour), "WithKeepOut": fleet.WithKeepOut(time.Hour), "WithMaxIn": fleet.WithMaxIn(1 << 28), "WithMaxOut": fleet.WithMaxOut(1 << 25),
		} {
			_, err := w.tryOpen(name, 0, option)
			var wrong *wechatws.OptionError
			if assert.ErrorAs(w, err, &wrong, name) {
				assert.Equal(w, "fleet."+name, wrong.Option)
			}
		}
	})
}

// Two processes of a group whose settings differ never handle messages of one room at the same time. The
// account has it if they do.
func TestProcessesOfAGroupWhoseSettingsDiffer(t *testing.T) {
	virtual(t, 7, 1, 6, func(w *world) {
		w.open("a", 0).work()
		slowly := func(ctx context.Context, _ words) error {
			select {
			case <-time.After(4 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		w.open("h", 0).handle(slowly, fleet.WithTakeoverAfter(30*time.Second))
		w.held(10 * time.Second)
		stop := w.traffic(w.admin)
		time.Sleep(5 * time.Second)
		w.open("i", 0).handle(slowly, fleet.WithTakeoverAfter(2*time.Second))
		time.Sleep(20 * time.Second)
		stop()
		w.settled(10 * time.Minute)
	})
}

// Handlers go on after the loss of their consumers, and of the stream, and report that.
func TestHandlersThatLoseTheirConsumers(t *testing.T) {
	virtual(t, 8, 3, 6, func(w *world) {
		w.open("a", 0).work()
		h := w.open("h", 1).handle(shortly)
		w.held(10 * time.Second)
		w.speak(3 * time.Second)
		w.settled(time.Second)
		for range 3 {
			for _, name := range w.cluster.Streams() {
				w.cluster.DeleteConsumers(name)
			}
			w.speak(time.Second)
			w.settled(5 * time.Second)
		}
		w.cluster.DeleteStream("wechatws-in")
		select {
		case err := <-h.errs:
			assert.ErrorContains(w, err, "does not exist")
		case <-time.After(30 * time.Second):
			w.Error("the handlers report nothing")
		}
		time.Sleep(20 * time.Second)
		w.speak(3 * time.Second)
		w.settled(5 * time.Second)
	})
}

// speak has the backend say something in all rooms for a time.
func (w *world) speak(d time.Duration) {
	before := fmt.Sprint(w.account.sums())
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, room := range w.account.names {
			w.backend.say(room)
		}
	}
	assert.NotEqual(w, before, w.account.sums(), "nothing has happened")
}

// A request whose answer is lost is sent again.
func TestAnAnswerIsLost(t *testing.T) {
	virtual(t, 6, 3, 1, func(w *world) {
		lost := func(call func(ctx context.Context) error) {
			w.Helper()
			ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			w.cluster.SetFaults(natssim.Faults{LoseAnswer: 1000})
			time.AfterFunc(time.Second, func() { w.cluster.SetFaults(natssim.Faults{}) })
			require.NoError(w, call(ctx))
			assert.Less(w, time.Since(began), 5*time.Second)
		}
		lost(func(ctx context.Context) error { _, err := w.admin.fleet.Control().Get(ctx, "r0"); return err })
		lost(func(ctx context.Context) error { return w.admin.fleet.Send(ctx, "r0", wechatws.Text("hello")) })
	})
}

// What a call has written is seen by the next one, however far replicas are behind their leaders.
func TestWhatIsWrittenIsSeen(t *testing.T) {
	virtual(t, 6, 3, 0, func(w *world) {
		w.cluster.SetFaults(natssim.Faults{Lag: 5 * time.Second})
		control, ctx := w.admin.fleet.Control(), w.Context()
		for i := range 20 {
			spec := fleet.Spec{ID: fmt.Sprint("seen", i), Endpoint: w.backend.endpoint("seen")}
			seen := func() {
				s, err := control.Get(ctx, spec.ID)
				require.NoError(w, err)
				require.Equal(w, spec.Endpoint, s.Endpoint)
			}
			require.NoError(w, control.Add(ctx, spec))
			seen()
			require.NoError(w, w.admin.fleet.Send(ctx, spec.ID, wechatws.Text("hello")))
			spec.Endpoint += "&other"
			require.NoError(w, control.Update(ctx, spec))
			seen()
			_, err := control.Remove(ctx, spec.ID)
			require.NoError(w, err)
			_, err = control.Get(ctx, spec.ID)
			require.ErrorIs(w, err, fleet.ErrNoRoom)
			require.ErrorIs(w, w.admin.fleet.Send(ctx, spec.ID, wechatws.Text("hello")), fleet.ErrNoRoom)
		}
	})
}
