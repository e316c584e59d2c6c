package leasemodel

import "github.com/wechatws/wechatws/fleet/internal/decision"

// A Stream is the end of the shard's part of the inbound stream.
type Stream struct {
	Last  uint8 // the sequence of its last marker; 0: there is none
	Rev   uint8 // of the claim that the publisher of that marker knew
	Fence uint8 // of the last message that there ever was
}

// rule4Mark publishes a marker by compare-and-set on the last one: before the client is opened and before the room
// is passed on, if one is needed, and before a message if there is none.
func (m *Model) rule4Mark(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Stream || m.NoFence || s.awaits(w, Mark, Publish) || me.Next == stale || me.Doubt {
		return
	}
	enters := me.Session && me.Phase == Claimed && m.shard(&s, w, true).Next() == decision.Enter
	if !enters && (me.Phase != Open || me.Next != 0) {
		return
	}
	if m.send(&s, w, Message{Kind: Mark, Of: s.session(w), Expect: me.Next, Fence: me.Fence}) {
		emit(Step{Rule: "4", Does: "publishes a marker", Worker: w}, s)
	}
}

// rule4Publish publishes a message of the room under the condition that the marker is the last one.
func (m *Model) rule4Publish(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Stream || s.awaits(w, Publish) || me.Phase != Open || !m.NoFence && (me.Next == stale || me.Next == 0 || me.Doubt) {
		return
	}
	if m.send(&s, w, Message{Kind: Publish, Of: s.session(w), Expect: me.Next, Fence: me.Fence}) {
		emit(Step{Rule: "4", Does: "publishes a message of the room", Worker: w}, s)
	}
}

// rule4Read reads the last marker, after a claim, and whenever a message was refused. If its publisher has
// seen a later claim than this worker, the worker must read the claim as well: see rule4Verify.
func (m *Model) rule4Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Stream || m.NoFence || me.Next != stale || me.Phase != Claimed && me.Phase != Open {
		return
	}
	me.Next, me.Doubt = s.Stream.Last, s.Stream.Rev > me.Fence && !m.AdoptMarker
	emit(Step{Rule: "4", Does: "reads the last marker", Worker: w}, s)
}

// rule4Verify reads the claim after the marker. If it still names the worker, the worker may publish under that
// marker: a worker that gets the room later publishes another one.
func (m *Model) rule4Verify(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !me.Doubt {
		return
	}
	if s.Room.By != s.session(w) {
		m.drop(me)
		emit(Step{Rule: "4", Does: "reads the claim, which is another's, and closes", Worker: w}, s)
		return
	}
	me.Doubt = false
	emit(Step{Rule: "4", Does: "reads the claim, which is still its own", Worker: w}, s)
}

// append appends what is published, if the compare-and-set succeeds.
func (m *Model) append(s *State, msg *Message) bool {
	if !m.NoFence && msg.Expect != s.Stream.Last {
		return false
	}
	msg.Rev = 0
	if msg.Kind == Mark {
		s.Stream.Last, s.Stream.Rev = 2, msg.Fence // 1 is the one before: see canonical
		msg.Expect = 2
		return true
	}
	if msg.Fence < s.Stream.Fence {
		s.Broken = FenceWentBack
	}
	s.Stream.Fence = msg.Fence
	return true
}

// published is called when the worker has the answer to a marker.
func (m *Model) published(me *Worker, msg Message) {
	if msg.Kind == Mark && (me.Phase == Claimed || me.Phase == Open) && msg.Fence == me.Fence {
		me.Marked, me.Unknown, me.Next, me.Doubt = true, false, msg.Expect, false
	}
}

// forget is the mistake StreamForgets.
func (m *Model) forget(s State, emit emit) {
	if !m.StreamForgets || s.Stream.Last == 0 {
		return
	}
	s.Stream.Last = 0
	emit(Step{Rule: "server", Does: "the stream forgets the last marker", Worker: -1}, s)
}
