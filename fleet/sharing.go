package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/wechatws/wechatws/fleet/internal/names"
	"github.com/wechatws/wechatws/fleet/internal/placement"
)

// The processes of a group share its partitions. Each of them has a key in the bucket of groups, and each
// partition has one, its position. A process writes its keys again and again. A key that has not changed for
// as long as its writer has promised is that of a process that is lost. That is measured by the clock of the
// process that looks, so that clocks need not agree.
//
// (Why not the pinned consumers of NATS: which client is pinned is known to the leader of the consumer alone.
// When the leader changes, another client may be pinned at once, while callbacks of the former one run, and
// it gets a room's next messages before the ones that the former one has not acknowledged.)

// groupKeys are the parts of keys in the bucket of groups.
func (h *Handlers) positionKey(partition int) string {
	return h.group + ".position." + strconv.Itoa(partition)
}
func (h *Handlers) memberKey(name string) string { return h.group + ".member." + names.Token(name) }

// processName returns a name that no other process has.
func processName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s-%d-%s", cmp.Or(host, "process"), os.Getpid(), nuid.Next()[nuidPrefix:])
}

const nuidPrefix = 16 // the rest is enough for processes of one host

// A sight is the last change of a key that this process has seen.
type sight struct {
	value   []byte
	rev     uint64
	at      time.Time // when it was seen
	written time.Time // by the clock of NATS
}

// A sharing is a process's share of a group's partitions.
type sharing struct {
	h       *Handlers
	seen    map[string]sight
	newest  time.Time // change, by the clock of NATS
	mine    map[int]*partition
	rev     uint64 // of the process's own key
	renewed time.Time
	refused bool     // the last partition could not be taken
	over    chan int // partitions that have ended
}

// share takes this process's share of the partitions, and handles their messages until ctx ends.
func (h *Handlers) share(ctx context.Context) {
	s := &sharing{h: h, seen: map[string]sight{}, mine: map[int]*partition{}, over: make(chan int)}
	changes := make(chan *entry)
	var watching sync.WaitGroup
	watching.Go(func() { h.watchGroup(ctx, changes) })
	defer watching.Wait()
	tick := time.NewTicker(min(h.cfg.takeover/8, time.Second))
	defer tick.Stop()
	complete := false
	for {
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return
		case e := <-changes:
			news := e == nil || s.see(e)
			if complete = complete || e == nil; !news {
				continue
			}
		case number := <-s.over:
			delete(s.mine, number)
		case <-tick.C:
		}
		if s.renew(ctx); complete {
			s.step(ctx)
		}
	}
}

// watchGroup sends each change of the group's keys, and nil when all that there were are sent. It makes the
// bucket if NATS has lost it.
func (h *Handlers) watchGroup(ctx context.Context, changes chan<- *entry) {
	w := bucketWatch{f: h.f, kv: h.groups, keys: []string{h.group + ".>"}}
	for ctx.Err() == nil {
		err := w.run(ctx, func(e *entry) {
			select {
			case changes <- e:
			case <-ctx.Done():
			}
		})
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, jetstream.ErrStreamNotFound):
			h.fail(fmt.Errorf("fleet: group %q: the bucket of groups does not exist", h.group))
			if _, err := h.f.makeGroups(ctx); err != nil {
				h.fail(err)
			}
		case err != nil && !temporary(err):
			h.fail(fmt.Errorf("fleet: group %q: %w", h.group, err))
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// see records a change, and reports whether the members or the owner of a partition have changed.
func (s *sharing) see(e *entry) bool {
	before, known := s.seen[e.key]
	switch {
	case e.gone && strings.Contains(e.key, ".position."): // by mistake: the owner writes it again
		before.rev = e.rev
		s.seen[e.key] = before
		return false
	case e.gone:
		delete(s.seen, e.key)
		return known
	}
	s.seen[e.key] = sight{e.value, e.rev, time.Now(), e.written}
	s.newest = later(s.newest, e.written)
	if !strings.Contains(e.key, ".position.") {
		return !known
	}
	return decodePosition(before.value).Owner != decodePosition(e.value).Owner
}

// decodePosition returns the zero position for a value that is none: any client of NATS can write into the
// bucket.
func decodePosition(value []byte) (p position) {
	if json.Unmarshal(value, &p) != nil {
		return position{}
	}
	return p
}

// lost reports whether the process that has written a key is lost, which has promised to write it again
// within wait.
func (s *sharing) lost(key sight, wait time.Duration) bool {
	wait = min(max(wait, leastTakeover), mostTakeover)
	return since(key.at) > wait || s.newest.Sub(key.written) > 2*wait
}

// members returns the names of the processes of the group, in order.
func (s *sharing) members() (list []string) {
	list = []string{s.h.name}
	for key, at := range s.seen {
		token, ok := strings.CutPrefix(key, s.h.group+".member.")
		name, err := names.Text(token)
		if !ok || err != nil || name == s.h.name {
			continue
		}
		var m position // of which a member's key has the wait
		_ = json.Unmarshal(at.value, &m)
		if !s.lost(at, m.Wait) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// renew writes the process's own key.
func (s *sharing) renew(ctx context.Context) {
	if time.Since(s.renewed) < s.h.cfg.takeover/4 {
		return
	}
	value, err := json.Marshal(position{Wait: s.h.cfg.takeover})
	if err != nil {
		panic(err) // numbers
	}
	ctx, cancel := context.WithTimeout(ctx, min(publishing, s.h.cfg.takeover/4))
	defer cancel()
	sent := time.Now()
	rev, err := s.h.f.putKey(ctx, s.h.groups, s.h.memberKey(s.h.name), value, s.rev, 0)
	switch {
	case err == nil:
		s.rev, s.renewed = rev, sent
		s.h.reached.Store(&sent)
	case isWrongRevision(err): // of a write whose answer was lost; 0 if NATS has lost the key
		if m, err := s.h.f.lastInBucket(ctx, s.h.groups, s.h.memberKey(s.h.name)); err == nil {
			s.rev = m.Seq
		} else if errors.Is(err, jetstream.ErrMsgNotFound) {
			s.rev = 0
		}
	}
}

// step gives up partitions that belong to other processes, and takes those that belong to this one and that
// no other one has.
func (s *sharing) step(ctx context.Context) {
	owners := assign(s.h.f.settled.Partitions, s.members())
	for number, owner := range owners {
		p := s.mine[number]
		switch at := s.seen[s.h.positionKey(number)]; {
		case p != nil && owner != s.h.name:
			p.leave()
		case p == nil && owner == s.h.name && s.free(at):
			err := s.take(ctx, number, at)
			if err != nil && ctx.Err() == nil {
				if !s.refused {
					s.h.f.log.Warn("partition cannot be taken", "group", s.h.group, "partition", number, "err", plain(err))
				}
				s.refused = true
				return // at the next step
			}
			s.refused = false
		}
	}
}

// assign returns which member each partition belongs to: to the one with the highest score, of those that do
// not have their share. Shares differ by one at most, and few partitions move when members come and go.
func assign(partitions int, members []string) []string {
	owners, count := make([]string, partitions), make([]int, len(members))
	share, extra := partitions/len(members), partitions%len(members)
	for p := range owners {
		best, highest := -1, uint64(0)
		for i, name := range members {
			if count[i] > share || count[i] == share && extra == 0 {
				continue
			}
			score := placement.Score(placement.Hash(strconv.Itoa(p)), placement.Hash(name))
			if best < 0 || score > highest {
				best, highest = i, score
			}
		}
		if count[best] == share {
			extra--
		}
		count[best]++
		owners[p] = members[best]
	}
	return owners
}

// free reports whether no process has a partition.
func (s *sharing) free(at sight) bool {
	pos := decodePosition(at.value)
	return pos.Owner == "" || pos.Owner == s.h.name || s.lost(at, pos.Wait)
}

// take takes a partition, and begins to handle its messages.
func (s *sharing) take(ctx context.Context, number int, at sight) error {
	in, err := s.h.madeIn(ctx)
	if err != nil {
		return err
	}
	pos := decodePosition(at.value)
	switch {
	case pos.In.IsZero():
		if pos.Done, err = s.begin(ctx); err != nil {
			return err
		}
	case !pos.In.Equal(in):
		s.h.fail(fmt.Errorf("fleet: group %q, partition %d: %w", s.h.group, number, errNewIn))
		pos = position{}
	case pos.Owner != "" && pos.Owner != s.h.name:
		pos.Lost++
	}
	pos.Owner, pos.Wait, pos.In = s.h.name, s.h.cfg.takeover, in
	value, err := json.Marshal(pos)
	if err != nil {
		return err
	}
	key := s.h.positionKey(number)
	taking, cancel := context.WithTimeout(ctx, min(publishing, s.h.cfg.takeover/4))
	defer cancel()
	sent := time.Now()
	rev, err := s.h.f.putKey(taking, s.h.groups, key, value, at.rev, 0)
	if isWrongRevision(err) { // another process was faster, or NATS has lost the key
		now, err := s.h.f.lastInBucket(taking, s.h.groups, key)
		switch {
		case err == nil: // the watcher may be behind, or blind
			s.seen[key] = sight{now.Data, now.Seq, time.Now(), now.Time}
		case errors.Is(err, jetstream.ErrMsgNotFound):
			at.rev = 0
			s.seen[key] = at
		}
		return err
	}
	if err != nil {
		return err
	}
	p := s.h.newPartition(ctx, number, pos, rev, sent)
	s.mine[number] = p
	s.h.partitions.Store(number, p)
	go func() {
		p.run()
		s.h.partitions.Delete(number)
		s.over <- number
	}()
	return nil
}

// begin returns where a new group begins.
func (s *sharing) begin(ctx context.Context) (done uint64, err error) {
	if s.h.cfg.fromStart {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	info, err := s.h.f.in.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// leave gives up all partitions, and returns when no callback runs any more.
func (s *sharing) leave(ctx context.Context) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishing)
	defer cancel()
	if s.rev > 0 {
		if _, err := s.h.f.putKey(ending, s.h.groups, s.h.memberKey(s.h.name), nil, s.rev, 0); err != nil {
			s.h.f.log.Warn("other processes of the group must wait for this one", "group", s.h.group, "err", err)
		}
	}
	for range s.mine {
		<-s.over
	}
}
