package liveroom

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/internal/boundary"
	"github.com/wechatws/wechatws/internal/callbacks"
	"github.com/wechatws/wechatws/internal/printable"
)

var (
	// ErrRoomExists is returned by [Rooms.Add] for an identity that was added already, also
	// while it is being added or removed.
	ErrRoomExists = errors.New("liveroom: the room exists already")
	// ErrNoRoom is returned by [Rooms.Remove] for an identity that has no room.
	ErrNoRoom = errors.New("liveroom: no such room")
)

// A RoomError is the error of one room of [Rooms].
type RoomError struct {
	ID  Identity
	Err error
}

// Error returns the room's id and the text of Err.
func (e *RoomError) Error() string {
	cause := any(e.Err)
	if e.Err == nil {
		cause = "unknown cause"
	}
	return fmt.Sprintf("liveroom: room %s: %v", printable.Text(e.ID.RoomID.String()), cause)
}

// Unwrap returns Err.
func (e *RoomError) Unwrap() error { return e.Err }

// A newClientError is an error of newClient, the text of which may be from a server.
type newClientError struct{ err error }

// maxCause is the length in bytes at which that text is cut.
const maxCause = 1 << 10

func (e *newClientError) Error() string {
	return "newClient: " + printable.Cut(fmt.Sprint(e.err), maxCause)
}

func (e *newClientError) Unwrap() error { return e.err }

// A RoomsError has the errors of those rooms that [Rooms.Shutdown] could not end in order.
type RoomsError struct {
	Rooms []*RoomError // in no particular order
}

// Error returns the number of rooms and the first error.
func (e *RoomsError) Error() string {
	switch n := len(e.Rooms); n {
	case 0:
		return "liveroom: 0 rooms have failed"
	case 1:
		return fmt.Sprint(e.Rooms[0])
	default:
		return fmt.Sprintf("%v, and %d more", e.Rooms[0], n-1)
	}
}

// Unwrap returns all errors.
func (e *RoomsError) Unwrap() []error {
	errs := make([]error, len(e.Rooms))
	for i, err := range e.Rooms {
		errs[i] = err
	}
	return errs
}

// A RoomsOption sets one thing about [Rooms]. A later option replaces an earlier one of the same name.
// A wrong value of the earlier one does not matter then.
type RoomsOption func(*Rooms)

// WithJoinRate sets how many joins all rooms together may send in any second. Default 50; with 0 there
// is no limit. It keeps a backend that has restarted from being overrun.
//
// A room waits for its turn before it dials, so that the server does not notice a room that waits. No
// timeout runs meanwhile. The turns of rooms whose last attempt has failed and of all others alternate
// while both wait; within each of these groups, the room that has waited longest is next. A room may
// wait a second time, for a moment, right before it sends the join, since the limit must hold even if
// many connections are ready at once. A failed attempt does not count, unless it had sent its join.
func WithJoinRate(n int) RoomsOption {
	return func(rs *Rooms) { rs.joinRate = n }
}

// Rooms are many rooms in one process, each with a client of its own. Make them with [NewRooms]. All
// methods may be called from any goroutine and any callback.
type Rooms struct {
	newClient    func(context.Context, Identity) (*wechatws.Client, error)
	joinRate     int
	dials, joins *limit          // nil: there is none
	ctx          context.Context // ends with Shutdown, for newClient
	cancel       context.CancelFunc

	onComment     callbacks.List[happened[Comment]]
	onJoin        callbacks.List[happened[JoinEvent]]
	onSubscribe   callbacks.List[happened[SubscribeEvent]]
	onLeave       callbacks.List[happened[LeaveEvent]]
	onBuy         callbacks.List[happened[BuyEvent]]
	onShelfChange callbacks.List[happened[ShelfEvent]]
	onNotice      callbacks.List[happened[Notice]]
	onFailed      callbacks.List[happened[error]]

	mu       sync.Mutex // guards the fields below, and those of the members
	members  map[member]*membership
	shutdown bool
	misuses  []error // returned by the next Add
}

// A member is what makes an [Identity] another one.
type member struct{ room, live, user string }

func memberOf(id Identity) member {
	return member{id.RoomID.String(), id.LiveID.String(), id.UserID.String()}
}

// A membership is a room, from when it is being added until it is removed.
type membership struct {
	client    *wechatws.Client // nil: it is being made
	room      *Room            // nil: it is being added
	leaving   bool             // it is being removed
	cancel    context.CancelFunc
	connected chan struct{} // closed when Connect has returned err
	err       error
	returned  atomic.Bool // err, if it has messages that are left
}

// users calls newClient.
var users boundary.Caller = func(value any, stack []byte) error {
	return &wechatws.PanicError{Value: value, Stack: stack}
}

// NewRooms returns Rooms without a room. newClient makes the client of each room, before
// [Rooms.Add] connects it; it is called on a goroutine of its own, for several rooms at a time if Add
// is. It must return when ctx ends, with the context of Add or with [Rooms.Shutdown]. If it returns an
// error or nil, panics, or calls [runtime.Goexit], the room is not added, and Add returns the error.
// NewRooms returns an [*wechatws.OptionError] for each wrong option, joined.
func NewRooms(newClient func(ctx context.Context, id Identity) (*wechatws.Client, error), options ...RoomsOption) (*Rooms, error) {
	rs := &Rooms{newClient: newClient, joinRate: 50, members: map[member]*membership{}}
	var errs []error
	wrong := func(option string, value any, want string) {
		errs = append(errs, &wechatws.OptionError{Option: "liveroom." + option, Value: fmt.Sprint(value), Want: want})
	}
	if newClient == nil {
		wrong("NewRooms", "nil", "newClient must be a function")
	}
	for _, option := range options {
		if option == nil {
			wrong("NewRooms", "nil", "an option must not be nil")
			continue
		}
		option(rs)
	}
	switch n := rs.joinRate; {
	case n < 0:
		wrong("WithJoinRate", n, "must not be below zero")
	case n > 0: // dials are spread over the second
		rs.dials = newLimit(1, (time.Second+time.Duration(n)-1)/time.Duration(n), 0)
		rs.joins = newLimit(n, time.Second, 0)
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	rs.ctx, rs.cancel = context.WithCancel(context.Background())
	return rs, nil
}

// Add makes a client and a room, as [New] does, and connects it. It blocks while newClient does, but
// not until the room is joined, for which there is [Room.Joined]. Two identities are the same if
// RoomID, LiveID and UserID are.
//
// A room is connected until it is removed: it joins again after each disconnect. If it fails
// permanently, the callbacks of [Rooms.OnFailed] are called, and it remains, without a connection,
// until it is removed.
//
// The error is a [*RoomError]. It wraps [ErrRoomExists]; [wechatws.ErrClosed] after [Rooms.Shutdown];
// the errors of New; or that of newClient, with its text printable and cut at 1 KiB.
func (rs *Rooms) Add(ctx context.Context, id Identity, options ...Option) (*Room, error) {
	room, err := rs.add(ctx, id, options)
	if err != nil {
		return nil, &RoomError{id, err}
	}
	return room, nil
}

func (rs *Rooms) add(ctx context.Context, id Identity, options []Option) (*Room, error) {
	if ctx == nil {
		return nil, noContext("Add")
	}
	m := &membership{connected: make(chan struct{})}
	if err := rs.reserve(memberOf(id), m); err != nil {
		return nil, err
	}
	room, err := rs.newRoom(ctx, m, id, options)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if err == nil && rs.shutdown {
		err = wechatws.ErrClosed
	}
	if err != nil {
		delete(rs.members, memberOf(id))
		return nil, err
	}
	m.room = room
	ctx, m.cancel = context.WithCancel(context.Background())
	go rs.connect(ctx, m)
	return room, nil
}

// reserve makes a place for a member.
func (rs *Rooms) reserve(key member, m *membership) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch errs := rs.misuses; {
	case rs.shutdown:
		return wechatws.ErrClosed
	case rs.members[key] != nil:
		return ErrRoomExists
	case errs != nil:
		rs.misuses = nil
		return errors.Join(errs...)
	}
	rs.members[key] = m
	return nil
}

// claim makes a client that of a member, unless it is another's.
func (rs *Rooms) claim(m *membership, client *wechatws.Client) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, other := range rs.members {
		if other.client == client {
			return false
		}
	}
	m.client = client
	return true
}

// newRoom makes a room and its client.
func (rs *Rooms) newRoom(ctx context.Context, m *membership, id Identity, options []Option) (*Room, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(rs.ctx, cancel)()
	var client *wechatws.Client
	err := users.Apart(func() (err error) { client, err = rs.newClient(ctx, id); return err })
	switch {
	case rs.ctx.Err() != nil:
		return nil, wechatws.ErrClosed
	case err != nil:
		return nil, &newClientError{err}
	case client == nil:
		return nil, errors.New("newClient returned neither a client nor an error")
	}
	if !rs.claim(m, client) {
		return nil, errors.New("newClient returned the client of another room")
	}
	room, err := New(client, id, append(options[:len(options):len(options)], func(c *config) { c.rooms = rs })...)
	if err != nil {
		return nil, err
	}
	client.OnStateChange(func(ctx context.Context, c wechatws.StateChange) {
		if c.To == wechatws.StateFailed {
			call(ctx, rs.onFailed.All(), happened[error]{room, c.Err})
		}
	})
	if rs.joins != nil {
		room.turns.of = rs
		client.BeforeConnect(room.beforeConnect)
	}
	return room, nil
}

// connect connects a room.
func (rs *Rooms) connect(ctx context.Context, m *membership) {
	defer close(m.connected)
	m.err = m.client.Connect(ctx)
	if m.err != nil && m.client.State() == wechatws.StateIdle { // a nil callback, or the like
		m.client.Fail(m.err)
	}
}

// Get returns the room of an identity, or nil.
func (rs *Rooms) Get(id Identity) *Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if m := rs.members[memberOf(id)]; m != nil && !m.leaving {
		return m.room
	}
	return nil
}

// All returns an iterator over the rooms that there are when the loop begins, in no particular order.
// Rooms may be added and removed during the loop.
func (rs *Rooms) All() iter.Seq[*Room] {
	return func(yield func(*Room) bool) {
		rs.mu.Lock()
		rooms := make([]*Room, 0, len(rs.members))
		for _, m := range rs.members {
			if m.room != nil && !m.leaving {
				rooms = append(rooms, m.room)
			}
		}
		rs.mu.Unlock()
		for _, room := range rooms {
			if !yield(room) {
				return
			}
		}
	}
}

// Remove ends a room as [wechatws.Client.Shutdown] does, and forgets it: [Rooms.Get] does not return
// it any more from the call on, and it may be added again when Remove has returned. It blocks until
// the room's callbacks have returned, its queue is written and its connection is closed, or ctx ends.
// In a callback, give it the callback's context, whose callback it does not wait for. The error is a
// [*RoomError]. It wraps [ErrNoRoom], or the errors of Shutdown, such as the
// [*wechatws.UndeliveredError].
func (rs *Rooms) Remove(ctx context.Context, id Identity) error {
	err := rs.remove(ctx, memberOf(id))
	if err != nil {
		return &RoomError{id, err}
	}
	return nil
}

func (rs *Rooms) remove(ctx context.Context, key member) error {
	if ctx == nil {
		return noContext("Remove")
	}
	rs.mu.Lock()
	m := rs.members[key]
	if m == nil || m.room == nil || m.leaving {
		rs.mu.Unlock()
		return ErrNoRoom
	}
	m.leaving = true
	rs.mu.Unlock()
	defer func() {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		delete(rs.members, key)
	}()
	return m.end(ctx)
}

// end ends a room.
func (m *membership) end(ctx context.Context) error {
	m.cancel() // ends Connect, if it has not returned
	select {
	case <-m.connected:
	case <-ctx.Done():
	}
	err := m.client.Shutdown(ctx)
	m.room.pace.limit.end(wechatws.ErrClosed)
	var left *wechatws.UndeliveredError
	select {
	case <-m.connected:
		if errors.As(m.err, &left) && m.returned.CompareAndSwap(false, true) {
			err = errors.Join(err, left)
		}
	default:
	}
	return err
}

// Shutdown ends all rooms at a time, each as [Rooms.Remove] does, and no room can be added any more.
// It blocks until all of them have ended, those that are being removed included, or ctx ends. The error
// is a [*RoomsError], which has an error for each room that has not delivered everything, or was cut
// short. Of several calls that end a room at a time, one returns what is left.
func (rs *Rooms) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return noContext("Shutdown")
	}
	rs.cancel()
	rs.mu.Lock()
	rs.shutdown = true
	var ending []*membership
	for _, m := range rs.members {
		if m.room != nil { // also one that another call ends
			m.leaving = true
			ending = append(ending, m)
		}
	}
	rs.mu.Unlock()
	var all sync.WaitGroup
	errs := make([]error, len(ending))
	for i, m := range ending {
		all.Go(func() { errs[i] = m.end(ctx) })
	}
	all.Wait()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var failed RoomsError
	for i, m := range ending {
		id := m.room.Identity()
		delete(rs.members, memberOf(id))
		if errs[i] != nil {
			failed.Rooms = append(failed.Rooms, &RoomError{id, errs[i]})
		}
	}
	if failed.Rooms != nil {
		return &failed
	}
	return nil
}

func noContext(method string) error {
	return &wechatws.OptionError{Option: "liveroom.Rooms." + method, Value: "nil", Want: "the context must not be nil"}
}
