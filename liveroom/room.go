package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/printable"
)

// Config says which room, and who we are in it. It is set once.
type Config struct {
	RoomID Value // must not be empty
	LiveID Value
	UserID Value  // from_uid
	Name   string // from_name
	Anchor bool   // we are the one who holds the live room

	// InitTimeout and JoinTimeout are how long the server may take, on each new
	// connection, to say init, and to answer our join. Then the connection is
	// dropped and the schedule goes on: a frozen backend accepts, answers pings
	// and says nothing. Each is 10 s by default.
	//
	// None of the timeouts here ends while a message is coming in, or within its
	// length after the last byte of it: a long history takes its time on a slow
	// link. A connection may be opening for 5 minutes more than these two, though.
	InitTimeout, JoinTimeout time.Duration

	// Settle is how long what was queued waits behind the server's answer to our
	// join: 200 ms by default, below zero for not at all. A GatewayWorker stores its
	// session a moment after it has answered, and refuses what comes earlier. The
	// room is joined, and its callbacks run, from the answer on.
	Settle time.Duration

	// EchoTimeout is how long the room may be silent after we have said
	// something. Then the connection is dropped with ErrSilentRoom, since
	// servers that throw somebody out tell him nothing. It is used only with a
	// server that has sent our own comments back before. 10 s by default, below
	// zero for never.
	EchoTimeout time.Duration

	// SilenceTimeout is how long the room may be silent at all, for who listens
	// to a busy room and says nothing. Never by default.
	SilenceTimeout time.Duration

	// Comments and Notices are how many of the newest are kept: 200 and 50 by
	// default.
	Comments, Notices int

	// Bytes is how many bytes of comments, notices and goods are kept together, 1 MiB
	// by default. What is more has the oldest go, of the kind that takes most.
	Bytes int
}

// check completes the configuration.
func (c *Config) check() error {
	var errs []error
	wrong := func(field string, value any, want string) {
		errs = append(errs, &wechatws.OptionError{Option: "liveroom.Config." + field, Value: fmt.Sprint(value), Want: want})
	}
	if c.RoomID.IsZero() {
		wrong("RoomID", `""`, "must be the room's id, as Str or Num")
	}
	for _, d := range [...]struct {
		field    string
		value    *time.Duration
		standard time.Duration
	}{
		{"InitTimeout", &c.InitTimeout, 10 * time.Second},
		{"JoinTimeout", &c.JoinTimeout, 10 * time.Second},
		{"SilenceTimeout", &c.SilenceTimeout, 0},
	} {
		if *d.value < 0 {
			wrong(d.field, *d.value, "must not be below zero")
		} else if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if c.Settle == 0 {
		c.Settle = 200 * time.Millisecond
	}
	if c.EchoTimeout == 0 {
		c.EchoTimeout = 10 * time.Second
	}
	for _, n := range [...]struct {
		field    string
		value    *int
		standard int
	}{{"Comments", &c.Comments, 200}, {"Notices", &c.Notices, 50}, {"Bytes", &c.Bytes, 1 << 20}} {
		if *n.value < 0 {
			wrong(n.field, *n.value, "must not be below zero")
		} else if *n.value == 0 {
			*n.value = n.standard
		}
	}
	return errors.Join(errs...)
}

// ErrSilentRoom is the cause of a drop when the room has been silent for so long
// that we are no longer in it.
var ErrSilentRoom = errors.New("liveroom: the room is silent, we seem to have been thrown out")

// A JoinError is why a connection could not be used: the room was not joined in
// time. It comes inside a *wechatws.DialError. Its text lists the types of what came
// instead, cut at 200 bytes.
type JoinError struct {
	Missing string        // what did not come: init or join
	After   time.Duration // within this time
	// Got is what came instead; it may say why. Only the first 32 messages are kept, and
	// no more than 64 KiB of data.
	Got []wechatws.Message
}

// What is kept of the messages that come instead of what is waited for: a client holds on
// to its newest error.
const (
	gotMessages = 32
	gotBytes    = 64 << 10
)

func (e *JoinError) Error() string {
	text := fmt.Sprintf("liveroom: no %s from the server within %v", e.Missing, e.After)
	var types []string
	for _, m := range e.Got {
		types = append(types, printable.Quote(m.Type))
	}
	if len(types) > 0 {
		text += ", only " + printable.Text(strings.Join(types, ", "))
	}
	return text
}

// Timeout tells that it is one.
func (e *JoinError) Timeout() bool { return true }

// A Room is a client's place in one live room. Its methods may be called from any
// goroutine and any callback.
type Room struct {
	client *wechatws.Client
	cfg    Config

	onComment   callbacks[Comment]
	onJoin      callbacks[Join]
	onSubscribe callbacks[Subscribe]
	onLeave     callbacks[Leave]
	onBuy       callbacks[Buy]
	onShelf     callbacks[Shelf]
	onNotice    callbacks[Notice]

	mu       sync.Mutex
	clientID Value    // of the connection made last, also while it is opening
	lostIDs  []string // of earlier connections
	made     int      // number of that connection
	answered int      // how many inits the opening of that connection has answered
	inits    int      // how many the callbacks have seen
	speaking int      // number of the connection whose messages the callbacks get now; 0: none
	state    state
	ghosts   int           // lost connections whose leave has not been heard
	ended    error         // why the client is closed or has failed
	changed  chan struct{} // closed at the next change of what Joined waits for

	watch watch
}

// New makes a room of a client. Do that once for a client, before it connects, and
// connect with the client's Connect or Run. A wrong Config is an error of
// *wechatws.OptionErrors.
//
// The client_id is kept from all messages up to the join, and after it from those of
// this package's types and those that no callback takes.
func New(client *wechatws.Client, cfg Config) (*Room, error) {
	err := cfg.check()
	if client == nil {
		err = errors.Join(err, &wechatws.OptionError{Option: "liveroom.New", Value: "nil", Want: "client must not be nil"})
	} else if s := client.State(); s != wechatws.StateIdle && s != wechatws.StateClosed && s != wechatws.StateFailed {
		err = errors.Join(err, &wechatws.OptionError{Option: "liveroom.New", Value: "client that is " + s.String(), Want: "make the room before the client connects"})
	}
	if err != nil {
		return nil, err
	}
	r := &Room{client: client, cfg: cfg, changed: make(chan struct{})}
	r.watch.room = r
	client.AfterConnect(cfg.InitTimeout+cfg.JoinTimeout+slowest, r.open)
	client.OnOpen(r.opened)
	client.OnClose(r.closed)
	client.OnStateChange(r.stateChanged)
	wechatws.On(client, Init{}.MsgType(), r.init)
	wechatws.On(client, Join{}.MsgType(), r.join)
	wechatws.On(client, Join{}.MsgType(), r.joined)
	wechatws.On(client, Comment{}.MsgType(), r.comment)
	wechatws.On(client, Subscribe{}.MsgType(), r.subscribe)
	wechatws.On(client, Leave{}.MsgType(), r.leave)
	wechatws.On(client, Buy{}.MsgType(), r.buy)
	wechatws.On(client, Shelf{}.MsgType(), r.shelf)
	client.OnUnknown(r.unknown)
	return r, nil
}

// Client is the client that the room was made on.
func (r *Room) Client() *wechatws.Client { return r.client }

// open joins the room on a new connection, before anything else is said there. It
// runs where the client reads, so that no callback can delay it.
func (r *Room) open(ctx context.Context, o *wechatws.Setup) error {
	r.mu.Lock()
	r.made, r.answered = o.Connection, 0
	r.loseID()
	r.mu.Unlock()
	if err := r.await(ctx, o, Init{}.MsgType(), r.cfg.InitTimeout); err != nil {
		return err
	}
	if err := r.await(ctx, o, Join{}.MsgType(), r.cfg.JoinTimeout); err != nil {
		return err
	}
	o.HoldQueue(r.cfg.Settle)
	return nil
}

// slowest is how long messages may be coming in while a connection is opening, besides
// the timeouts: 1 MiB, the read limit, at 28 kbit/s.
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
		if m.Type == (Init{}).MsgType() {
			if err := o.Send(waiting, r.joinCommand(id)); err != nil {
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

// endWait calls end after the timeout, or when it has passed since the last byte of a
// message that is still coming in.
func (r *Room) endWait(waiting context.Context, end func(), timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-waiting.Done():
			return
		}
		left := time.Until(r.client.Stats().PartialAt.Add(timeout))
		if left <= 0 {
			end()
			return
		}
		timer.Reset(left)
	}
}

func (r *Room) joinCommand(clientID Value) JoinCommand {
	return JoinCommand{
		RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
		IsAnchor: r.cfg.Anchor, FromName: r.cfg.Name,
	}
}

// sniff keeps the client_id that any message may carry, and returns the one to use
// now.
func (r *Room) sniff(m wechatws.Message) Value {
	var s Sender
	_ = m.Decode(&s) // what does not fit is reported by who decodes it as a whole
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Type == (Init{}).MsgType() { // that is what it is for
		r.lostIDs = slices.DeleteFunc(r.lostIDs, func(id string) bool { return id == s.ClientID.String() })
		s.FromUID, s.FromName = Value{}, ""
	}
	r.keepID(s)
	return r.clientID
}

// keepID keeps a client_id, unless it is somebody else's: servers put it into what
// they tell everybody about one. One that is longer than any text that is kept is none.
// It is called with mu held.
func (r *Room) keepID(s Sender) {
	if s.ClientID.IsZero() || len(s.ClientID.text) > maxField || r.isLost(s.ClientID) ||
		!s.FromUID.IsZero() && s.FromUID.String() != r.cfg.UserID.String() ||
		s.FromName != "" && string(s.FromName) != r.cfg.Name {
		return
	}
	if s.ClientID != r.clientID {
		r.clientID = s.ClientID
		r.state.change()
	}
}

// loseID is called with mu held.
func (r *Room) loseID() {
	if r.clientID.IsZero() {
		return
	}
	const remembered = 8 // far more than a server lets linger
	r.lostIDs = append(r.lostIDs, r.clientID.String())
	r.lostIDs = r.lostIDs[max(0, len(r.lostIDs)-remembered):]
	r.clientID = Value{}
	r.state.change()
}

// isLost tells whether an id is that of an earlier connection. It is called with
// mu held.
func (r *Room) isLost(id Value) bool {
	return !id.IsZero() && slices.Contains(r.lostIDs, id.String())
}

// Joined waits until the room is joined, and what the server tells about it is in
// Snapshot. It returns wechatws.ErrClosed, with the cause, when the client is
// closed or fails, or the cause of ctx's end. Inside a callback it would wait for
// what comes after that callback; Snapshot tells there.
func (r *Room) Joined(ctx context.Context) error {
	for {
		r.mu.Lock()
		joined, ended, changed := r.state.Joined, r.ended, r.changed
		r.mu.Unlock()
		switch {
		case joined:
			return nil
		case ended != nil:
			return ended
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// news wakes who waits in Joined. It is called with mu held.
func (r *Room) news() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// An action is a command that carries the client_id of the connection that it is
// written to, also when it had to wait for it.
type action struct {
	room *Room
	make func(clientID Value) any
}

func (a action) MarshalJSON() ([]byte, error) {
	a.room.mu.Lock()
	id := a.room.clientID
	a.room.mu.Unlock()
	return json.Marshal(a.make(id))
}

func (r *Room) send(ctx context.Context, command func(clientID Value) any) error {
	r.watch.asking() // before it is sent: the echo may be quicker than Send returns
	err := r.client.Send(ctx, action{r, command}, wechatws.EncodeOnWrite())
	if err != nil {
		r.watch.notAsked()
	}
	return err
}

// Say sends a comment. It is accepted, and may fail, as by the client's Send:
// without a connection it waits in the queue, and goes out behind the next join.
func (r *Room) Say(ctx context.Context, content string) error {
	return r.send(ctx, func(clientID Value) any {
		return CommentCommand{
			RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
			FromName: r.cfg.Name, Content: content,
		}
	})
}

// ShelfOn puts goods on the shelf, as the anchor may. See Say.
func (r *Room) ShelfOn(ctx context.Context, g Goods) error { return r.sendShelf(ctx, g, ShelfOn) }

// ShelfOff takes goods off the shelf. See Say.
func (r *Room) ShelfOff(ctx context.Context, g Goods) error { return r.sendShelf(ctx, g, ShelfOff) }

func (r *Room) sendShelf(ctx context.Context, g Goods, status string) error {
	return r.send(ctx, func(clientID Value) any {
		return ShelfCommand{
			RoomID: r.cfg.RoomID, LiveID: r.cfg.LiveID, FromUID: r.cfg.UserID, ClientID: clientID,
			FromName: r.cfg.Name,
			GoodsID:  g.ID, GoodsName: g.Name, GoodsPrice: g.Price, DefaultImage: g.Image, Status: status,
		}
	})
}

// Leave leaves the room, which in this protocol means to close the connection. It
// is [wechatws.Client.Close], with its error: it does not wait for callbacks.
func (r *Room) Leave() error { return r.client.Close(wechatws.StatusNormalClosure, "leave") }
