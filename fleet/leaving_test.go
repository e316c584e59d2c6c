package fleet_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A leaver records whether its fleet leaves a NATS server for the next one.
type leaver struct {
	slog.Handler
	left chan string
}

func (l leaver) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "is left for the next one") {
		select {
		case l.left <- r.Message:
		default:
		}
	}
	return nil
}

// openTwice makes a fleet that has two addresses of the same NATS, so that it can leave one for the
// other, and leaves servers that are silent for half a second.
func (w *storedWorld) openTwice(options ...fleet.Option) leaver {
	w.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.url, "nats://"))
	require.NoError(w, err)
	l := leaver{slog.NewTextHandler(io.Discard, nil), make(chan string, 1)}
	w.fleet, err = fleet.Open(w.ctx(), append(options, fleet.WithNATS(w.url+",nats://localhost:"+port), fleet.WithLease(2*time.Second), fleet.WithLogger(slog.New(l)))...)
	require.NoError(w, err)
	w.Cleanup(w.fleet.Close)
	return l
}

// stream replaces that of a world, whose fleet listens.
func (w *storedWorld) stream(name string) jetstream.Stream {
	w.Helper()
	s, err := w.js.Stream(w.ctx(), name)
	require.NoError(w, err)
	return s
}

// deleteConsumers deletes all consumers of a stream.
func (w *world) deleteConsumers(s jetstream.Stream) error {
	for name := range s.ConsumerNames(w.ctx()).Name() {
		if err := s.DeleteConsumer(w.ctx(), name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return nil
}

// A group's consumer that is not there any more is no sign of a server that is cut off.
func TestAMissingConsumerLeavesNoServer(t *testing.T) {
	t.Parallel()
	w := newStoredWorld(t, 4<<30)
	l := w.openTwice(fleet.WithPartitions(1))
	w.add(1)
	w.worker("a")
	conn := w.conn("r0")
	got := w.handle("g")
	require.NoError(t, conn.Send(`{"msg_type":"one"}`))
	require.Equal(t, "one", got.next().Type)
	require.NoError(t, w.deleteConsumers(w.stream("wechatws-in")))
	select { // pulls get no heartbeat meanwhile
	case <-l.left:
		assert.Fail(t, "a server that answers is left")
	case <-time.After(6 * time.Second):
	}
}

// A server that refuses what a full stream cannot take answers, whatever was left without an answer
// before.
func TestAFullStreamLeavesNoServer(t *testing.T) {
	t.Parallel()
	w := newStoredWorld(t, 4<<30)
	l := w.openTwice(fleet.WithMaxOut(16 * mib))
	w.add(1)
	var message wechatws.Text
	send := func(ctx context.Context) error { return w.fleet.Send(ctx, "r0", message) }
	full := func(err error) bool { return err != nil && strings.Contains(err.Error(), "maximum bytes exceeded") }
	// In the end a small message is refused: with a large one the search below would leave requests
	// without an answer for longer than a server may.
	for size := 4 * mib; size > 4<<10; size /= 16 {
		message = wechatws.Text(strings.Repeat("x", size))
		require.Eventually(t, func() bool { return full(send(w.ctx())) }, patience, time.Nanosecond)
	}

	// The room is found, and the answer to the message is not waited for.
	late := false
	for wait := 50 * time.Microsecond; !late; wait += wait / 10 {
		require.Less(t, wait, patience)
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		err := send(ctx)
		cancel()
		late = errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "is not stored")
		if full(err) {
			wait = 50 * time.Microsecond
		}
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(tick) {
		require.True(t, full(send(w.ctx())))
	}
	assert.Zero(t, len(l.left), "a server that answers is left")
}
