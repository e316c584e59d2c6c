package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet/internal/natssim"
)

// withDeadLetters opens a fleet with a room r on a cluster, and connections to it of other processes. bury makes a
// dead letter to the room.
func withDeadLetters(t *testing.T, seed uint64, test func(t *testing.T, cluster *natssim.Cluster, processes []*Fleet, bury func(text string) uint64)) {
	natssim.Bubble(t, func(t *testing.T) {
		cluster := natssim.New(seed, 3)
		defer cluster.Close()
		var processes []*Fleet
		for i := range 4 {
			f, err := Open(t.Context(), WithNATS(cluster.URLs(i%3), nats.SetCustomDialer(cluster.Dialer(fmt.Sprint("p", i))), nats.DontRandomize()), WithReplicas(3))
			require.NoError(t, err)
			defer f.Close()
			processes = append(processes, f)
		}
		f := processes[0]
		require.NoError(t, f.Control().Add(t.Context(), Spec{ID: "r"}))
		require.NoError(t, f.makeDead(t.Context()))
		test(t, cluster, processes, func(text string) uint64 {
			m := nats.NewMsg(f.name + ".dead.to.r")
			m.Header.Set(headerTo, "r")
			m.Header.Set(headerWorker, "w")
			m.Header.Set(headerReason, "=")
			m.Data = []byte(text)
			ack, err := f.js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
			return ack.Sequence
		})
	})
}

// waiting returns the messages that wait for room r.
func waiting(t *testing.T, f *Fleet) (list []string) {
	for next := uint64(1); ; {
		m, err := f.nextMessage(t.Context(), f.name+"-out", f.outSubject("r"), next)
		if err != nil {
			return list
		}
		list, next = append(list, string(m.Data)), m.Seq+1
	}
}

// Of several calls of Replay and Drop for one dead letter, exactly one succeeds, and what was dropped is not sent
// again.
func TestADeadLetterIsReplayedOrDroppedOnce(t *testing.T) {
	for seed := range uint64(10) {
		withDeadLetters(t, seed, func(t *testing.T, _ *natssim.Cluster, processes []*Fleet, bury func(string) uint64) {
			id := bury("again")
			var mu sync.Mutex
			succeeded := map[string]int{}
			var calls sync.WaitGroup
			for i, f := range processes {
				for name, call := range map[string]func(context.Context, uint64) error{"Replay": f.Control().Replay, "Drop": f.Control().Drop} {
					calls.Go(func() {
						time.Sleep(time.Duration(i) * time.Millisecond)
						err := call(t.Context(), id)
						if err != nil {
							assert.ErrorIs(t, err, ErrNoDeadLetter, "seed %d: %s", seed, name)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						succeeded[name]++
					})
				}
			}
			calls.Wait()
			assert.Equal(t, 1, succeeded["Replay"]+succeeded["Drop"], "seed %d: %v", seed, succeeded)
			assert.Len(t, waiting(t, processes[0]), succeeded["Replay"], "seed %d: %v", seed, succeeded)
			n, err := processes[0].js.Stream(t.Context(), "wechatws-dead")
			require.NoError(t, err)
			assert.Zero(t, n.CachedInfo().State.Msgs, "nothing is left")
		})
	}
}

// A dead letter whose process was lost while it replayed the letter is replayed or dropped by another one.
func TestADeadLetterOutlivesTheProcessThatReplaysIt(t *testing.T) {
	withDeadLetters(t, 1, func(t *testing.T, cluster *natssim.Cluster, processes []*Fleet, bury func(string) uint64) {
		f, other := processes[0], processes[1].Control()
		for _, call := range []func(context.Context, uint64) error{other.Replay, other.Drop} {
			id := bury("again")
			_, err := f.deadTurn(t.Context(), id)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, call(ctx, id), context.DeadlineExceeded)
			cancel()
			require.NoError(t, call(t.Context(), id))
			require.ErrorIs(t, call(t.Context(), id), ErrNoDeadLetter)
		}
		assert.Equal(t, []string{"again"}, waiting(t, f))
	})
}

// A dead letter that could not be replayed can be dropped at once; one of which it is not known can be dropped when
// the attempt is over.
func TestADeadLetterThatCannotBeReplayed(t *testing.T) {
	withDeadLetters(t, 1, func(t *testing.T, cluster *natssim.Cluster, processes []*Fleet, bury func(string) uint64) {
		id, f := bury("again"), processes[0]
		_, err := f.Control().Remove(t.Context(), "r")
		require.NoError(t, err)
		require.ErrorIs(t, f.Control().Replay(t.Context(), id), ErrNoRoom)
		full := &jetstream.APIError{Code: 503, ErrorCode: fullStream}
		err = f.finish(t.Context(), id, func(context.Context, DeadLetter, nats.Header) error { return full })
		require.ErrorIs(t, err, full)
		began := time.Now()
		require.NoError(t, f.Control().Drop(t.Context(), id))
		assert.Less(t, time.Since(began), time.Second)

		id = bury("unknown")
		unknown := errors.New("the program has stopped waiting")
		err = f.finish(t.Context(), id, func(context.Context, DeadLetter, nats.Header) error {
			return errors.Join(unknown, context.DeadlineExceeded)
		})
		require.ErrorIs(t, err, unknown)
		began = time.Now()
		require.NoError(t, f.Control().Drop(t.Context(), id))
		assert.Greater(t, time.Since(began), deadTurn/2)
	})
}
