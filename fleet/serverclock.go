package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A serverClock has the time of NATS, by which messages expire: the wall clocks of the machines that send
// and deliver may differ.
type serverClock struct {
	mu     sync.Mutex
	server time.Time // the time of NATS at asked
	asked  time.Time
}

// now returns the time of the leader of a stream. It asks for it at most once a minute, and after a change
// of this machine's clock.
func (c *serverClock) now(ctx context.Context, s interface {
	Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error)
}) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := time.Since(c.asked) // monotonic, which stands still while the machine is suspended
	if c.asked.IsZero() || passed > time.Minute || since(c.asked)-passed > 100*time.Millisecond {
		ctx, cancel := context.WithTimeout(ctx, publishing)
		defer cancel()
		asked := time.Now()
		info, err := s.Info(ctx)
		if err != nil {
			return time.Time{}, err
		}
		c.server, c.asked, passed = info.TimeStamp, asked, time.Since(asked)
	}
	return c.server.Add(passed), nil
}
