package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// GroupStatus describes a group of handlers.
type GroupStatus struct {
	Name       string `json:"name"`
	Processes  int    `json:"processes"`  // that handle messages
	Partitions int    `json:"partitions"` // that the group has begun with
	Free       int    `json:"free"`       // of these, without a process
	Lag        uint64 `json:"lag"`        // messages that are not acknowledged
	Behind     int    `json:"behind"`     // rooms that others have run ahead of, since their messages are tried again or slow
}

// Groups returns the groups of handlers that have ever run, by name, also those without a process. It asks
// NATS for the lag of each partition. What it has of processes is seconds old, and as exact as the clocks
// of NATS and of this machine agree.
func (c Control) Groups(ctx context.Context) ([]GroupStatus, error) {
	kv, err := c.f.js.KeyValue(ctx, c.f.name+"-groups")
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fleet: groups: %w", plain(err))
	}
	keys := map[string]*entry{}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	w := bucketWatch{f: c.f, kv: kv, keys: []string{">"}}
	err = w.run(reading, func(e *entry) {
		switch {
		case e == nil:
			cancel()
		case e.gone:
			delete(keys, e.key)
		default:
			keys[e.key] = e
		}
	})
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, fmt.Errorf("fleet: groups: %w", plain(err))
	}
	groups := map[string]*GroupStatus{}
	for key, e := range keys {
		parts := strings.Split(key, ".") // group, position or member, number or name
		if len(parts) != 3 {
			continue
		}
		g := groups[parts[0]]
		if g == nil {
			g = &GroupStatus{Name: parts[0]}
			groups[parts[0]] = g
		}
		var pos position
		if json.Unmarshal(e.value, &pos) != nil {
			continue
		}
		there := time.Since(e.written) < 2*pos.Wait
		number, err := strconv.Atoi(parts[2])
		switch {
		case parts[1] == "member" && there:
			g.Processes++
		case parts[1] != "position" || err != nil:
		default:
			g.Partitions++
			g.Behind += len(pos.Behind)
			if pos.Owner == "" || !there {
				g.Free++
			}
			p, err := c.f.newPuller(ctx, c.f.partitionSubject(number), pos.Done+1)
			if err != nil {
				return nil, fmt.Errorf("fleet: lag of group %q: %w", g.Name, plain(err))
			}
			p.close()
			g.Lag += p.pending
		}
	}
	var list []GroupStatus
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		list = append(list, *groups[name])
	}
	return list, nil
}
