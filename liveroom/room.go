package liveroom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/internal/printable"
)

// ErrSilentRoom is the cause of a disconnect after the room has been silent for longer than
// [WithEchoTimeout] or [WithSilenceTimeout] allow: the server seems to have removed this
// member.
var ErrSilentRoom = errors.New("liveroom: the room is silent, the server seems to have removed this member")

// A JoinError is the error of a connection on which the room was not joined in time; see
// [WithJoinTimeout]. It is wrapped in a [*wechatws.DialError]. Its text lists the types of
// the messages that were received instead, cut at 200 bytes.
type JoinError struct {
	Missing string        // the message that was not received: init or join
	After   time.Duration // the timeout
	// Got are the messages that were received instead; they may contain the reason. Only
	// the first 32 are kept, and no more than 64 KiB of data.
	Got []wechatws.Message
}

// Limits of JoinError.Got: a client keeps its newest error.
const (
	gotMessages = 32
	gotBytes    = 64 << 10
)

// Error returns the type of the missing message, and those of the messages received instead.
func (e *JoinError) Error() string {
	text := fmt.Sprintf("liveroom: no %s from the server within %v", cmp.Or(e.Missing, "answer"), e.After)
	var types []string
	for _, m := range e.Got {
		types = append(types, printable.Quote(m.Type))
	}
	if len(types) > 0 {
		text += ", only " + printable.Text(strings.Join(types, ", "))
	}
	return text
}

// Timeout reports true, as the method of a [net.Error] does for a timeout.
func (e *JoinError) Timeout() bool { return true }

// A Room is a client's membership in one live room. Make it with [New]. Its methods may be
// called from any goroutine and any callback.
type Room struct {
	client *wechatws.Client
	cfg    *config

	onComment     callbacks.List[Comment]
	onJoin        callbacks.List[JoinEvent]
	onSubscribe   callbacks.List[SubscribeEvent]
	onLeave       callbacks.List[LeaveEvent]
	onBuy         callbacks.List[BuyEvent]
	onShelfChange callbacks.List[ShelfEvent]
	onNotice      callbacks.List[Notice]
	onRefused     callbacks.List[*RefusedError]

	mu       sync.Mutex
	clientID Value    // of the connection made last, also while it is opening
	lostIDs  []string // of earlier connections
	made     int      // number of that connection
	answered int      // how many inits the opening of that connection has answered
	inits    int      // how many callbacks have received
	again    *again   // of that connection; nil: there was none
	speaking int      // number of the connection whose messages the callbacks get now; 0: none
	state    state
	ghosts   int           // lost connections whose leave has not been received
	ended    error         // why the client is closed or has failed
	changed  chan struct{} // closed at the next change of what Joined waits for

	watch      watch
	unanswered unanswered
	pace       pace
	turns      turns
}

// New makes a room on a client, once for each client and before it connects. From then on
// the client joins the room on every connection: connect it with [wechatws.Client.Connect]
// or [wechatws.Client.Run]. New does no I/O. It returns all that is wrong with its
// arguments as [*wechatws.OptionError] values, joined.
//
// The client_id is that of init. If init has none, it is taken from the next message that has one
// and does not name another member: up to the join from any, and after it from messages of this
// package's types and from those that no callback takes. A message with the UserID of the [Identity]
// as its from_uid may replace it.
func New(client *wechatws.Client, id Identity, options ...Option) (*Room, error) {
	cfg := newConfig(id, options)
	if err := cfg.check(client); err != nil {
		return nil, err
	}
	r := &Room{client: client, cfg: cfg, changed: make(chan struct{})}
	r.watch.room = r
	r.pace.room, r.pace.limit, r.pace.turn = r, newLimit(cfg.commentRate, time.Second, maxPaced), newLimit(1, 0, maxPaced)
	client.AfterConnect(2*cfg.joinTimeout+slowest, r.open)
	client.OnOpen(r.opened)
	client.OnClose(r.closed)
	client.OnStateChange(r.stateChanged)
	wechatws.On(client, InitEvent{}.MsgType(), r.init)
	wechatws.On(client, JoinEvent{}.MsgType(), r.join)
	wechatws.On(client, JoinEvent{}.MsgType(), r.joined)
	wechatws.On(client, Comment{}.MsgType(), r.comment)
	wechatws.On(client, SubscribeEvent{}.MsgType(), r.subscribe)
	wechatws.On(client, LeaveEvent{}.MsgType(), r.leave)
	wechatws.On(client, BuyEvent{}.MsgType(), r.buy)
	wechatws.On(client, ShelfEvent{}.MsgType(), r.shelf)
	client.OnUnknown(r.unknown)
	client.OnMessageNoCopy(r.refused)
	return r, nil
}

// Identity returns the identity that the room was made with.
func (r *Room) Identity() Identity { return r.cfg.Identity }

// Client returns the client that the room was made on.
func (r *Room) Client() *wechatws.Client { return r.client }

// open joins the room on a new connection, before any other message is sent. It does not
// run on the callbacks' goroutine, so that no callback can delay it.
func (r *Room) open(ctx context.Context, o *wechatws.Setup) error {
	r.mu.Lock()
	if r.again != nil {
		r.again.end() // the callback of its end may not have run
	}
	r.made, r.answered, r.again = o.Connection, 0, newAgain()
	r.loseID()
	r.mu.Unlock()
	r.unanswered.begin(o.Connection)
	if err := o.Observe(func(m wechatws.Message) { r.observe(o.Connection, m) }); err != nil {
		return err
	}
	if err := r.await(ctx, o, InitEvent{}.MsgType(), r.cfg.joinTimeout); err != nil {
		return err
	}
	if err := r.await(ctx, o, JoinEvent{}.MsgType(), r.cfg.joinTimeout); err != nil {
		return err
	}
	r.awaitSettled(ctx)
	o.HoldQueue(r.cfg.settle)
	return nil
}

// slowest is how long messages may take to arrive during the join, besides the timeouts:
// 1 MiB, the read limit, at 28 kbit/s.
const slowest = 5 * time.Minute

// await waits for the message that is missing, and answers each init.
func (r *Room) await(ctx context.Context, o *wechatws.Setup, missing string, timeout time.Duration) error {
	waiting, cancel := context.WithCancel(ctx)
	var timing sync.WaitGroup
	defer timing.Wait()
	defer cancel()
	timing.Go(func() { r.endWait(waiting, cancel, timeout) })
	var got []wechatws.Message
	size := 0
	for {
		m, err := o.Receive(waiting)
		switch {
		case err != nil && waiting.Err() != nil && ctx.Err() == nil:
			return &JoinError{Missing: missing, After: timeout, Got: got}
		case err != nil:
			return err
		}
		if len(got) < gotMessages && size+len(m.Data) <= gotBytes {
			got, size = append(got, m), size+len(m.Data)
		}
		id := r.sniff(m)
		if m.Type == (InitEvent{}).MsgType() {
			if err := r.awaitJoin(ctx, o.Attempt); err != nil {
				return err
			}
			err := o.Send(waiting, r.joinCommand(id))
			r.turns.of.giveJoin()
			if err != nil {
				return err
			}
			r.mu.Lock()
			r.answered++
			r.mu.Unlock()
		}
		if m.Type == missing {
			return nil
		}
	}
}

// endWait calls end after the timeout, or when it has passed since the link was last seen
// to be slow.
func (r *Room) endWait(waiting context.Context, end func(), timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-waiting.Done():
			return
		}
		left := time.Until(r.excused(busyAt(r.client.Stats())).Add(timeout))
		if left <= 0 {
			end()
			return
		}
		timer.Reset(left)
	}
}

func (r *Room) joinCommand(clientID Value) any {
	return JoinCommand{
		RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
		IsAnchor: r.cfg.Anchor, FromName: r.cfg.Name,
	}
}

// sniff keeps the client_id that any message may contain, and returns the current one.
func (r *Room) sniff(m wechatws.Message) Value {
	var s Sender
	_ = m.Decode(&s) // an error is reported when the whole message is decoded
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Type != (InitEvent{}).MsgType() {
		r.learnID(s)
		return r.clientID
	}
	// Its client_id is always this connection's.
	r.lostIDs = slices.DeleteFunc(r.lostIDs, func(id string) bool { return id == s.ClientID.String() })
	s.FromUID, s.FromName = Value{}, ""
	r.keepID(s)
	return r.clientID
}

// learnID keeps the client_id of a message that is no init: servers put those of other members into
// broadcasts. It is kept while this connection has none, for servers whose init has none, and if the
// message has this member's from_uid. It is called with mu held.
func (r *Room) learnID(s Sender) {
	if r.clientID.IsZero() || r.hasOwnUID(s) {
		r.keepID(s)
	}
}

func (r *Room) hasOwnUID(s Sender) bool {
	return !s.FromUID.IsZero() && s.FromUID.Equal(r.cfg.UserID)
}

// keepID keeps a client_id, unless it is another member's: servers put those into
// broadcasts. An id that is longer than any text that is kept is ignored. It is called
// with mu held.
func (r *Room) keepID(s Sender) {
	if s.ClientID.IsZero() || len(s.ClientID.text) > maxField || r.isLost(s.ClientID) ||
		!s.FromUID.IsZero() && !s.FromUID.Equal(r.cfg.UserID) ||
		s.FromName != "" && string(s.FromName) != r.cfg.Name {
		return
	}
	if !s.ClientID.Equal(r.clientID) {
		r.clientID = s.ClientID
		r.state.change()
	}
}

// loseID is called with mu held.
func (r *Room) loseID() {
	if r.clientID.IsZero() {
		return
	}
	const remembered = 8 // far more than servers have at a time
	r.lostIDs = append(r.lostIDs, r.clientID.String())
	r.lostIDs = r.lostIDs[max(0, len(r.lostIDs)-remembered):]
	r.clientID = Value{}
	r.state.change()
}

// isLost reports whether an id is that of an earlier connection. It is called with mu
// held.
func (r *Room) isLost(id Value) bool {
	return !id.IsZero() && slices.Contains(r.lostIDs, id.String())
}

// Joined blocks until the room is joined; [Room.Snapshot] then has what the server sent
// about it. It returns an error that wraps [wechatws.ErrClosed] and the cause if the client
// is closed or fails, or the cause of the end of ctx. It must not be called in a callback,
// which the join would wait for: use Snapshot there.
func (r *Room) Joined(ctx context.Context) error {
	if ctx == nil {
		return &wechatws.OptionError{Option: "liveroom.Room.Joined", Value: "nil", Want: "the context must not be nil"}
	}
	for {
		r.mu.Lock()
		joined, ended, changed := r.state.Joined, r.ended, r.changed
		r.mu.Unlock()
		switch {
		case joined:
			return nil
		case ended != nil && r.hasEnded(): // otherwise the client has been connected again since
			return ended
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// hasEnded reports whether the client has ended, of which callbacks are called a moment later.
func (r *Room) hasEnded() bool {
	state := r.client.State()
	return state == wechatws.StateClosed || state == wechatws.StateFailed
}

// news wakes the callers of Joined. It is called with mu held.
func (r *Room) news() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Room) send(ctx context.Context, a *action, options ...wechatws.SendOption) error {
	before := r.watch.messages() // the echo may be quicker than Send returns
	err := r.client.Send(ctx, a, append(options, wechatws.EncodeOnWrite())...)
	if err == nil {
		r.watch.asked(before)
	}
	return err
}

// Say sends a comment and returns when the client has accepted it: unlike [Room.SayConfirmed] it does
// not find out whether the room shows it, and what the server does not read, or drops, is lost. It
// returns, and may fail, as [wechatws.Client.Send] does: without a connection the comment is queued,
// and sent after the next join. [Room.OnRefused] receives it if the server refuses it.
//
// With [WithCommentRate] it blocks while it is not its turn, and also returns the cause of ctx's
// end. In a callback it must be called with the callback's context then.
func (r *Room) Say(ctx context.Context, content string) error {
	a := r.commentOf(content)
	return r.pace.do(ctx, a, func() error { return r.send(ctx, a) })
}

func (r *Room) commentOf(content string) *action {
	return &action{
		room: r, kind: Comment{}.MsgType(), content: content, key: commentKey(content),
		make: func(clientID Value) any {
			return CommentCommand{
				RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
				FromName: r.cfg.Name, Content: content,
			}
		},
	}
}

// PutOnShelf puts goods on the shelf, which servers permit to the anchor. It returns as
// [Room.Say] does.
func (r *Room) PutOnShelf(ctx context.Context, g Goods) error { return r.sendShelf(ctx, g, ShelfOn) }

// TakeOffShelf takes goods off the shelf; g needs the ID only. It returns as [Room.Say]
// does.
func (r *Room) TakeOffShelf(ctx context.Context, g Goods) error { return r.sendShelf(ctx, g, ShelfOff) }

func (r *Room) sendShelf(ctx context.Context, g Goods, status string) error {
	return r.send(ctx, &action{
		room: r, kind: ShelfCommand{}.MsgType(), content: g.ID.String(), key: shelfKey(g.ID, status),
		make: func(clientID Value) any {
			return ShelfCommand{
				RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
				FromName: r.cfg.Name,
				GoodsID:  g.ID, GoodsName: g.Name, GoodsPrice: g.Price, DefaultImage: g.Image, Status: status,
			}
		},
	})
}

// Leave leaves the room, which in this protocol means to close the connection: it calls
// [wechatws.Client.Close] and returns its error. It does not wait for callbacks, and the
// client does not connect again by itself.
func (r *Room) Leave() error { return r.client.Close(wechatws.StatusNormalClosure, "leave") }
