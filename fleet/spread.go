package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// spread ensures that no NATS server leads all buckets of leases: if that server were lost, no lease
// could be renewed until new leaders are elected. One worker does it for all.
func (t *tenure) spread() {
	if len(t.f.leases) == 1 || t.spreading || !t.first() {
		return
	}
	t.spreading = true
	t.working.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
		defer cancel()
		if err := t.f.spreadLeases(ctx); err != nil && t.ctx.Err() == nil {
			t.f.log.Warn("one NATS server leads all buckets of leases", "err", err)
		}
		t.post(func() { t.spreading = false })
	})
}

// first reports whether this worker is the first of the members by session.
func (t *tenure) first() bool {
	for session := range t.members {
		if session < t.s.id {
			return false
		}
	}
	return true
}

// spreadLeases makes the leader of one of the buckets step down if it leads all of them and another
// server can take over.
func (f *Fleet) spreadLeases(ctx context.Context) error {
	leader := ""
	for _, kv := range f.leases {
		s, err := f.js.Stream(ctx, "KV_"+kv.Bucket())
		if err != nil {
			return nil // NATS cannot be reached
		}
		c := s.CachedInfo().Cluster
		if c == nil || c.Leader == "" || leader != "" && leader != c.Leader || !anyCurrent(c.Replicas) {
			return nil
		}
		leader = c.Leader
	}
	m, err := f.nc.RequestWithContext(ctx, f.api("STREAM.LEADER.STEPDOWN.KV_"+f.leases[0].Bucket()), nil)
	if err != nil {
		return fmt.Errorf("%s does not step down: %w", leader, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Description)
	}
	return nil
}

func anyCurrent(replicas []*jetstream.PeerInfo) bool {
	for _, r := range replicas {
		if r.Current && !r.Offline {
			return true
		}
	}
	return false
}
