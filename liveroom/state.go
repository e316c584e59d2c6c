package liveroom

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wechatws/wechatws"
)

// A Snapshot is the state of a room at one moment. Its lists are limited by [WithHistory]
// and [WithHistoryBytes]. Texts of more than 4 KiB are cut and end with "…", and longer
// image URLs are left out; callbacks receive messages whole.
type Snapshot struct {
	// Version increases with each change of the state: snapshots with the same Version are
	// equal.
	Version uint64

	ClientID  Value // assigned by the server to this connection
	Joined    bool
	Viewers   int64
	Followers int64
	Comments  []Comment // the newest, oldest first
	Notices   []Notice  // the newest, oldest first
	Goods     []Goods   // on the shelf, in the order in which they were put there; the newest 1,000
}

// A Notice is a line of text about an event, which a page shows for a moment.
type Notice struct {
	At    time.Time
	Type  string // the msg_type: join, subscribe, leave or buy
	Text  string
	Ghost bool // see LeaveEvent.Ghost
}

// Snapshot returns the current state of the room. Its lists are read-only and may be
// retained: snapshots share a list until it changes, so that taking one copies only the
// lists that have changed since the last. It does not block.
func (r *Room) Snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.Snapshot
	s.ClientID = r.clientID
	s.Comments = r.state.comments.show()
	s.Notices = r.state.notices.show()
	s.Goods = r.state.goods.show()
	return s
}

// A state is what Snapshot returns, and what is needed to maintain it. It is guarded by the
// room's mutex.
type state struct {
	Snapshot // without its lists
	comments kept[Comment]
	notices  kept[Notice]
	goods    kept[Goods]

	fresh      int       // number of comments at the end received on this connection before its first join
	echoed     bool      // that join has been received
	joinedLast time.Time // at that time
}

func (s *state) change() { s.Version++ }

// ghostFor is how long after a rejoin a leave with this member's name may be about the
// previous connection. Servers end a silent connection after twice their ping interval,
// which is a minute at most.
const ghostFor = 2 * time.Minute

// opened and everything below runs on the client's callbacks, one at a time and in
// order.
func (r *Room) opened(_ context.Context, e wechatws.OpenEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.speaking, r.inits = e.Connection, 0
	r.state.fresh, r.state.echoed = 0, false
}

func (r *Room) closed(_ context.Context, e wechatws.CloseEvent) {
	r.watch.stop(e.Connection)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.speaking == r.made {
		r.again.end()
	}
	r.speaking = 0
	if r.state.Joined {
		r.ghosts++
		r.state.Joined = false
		r.state.change()
		r.news()
	}
}

func (r *Room) stateChanged(_ context.Context, c wechatws.StateChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c.To {
	case wechatws.StateClosed, wechatws.StateFailed:
		r.ended = wechatws.ErrClosed
		if c.Err != nil {
			r.ended = fmt.Errorf("%w: %w", wechatws.ErrClosed, c.Err)
		}
		r.news()
	default:
		r.ended = nil
	}
	r.pace.end(r.ended)
}

// hear keeps the id in a message of the room.
func (r *Room) hear(s Sender) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.speaking == r.made { // otherwise there is a newer connection already
		r.learnID(s)
	}
}

func (r *Room) unknown(_ context.Context, m wechatws.Message) {
	if _, refused := r.cfg.refused(m); refused { // also of a member that is not in the room
		return
	}
	var s Sender
	_ = m.Decode(&s) // the type is unknown, so any content is valid
	r.watch.heard()
	r.hear(s)
}

// init is answered by open. A server that sends it again afterwards wants another join.
func (r *Room) init(_ context.Context, m InitEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inits++
	if r.inits <= r.answered || r.speaking != r.made {
		return
	}
	r.keepID(m.Sender)
	if r.again.pending.CompareAndSwap(false, true) { // otherwise one join answers both
		// The next connection joins anyway, so the message must not wait for it. Nor must the
		// callback wait for the socket. An error means that this connection is over.
		go r.joinAgain(r.again)
	}
}

func (r *Room) join(ctx context.Context, m JoinEvent) {
	r.hear(m.Sender)
	now := time.Now()
	r.mu.Lock()
	s := &r.state
	m.Own = !s.echoed || r.isOwn(m.Sender, m.MsgContent)
	if m.OnlineNum != nil {
		s.Viewers = int64(*m.OnlineNum)
	}
	if m.SubscribeNum != nil {
		s.Followers = int64(*m.SubscribeNum)
	}
	if len(m.MessageList) > 0 {
		history := slices.Clone(m.MessageList[max(0, len(m.MessageList)-r.cfg.comments):])
		for i, c := range history {
			c.Own = r.isOwn(c.Sender, "")
			history[i] = c.cut()
		}
		seen := s.comments.items
		before := max(0, len(seen)-s.fresh) // the oldest of the fresh ones may be gone
		s.comments.replace(mergeHistory(mergeHistory(seen[:before:before], history), seen[before:]))
		r.bound()
	}
	s.change()
	r.mu.Unlock()
	r.notice(ctx, Notice{At: now, Type: m.MsgType(), Text: string(m.MsgContent)})
	emit(ctx, r, &r.onJoin, m)
}

// joined runs after join, and also if the message does not fit Join: then the client
// reports a DecodeError, and the room is joined nevertheless.
func (r *Room) joined(context.Context, wechatws.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.echoed || r.speaking == 0 {
		return
	}
	r.state.echoed, r.state.fresh, r.state.joinedLast = true, 0, time.Now()
	r.state.Joined = true
	r.state.change()
	r.news()
}

func (r *Room) comment(ctx context.Context, m Comment) {
	r.hear(m.Sender)
	r.mu.Lock()
	m.Own = r.isOwn(m.Sender, "")
	s := &r.state
	s.comments.add(m)
	r.bound()
	if !s.echoed {
		s.fresh++
	}
	s.change()
	r.mu.Unlock()
	emit(ctx, r, &r.onComment, m)
}

func (r *Room) subscribe(ctx context.Context, m SubscribeEvent) {
	r.hear(m.Sender)
	if m.SubscribeNum != nil {
		r.mu.Lock()
		r.state.Followers = int64(*m.SubscribeNum)
		r.state.change()
		r.mu.Unlock()
	}
	r.notice(ctx, Notice{At: time.Now(), Type: m.MsgType(), Text: string(m.MsgContent)})
	emit(ctx, r, &r.onSubscribe, m)
}

func (r *Room) leave(ctx context.Context, m LeaveEvent) {
	now := time.Now() // its client_id is not kept: it is gone, if it is one of ours
	r.mu.Lock()
	m.Own = r.isOwn(m.Sender, m.MsgContent)
	m.Ghost = m.Own && r.isGhost(m.Sender, now)
	if m.Ghost && r.ghosts > 0 {
		r.ghosts--
	}
	r.mu.Unlock()
	r.notice(ctx, Notice{At: now, Type: m.MsgType(), Text: string(m.MsgContent), Ghost: m.Ghost})
	emit(ctx, r, &r.onLeave, m)
}

func (r *Room) buy(ctx context.Context, m BuyEvent) {
	r.hear(m.Sender)
	r.notice(ctx, Notice{At: time.Now(), Type: m.MsgType(), Text: string(m.MsgContent)})
	emit(ctx, r, &r.onBuy, m)
}

func (r *Room) shelf(ctx context.Context, m ShelfEvent) {
	r.hear(m.Sender)
	goods := m.Goods().cut()
	r.mu.Lock()
	s := &r.state
	at := slices.IndexFunc(s.goods.items, func(g Goods) bool { return g.ID.Equal(goods.ID) })
	switch {
	case m.Status == ShelfOff && at >= 0:
		s.goods.remove(at)
	case m.Status == ShelfOn && at >= 0:
		s.goods.set(at, goods)
	case m.Status == ShelfOn:
		s.goods.add(goods)
	}
	r.bound()
	s.change()
	r.mu.Unlock()
	emit(ctx, r, &r.onShelfChange, m)
}

func (r *Room) notice(ctx context.Context, n Notice) {
	if n.Text == "" {
		return
	}
	r.mu.Lock()
	r.state.notices.add(n)
	r.bound()
	r.state.change()
	r.mu.Unlock()
	emit(ctx, r, &r.onNotice, n)
}

// isOwn reports whether a message is about this member: by its from_uid, else by its client_id, else
// by the name, else by the name in its text. It is called with mu held.
func (r *Room) isOwn(s Sender, text Text) bool {
	switch {
	case !s.FromUID.IsZero():
		return r.hasOwnUID(s)
	case r.isLost(s.ClientID):
		return true
	case !s.ClientID.IsZero() && !r.clientID.IsZero():
		return s.ClientID.Equal(r.clientID)
	case s.FromName != "":
		return string(s.FromName) == r.cfg.Name
	default:
		return r.cfg.Name != "" && strings.Contains(string(text), r.cfg.Name)
	}
}

// isGhost reports whether a leave of this member is about a connection that was lost
// before. It is called with mu held.
func (r *Room) isGhost(s Sender, now time.Time) bool {
	if !s.ClientID.IsZero() {
		return r.isLost(s.ClientID)
	}
	return r.ghosts > 0 && now.Sub(r.state.joinedLast) < ghostFor
}
