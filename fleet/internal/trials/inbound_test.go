package trials_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A published is a message in the stream from the rooms.
type published struct {
	seq        uint64
	room, kind string
	fence      uint64
	worker     string
	connection int
	number     int // what the visitor has said; 0: it is not a visitor's
}

// readInbound reads the stream itself, from a sequence on: what handlers get may be behind.
func readInbound(ctx context.Context, js jetstream.JetStream, name string, from uint64) ([]published, error) {
	s, err := js.Stream(ctx, name+"-in")
	if err != nil {
		return nil, err
	}
	last := s.CachedInfo().State.LastSeq
	if last < from {
		return nil, nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from})
	if err != nil {
		return nil, err
	}
	messages, err := c.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var list []published
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		parts := strings.Split(m.Subject(), ".") // name, in, partition, room, type
		if len(parts) != 5 {                     // a marker: name, in, _held, shard
			parts = append(parts, "_held")
		}
		p := published{seq: meta.Sequence.Stream, room: parts[3], kind: parts[4], worker: m.Headers().Get("Fleet-Worker")}
		p.fence, _ = strconv.ParseUint(m.Headers().Get("Fleet-Fence"), 10, 64)
		p.connection, _ = strconv.Atoi(m.Headers().Get("Fleet-Connection"))
		var comment struct{ Content string }
		if json.Unmarshal(m.Data(), &comment) == nil {
			p.number, _ = number(comment.Content, "visitor")
		}
		list = append(list, p)
		if p.seq >= last {
			return list, nil
		}
	}
}

// An inbound is what has come of what visitors said.
type inbound struct {
	total    int // messages of theirs in the stream
	twice    int // that are there a second time
	disorder int // behind a later one of the room
	holes    int // that are missing between two of one connection
	fences   int // messages of any kind behind one with a higher fence in the room
	last     map[string]int
}

func countInbound(list []published) inbound {
	in := inbound{last: map[string]int{}}
	type connection struct {
		room   string
		fence  uint64
		number int
	}
	fence, seen, before := map[string]uint64{}, map[string]map[int]bool{}, map[connection]int{}
	for _, m := range list {
		if m.fence < fence[m.room] {
			in.fences++
		}
		fence[m.room] = max(fence[m.room], m.fence)
		if m.number == 0 {
			continue
		}
		in.total++
		switch {
		case seen[m.room][m.number]:
			in.twice++
		case m.number < in.last[m.room]:
			in.disorder++
		}
		if seen[m.room] == nil {
			seen[m.room] = map[int]bool{}
		}
		seen[m.room][m.number] = true
		in.last[m.room] = max(in.last[m.room], m.number)
		c := connection{m.room, m.fence, m.connection}
		if b := before[c]; b > 0 && m.number > b+1 {
			in.holes += m.number - b - 1
		}
		before[c] = m.number
	}
	return in
}
