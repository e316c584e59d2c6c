package leasemodel

// A Stream is the end of the room's subjects in the inbound stream.
type Stream struct {
	Last  uint8 // the sequence of its last message; 0: there is none
	Fence uint8 // of the last message that there ever was
}

// rule4Publish publishes the held marker, and when the client is open a message of the
// room, both by compare-and-set on the sequence of the message before.
func (m *Model) rule4Publish(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Stream || s.awaits(w, Publish) || me.Next == stale && !m.NoFence {
		return
	}
	does := "publishes a message of the room"
	switch {
	case me.Phase == Open:
	case me.Phase == Claimed && !me.Marked && !m.NoFence:
		does = "publishes its held marker"
	default:
		return
	}
	if m.send(&s, w, Message{Kind: Publish, Of: s.session(w), Expect: me.Next, Fence: me.Fence}) {
		emit(Step{Rule: "4", Does: does, Worker: w}, s)
	}
}

// rule4Read reads the last message in the stream after a claim, and whenever a message was not published.
// A higher fence there means that the worker is fenced out. Otherwise it is a late message of the former
// holder, or the worker's own, and the worker continues from there.
func (m *Model) rule4Read(s State, w int, emit emit) {
	me := &s.Workers[w]
	if !m.Stream || me.Next != stale || me.Phase != Claimed && me.Phase != Open {
		return
	}
	if s.Stream.Last != 0 && s.Stream.Fence > me.Fence {
		m.drop(me)
		emit(Step{Rule: "4", Does: "reads a higher fence in the stream, and closes", Worker: w}, s)
		return
	}
	me.Next = s.Stream.Last
	emit(Step{Rule: "4", Does: "reads the last sequence of the stream", Worker: w}, s)
}

// append appends what is published, if the compare-and-set succeeds.
func (m *Model) append(s *State, msg *Message) bool {
	if !m.NoFence && msg.Expect != s.Stream.Last {
		return false
	}
	if msg.Fence < s.Stream.Fence {
		s.Broken = FenceWentBack
	}
	msg.Rev = 0
	s.Stream = Stream{Last: 2, Fence: msg.Fence} // 1 is the one before: see canonical
	msg.Expect = 2
	return true
}

// published is called when the worker has the answer to a message.
func (m *Model) published(me *Worker, msg Message) {
	if (me.Phase == Claimed || me.Phase == Open) && msg.Fence == me.Fence {
		me.Marked = true
		me.Next = msg.Expect
	}
}

// forget is the mistake StreamForgets.
func (m *Model) forget(s State, emit emit) {
	if !m.StreamForgets || s.Stream.Last == 0 {
		return
	}
	s.Stream.Last = 0
	emit(Step{Rule: "server", Does: "the stream forgets the room's last message", Worker: -1}, s)
}
