package fleet

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// BenchmarkRead reads rooms and their holders: all of them, as Control.List does, and the claims of their shards, with
// which a worker begins.
func BenchmarkRead(b *testing.B) {
	for _, rooms := range []int{20_000, 100_000} {
		b.Run(fmt.Sprint(rooms, " rooms"), func(b *testing.B) {
			f, err := Open(b.Context(), WithListen("127.0.0.1:0", ""), WithDir(b.TempDir()))
			require.NoError(b, err)
			defer f.Close()
			fill(b, f, rooms)
			b.Run("list", func(b *testing.B) {
				for b.Loop() {
					list, err := f.Control().List(b.Context())
					require.NoError(b, err)
					require.Len(b, list, rooms)
				}
			})
			b.Run("claims", func(b *testing.B) {
				for b.Loop() {
					v := newView()
					for _, err := range f.follow(b.Context(), f.sources(claimPrefix+"*"), &v) {
						require.NoError(b, err)
						break
					}
					require.Len(b, v.shards, f.settled.Shards)
				}
			})
		})
	}
}

// fill writes what Control.Add would, without waiting for each answer, and the lease of one worker.
func fill(b *testing.B, f *Fleet, rooms int) {
	b.Helper()
	put := func(key string, value any) {
		data, err := json.Marshal(value)
		require.NoError(b, err)
		_, err = f.js.PublishMsgAsync(&nats.Msg{Subject: f.keySubject(f.rooms, key), Data: data}, jetstream.WithStallWait(time.Minute))
		require.NoError(b, err)
	}
	for n := range f.settled.Shards {
		put(claimKey(n), claim{Shard: n, hold: hold{Session: "session", Since: time.Now()}})
	}
	for n := range rooms {
		room := fmt.Sprint("room-", n)
		put(f.roomKey(room), record{Spec: Spec{ID: room, Endpoint: "wss://example.com/live/" + room, IDs: map[string]string{"room": room}}, Added: 1})
	}
	select {
	case <-f.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		require.Fail(b, "rooms are not written")
	}
	value, err := json.Marshal(member{Name: "a", Since: time.Now()})
	require.NoError(b, err)
	_, err = f.putKey(b.Context(), f.leases[0], "session", value, 0, time.Hour)
	require.NoError(b, err)
}
