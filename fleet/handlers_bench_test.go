package fleet_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// BenchmarkHandlers handles messages that are in the stream already, with a callback that does nothing. For
// comparison, "one by one" is what a consumer with one message under way in a partition, each of which is
// acknowledged before the next one, makes possible.
func BenchmarkHandlers(b *testing.B) {
	for _, one := range []struct {
		name  string
		rooms int
		run   func(b *testing.B, f *fleet.Fleet, js jetstream.JetStream)
	}{
		{"one by one, 1000 rooms", 1000, oneByOne},
		{"group, 1000 rooms", 1000, group},
		{"group, one room", 1, group},
	} {
		b.Run(one.name, func(b *testing.B) {
			f, err := fleet.Open(b.Context(), fleet.WithListen("127.0.0.1:0", ""), fleet.WithDir(b.TempDir()))
			require.NoError(b, err)
			defer f.Close()
			nc, err := nats.Connect(f.URL())
			require.NoError(b, err)
			defer nc.Close()
			js, err := jetstream.New(nc)
			require.NoError(b, err)
			data := []byte(`{"msg_type":"message","content":"what a visitor of a room writes"}`)
			for i := range b.N {
				room := fmt.Sprint("room", i%one.rooms)
				m := nats.NewMsg("wechatws.in." + strconv.FormatUint(placement.Hash(room)%16, 10) + "." + names.Token(room) + ".message")
				m.Header.Set("Fleet-Type", "message")
				m.Header.Set("Fleet-Worker", "w") // or it is no message of a room
				m.Data = data
				if i%1000 == 0 {
					_, err = js.PublishMsg(b.Context(), m)
				} else {
					err = nc.PublishMsg(m)
				}
				require.NoError(b, err)
			}
			require.NoError(b, nc.Flush())
			b.ResetTimer()
			one.run(b, f, js)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// group handles b.N messages with Handlers.
func group(b *testing.B, f *fleet.Fleet, _ jetstream.JetStream) {
	h, err := f.NewHandlers("g", fleet.WithFromStart())
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	var n atomic.Int64
	fleet.On(h, "message", func(context.Context, fleet.Message, comment) error {
		if n.Add(1) == int64(b.N) {
			cancel()
		}
		return nil
	})
	require.NoError(b, h.Run(ctx))
}

// oneByOne handles b.N messages with a consumer for each partition that gives out one at a time.
func oneByOne(b *testing.B, _ *fleet.Fleet, js jetstream.JetStream) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var n atomic.Int64
	var working sync.WaitGroup
	for p := range 16 {
		c, err := js.CreateConsumer(ctx, "wechatws-in", jetstream.ConsumerConfig{
			FilterSubject: fmt.Sprint("wechatws.in.", p, ".>"), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1,
		})
		require.NoError(b, err)
		working.Go(func() {
			messages, err := c.Messages(jetstream.PullMaxMessages(1))
			if err != nil {
				b.Error(err)
				return
			}
			defer messages.Stop()
			defer context.AfterFunc(ctx, messages.Stop)()
			for {
				m, err := messages.Next()
				if err != nil {
					return
				}
				if err := m.DoubleAck(ctx); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				if n.Add(1) == int64(b.N) {
					cancel()
				}
			}
		})
	}
	working.Wait()
}
