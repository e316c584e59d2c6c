package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A StorageStatus is what NATS keeps in one stream of the fleet. A bucket is a stream, too.
type StorageStatus struct {
	Stream   string        // the name of the stream in NATS, such as wechatws-in or KV_wechatws-rooms
	Bytes    uint64        // on each of its replicas
	MaxBytes int64         // -1: unlimited, since it was changed in NATS
	Messages uint64        // or keys
	Age      time.Duration // of its oldest message; zero without messages
	MaxAge   time.Duration // zero: unlimited
}

// Storage returns how full the streams and buckets of the fleet are: that of rooms, those of leases, the
// messages from and to rooms, and, if there are any, the groups of handlers and the dead letters. One that
// does not exist is left out. docs/fleet-operating.md describes what happens when one is full.
func (c Control) Storage(ctx context.Context) ([]StorageStatus, error) {
	names := []string{"KV_" + c.f.rooms.Bucket()}
	for _, kv := range c.f.leases {
		names = append(names, "KV_"+kv.Bucket())
	}
	names = append(names, c.f.name+"-in", c.f.name+"-out", "KV_"+c.f.name+"-groups", c.f.name+"-dead")
	var list []StorageStatus
	for _, name := range names {
		s, err := c.f.js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return nil, fmt.Errorf("fleet: stream %s: %w", name, plain(err))
		}
		info := s.CachedInfo()
		one := StorageStatus{
			Stream: name, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
			Messages: info.State.Msgs, MaxAge: info.Config.MaxAge,
		}
		if one.Messages > 0 {
			one.Age = info.TimeStamp.Sub(info.State.FirstTime) // both by the clock of NATS
		}
		list = append(list, one)
	}
	return list, nil
}
