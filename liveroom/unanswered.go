package liveroom

import (
	"encoding/json"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/printable"
)

const (
	// maxUnanswered is how many actions may wait for their answer: a server that never echoes
	// leaves all of them unanswered.
	maxUnanswered = 100
	// answersWithin is how long after it was written an action may be answered by a refusal.
	answersWithin = time.Minute
	// echoesWithin is how long after it was written an action that no call waits for is expected to
	// have an echo of its own.
	echoesWithin = 10 * time.Second
	// recent is how many of the newest comments are compared with the history of a rejoin.
	recent = 64
)

// An action is a command with the client_id of the connection that it is written to, even
// if it was queued before that connection was open.
type action struct {
	room    *Room
	make    func(clientID Value) any
	kind    string // its msg_type; empty: no answer is expected
	content string // of a comment, or the id of goods
	key     string // what it has in common with its echo
	saying  *saying
	queued  bool // by Say; see pace

	// The action is a node of unanswered, the mutex of which guards the fields below.
	encoded    bool // by Send; from then on it is encoded when it is written
	connection int  // that it was written to last
	written    time.Time
}

// MarshalJSON implements [json.Marshaler]. See [wechatws.EncodeOnWrite].
func (a *action) MarshalJSON() ([]byte, error) {
	a.room.unanswered.encode(a)
	a.room.mu.Lock()
	id := a.room.clientID
	a.room.mu.Unlock()
	return json.Marshal(a.make(id))
}

// commentKey returns what a comment and its echo have in common.
func commentKey(content string) string { return Comment{}.MsgType() + "\x00" + plainText(content) }

func shelfKey(id Value, status string) string {
	return ShelfEvent{}.MsgType() + "\x00" + id.String() + "\x00" + status
}

// unanswered are the actions that the server has neither echoed nor refused. It works on the
// goroutine that reads the connection, so that a slow callback delays no verdict.
type unanswered struct {
	mu sync.Mutex // guards the fields below, and those of the actions and their sayings

	connection int       // the newest one
	joined     bool      // its join has been answered
	actions    []*action // the oldest first; those written to a connection before it until joined only, unless a call waits
	echoes     bool      // the server has echoed one
	heard      time.Time // when a message of the room last arrived
	settled    *saying   // the last one that was

	seen  []lineHash // of the newest comments
	whole bool       // the history that the server has does not begin before seen
	fresh int        // how many of seen arrived on this connection before its join

	verdicts []verdict    // on refusals that callbacks have not received
	pending  atomic.Int32 // len(verdicts)
}

// encode records that a is written now, unless it is Send that encodes it.
func (u *unanswered) encode(a *action) {
	if a.kind == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !a.encoded {
		a.encoded = true
		return
	}
	a.room.pace.release(a)
	if a.saying != nil {
		if a.saying.over {
			return
		}
		a.room.awaitEcho(a.saying)
	}
	a.connection, a.written = u.connection, time.Now()
	u.remove(a)
	if len(u.actions) == maxUnanswered {
		u.remove(u.actions[slices.IndexFunc(u.actions, isUnattended)])
	}
	u.actions = append(u.actions, a)
}

// isUnattended reports whether no call waits for the answer. SendConfirmed writes one message at a
// time, so this is true of all but one action.
func isUnattended(a *action) bool { return a.saying == nil }

// remove is called with mu held.
func (u *unanswered) remove(a *action) {
	if i := slices.Index(u.actions, a); i >= 0 {
		u.actions = slices.Delete(u.actions, i, i+1)
	}
}

// begin is called when a connection is made, before its first message is read.
func (u *unanswered) begin(connection int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.connection, u.joined, u.fresh = connection, false, 0
}

// observe is called with each message, on the goroutine that reads the connection.
func (r *Room) observe(connection int, m wechatws.Message) {
	if text, refused := r.cfg.refused(m); refused {
		r.refusedBy(m, connection, text)
		return
	}
	if m.Type != (InitEvent{}).MsgType() && incoming[m.Type] != nil { // others when no callback takes them
		r.watch.heard()
	}
	switch m.Type {
	case JoinEvent{}.MsgType():
		r.rejoined(m)
	case Comment{}.MsgType():
		r.observeComment(m)
	case ShelfEvent{}.MsgType():
		r.observeShelf(m)
	case SubscribeEvent{}.MsgType(), LeaveEvent{}.MsgType(), BuyEvent{}.MsgType():
		r.unanswered.hear()
	}
}

// hear is called for each message of the room. It reports whether actions wait for an answer.
func (u *unanswered) hear() (waiting bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	waiting = len(u.actions) > 0
	if waiting {
		u.heard = time.Now()
	}
	return waiting
}

func (r *Room) observeComment(m wechatws.Message) {
	u := &r.unanswered
	u.hear()
	var c Comment
	if m.Decode(&c) != nil { // which is reported when callbacks receive it
		return
	}
	own := r.owns(c.Sender)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.record(c)
	if own {
		r.watch.echoed()
		u.shownComment(string(c.Content))
	}
}

func (r *Room) observeShelf(m wechatws.Message) {
	u := &r.unanswered
	if !u.hear() {
		return
	}
	var s ShelfEvent
	if m.Decode(&s) != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shown(shelfKey(s.GoodsID, string(s.Status)))
}

// owns is isOwn of a comment.
func (r *Room) owns(s Sender) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isOwn(s, "")
}

// shown is called for each echo, and reports whether it fits an action. Which of several that are alike
// it belongs to cannot be seen, so it answers the one that a call waits for: as many are confirmed as
// are shown. The oldest of them is no longer expected then, and the other one is instead. A server
// handles the messages of a connection in order, so those before it are answered as well, but for a
// comment that waits for its own echo. It is called with mu held.
func (u *unanswered) shown(key string) bool {
	i := slices.IndexFunc(u.actions, func(a *action) bool { return a.key == key })
	if i < 0 {
		return false
	}
	u.echoes = true
	if j := slices.IndexFunc(u.actions, func(a *action) bool { return a.key == key && a.saying != nil }); j >= 0 {
		u.settle(u.actions[j].saying, nil)
		if time.Since(u.actions[i].written) > echoesWithin { // it was dropped
			i = j
		}
	}
	u.actions = slices.Concat(slices.DeleteFunc(u.actions[:i:i], isUnattended), u.actions[i+1:])
	return true
}

// shownComment is called for each comment of this member. It is called with mu held.
func (u *unanswered) shownComment(content string) {
	if u.shown(commentKey(content)) {
		return
	}
	for _, a := range u.actions {
		if a.saying != nil {
			a.saying.other = printable.Quote(content)
		}
	}
}

// A lineHash is the hash of what comments are compared by, which may be long.
type lineHash uint64

var seed = maphash.MakeSeed()

func (c Comment) hash() lineHash { return lineHash(maphash.Comparable(seed, c.line())) }

// record adds a comment to seen. It is called with mu held.
func (u *unanswered) record(c Comment) {
	u.seen = append(u.seen, c.hash())
	if !u.joined {
		u.fresh++
	}
	u.trim()
}

func (u *unanswered) trim() {
	if len(u.seen) > 2*recent {
		u.seen = slices.Clone(u.seen[len(u.seen)-recent:])
		u.whole = false
	}
}

// joining reports whether the first join of the connection has not been received.
func (u *unanswered) joining() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.joined
}

// rejoined is called for each join. The first one on a connection is the answer to this member's own:
// its history shows which actions have reached the room before the connection before was lost.
func (r *Room) rejoined(m wechatws.Message) {
	u := &r.unanswered
	u.hear()
	if !u.joining() {
		return
	}
	var join JoinEvent
	var own []string // comments that are new in the history
	whole := m.Decode(&join) == nil
	if !whole { // callbacks report the error
		join.MessageList = nil
	}
	history := make([]lineHash, len(join.MessageList))
	for i, c := range join.MessageList {
		history[i] = c.hash()
	}
	u.mu.Lock()
	before, wasWhole := slices.Clone(u.seen[:max(0, len(u.seen)-u.fresh)]), u.whole
	u.mu.Unlock()
	places, reaches := newIn(before, history, wasWhole)
	for _, i := range places {
		if r.owns(join.MessageList[i].Sender) {
			own = append(own, string(join.MessageList[i].Content))
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, content := range own {
		u.shownComment(content)
	}
	u.notShown(reaches)
	u.actions = slices.DeleteFunc(u.actions, isUnattended) // what is not shown will not be answered
	u.whole = whole && len(history) <= recent
	if len(history) > 0 {
		fresh := slices.Clone(u.seen[max(0, len(u.seen)-u.fresh):])
		u.seen = merge(history[max(0, len(history)-recent):], fresh, func(h lineHash) lineHash { return h })
	}
	u.joined, u.fresh = true, 0
	u.trim()
	r.watch.begin(u.connection)
}
