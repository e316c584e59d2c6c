package liveroomtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/wstest"
)

// A Backend is a live-room server. Make it with [NewBackend]. Its methods may be called
// from any goroutine.
type Backend struct {
	server *wstest.Server
	quirks Quirks

	mu      sync.Mutex
	frozen  bool
	reloads int       // that are under way
	held    []func()  // what arrived meanwhile and is not lost
	ready   time.Time // handshakes are cut before this
	nextID  int
	members map[*wstest.Conn]*member
	rooms   map[string]*room
	lingers map[*time.Timer]struct{}
	closed  chan struct{}
}

// A room persists when the backend restarts, as in a database.
type room struct {
	members   []*member
	followers int
	history   []comment
	muted     map[string]bool // names
}

type comment struct{ name, content string }

// NewBackend starts a backend with the given behavior; the options are those of its
// [wstest.Server]. It panics if it cannot listen. The caller must call [Backend.Close].
func NewBackend(q Quirks, options ...wstest.Option) *Backend {
	if slices.ContainsFunc(options, func(o wstest.Option) bool { return o == nil }) {
		panic("liveroomtest: NewBackend: an option is nil")
	}
	if q.HistorySize == 0 {
		q.HistorySize = 20
	}
	if q.SendBuffer == 0 {
		q.SendBuffer = 1 << 20
	}
	if q.Refusal == "" {
		q.Refusal = `{"msg_type":"error","msg_content":"not in a room"}`
	}
	b := &Backend{
		quirks:  q,
		members: map[*wstest.Conn]*member{},
		rooms:   map[string]*room{},
		lingers: map[*time.Timer]struct{}{},
		closed:  make(chan struct{}),
	}
	b.server = wstest.NewServer(options...)
	b.server.AnswerFunc(b.answer)
	b.server.OnConn(func(c *wstest.Conn) { b.memberOf(c).serve() })
	b.server.OnMessage(func(c *wstest.Conn, m wstest.Message) { b.memberOf(c).receive(m) })
	return b
}

// Server returns the server that the backend is built on. Its OnMessage and OnConn replace the functions
// of the backend, which then neither reads nor sends.
func (b *Backend) Server() *wstest.Server { return b.server }

// URL returns the backend's URL, for [wechatws.New].
func (b *Backend) URL() string { return b.server.URL() }

// DialContext dials over the backend's network. Pass it to [wechatws.WithNetDial] if that
// is in memory.
func (b *Backend) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.server.DialContext(ctx, network, addr)
}

// Close stops the backend for good and returns when all its goroutines have ended. It may
// be called more than once.
func (b *Backend) Close() {
	b.mu.Lock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	for timer := range b.lingers {
		timer.Stop()
	}
	b.mu.Unlock()
	b.server.Close()
}

// answer returns the answer to a handshake.
func (b *Backend) answer(*http.Request) wstest.Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.ready) {
		return wstest.CutHandshake(wstest.FIN)
	}
	return wstest.Accept()
}

// Stop stops the backend: connections end, and dials are refused. Rooms and their history
// are kept, their members are not. [Backend.Start] starts it again.
func (b *Backend) Stop() {
	b.mu.Lock()
	conns := slices.Collect(maps.Keys(b.members))
	b.mu.Unlock()
	if b.quirks.CloseFrames {
		var ending sync.WaitGroup // each waits for the client's close frame
		for _, conn := range conns {
			ending.Go(func() { b.end(conn) })
		}
		ending.Wait()
	}
	b.server.Stop(wstest.FIN)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rooms {
		r.members = nil
	}
	for timer := range b.lingers {
		timer.Stop()
	}
	clear(b.lingers)
}

// Start starts the backend after [Backend.Stop]; see [Quirks].Recovery.
func (b *Backend) Start() {
	b.mu.Lock()
	b.ready = time.Now().Add(b.quirks.Recovery)
	b.mu.Unlock()
	b.server.Start()
}

// RollingRestart ends all current connections in groups, with a pause after each, like
// workers that restart one after the other. New connections are accepted meanwhile. It
// blocks until that is done or the backend is closed.
func (b *Backend) RollingRestart(groups int, pause time.Duration) {
	b.mu.Lock()
	conns := slices.Collect(maps.Keys(b.members))
	b.mu.Unlock()
	slices.SortFunc(conns, func(x, y *wstest.Conn) int { return x.ID() - y.ID() })
	for group := range groups {
		for i := group; i < len(conns); i += groups {
			b.end(conns[i])
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-b.closed:
			timer.Stop()
			return
		}
	}
}

// Freeze makes the backend accept connections and answer protocol pings, but send no
// other message, while frozen is true.
func (b *Backend) Freeze(frozen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = frozen
}

// Reload restarts the workers, which takes d, while all connections stay open; see
// [Quirks].ReloadLoses. It blocks until that is done or the backend is closed.
func (b *Backend) Reload(d time.Duration) {
	b.mu.Lock()
	b.reloads++
	b.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.closed:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reloads--; b.reloads > 0 {
		return
	}
	for _, handle := range b.held {
		handle()
	}
	b.held = nil
}

// Mute has the backend refuse comments and goods of all members with this name in the room, while
// muted is true.
func (b *Backend) Mute(roomID, name string, muted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room(roomID).muted[name] = muted
}

// end ends a connection as this backend does.
func (b *Backend) end(conn *wstest.Conn) {
	if b.quirks.CloseFrames {
		_ = conn.Close(int(wechatws.StatusGoingAway), "")
	} else {
		conn.Cut(wstest.FIN)
	}
}

// Kick ends the connections of all members with this name in the room, and returns their
// number.
func (b *Backend) Kick(roomID, name string) int {
	conns := b.connsOf(roomID, name)
	for _, conn := range conns {
		b.end(conn)
	}
	return len(conns)
}

// ThrowOut removes all members with this name from the room without notifying them, and
// returns their number. Their connections remain open.
func (b *Backend) ThrowOut(roomID, name string) int {
	conns := b.connsOf(roomID, name)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		if m := b.members[conn]; m != nil {
			b.leave(m)
		}
	}
	return len(conns)
}

func (b *Backend) connsOf(roomID, name string) (conns []*wstest.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.room(roomID).members {
		if m.name == name && !m.gone {
			conns = append(conns, m.conn)
		}
	}
	return conns
}

// Viewers returns the number of members of a room; see [Quirks].Linger.
func (b *Backend) Viewers(roomID string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.room(roomID).members)
}

// Say broadcasts a comment of a person without a connection to this backend, and adds it
// to the history.
func (b *Backend) Say(roomID, name, content string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.comment(b.room(roomID), name, content, fields{"msg_type": "message", "from_name": name, "content": content}, nil)
}

// Subscribe adds a follower and broadcasts it.
func (b *Backend) Subscribe(roomID, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.room(roomID)
	r.followers++
	b.broadcast(r, fields{
		"msg_type": "subscribe", "subscribe_num": b.quirks.count(r.followers), "msg_content": name + " 关注了主播",
	}, nil)
}

// Buy broadcasts a purchase.
func (b *Backend) Buy(roomID, name, goods string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broadcast(b.room(roomID), fields{"msg_type": "buy", "msg_content": name + " 购买了 " + goods}, nil)
}

// fields are a message.
type fields map[string]any

// room is called with mu held, like all that follows.
func (b *Backend) room(id string) *room {
	r := b.rooms[id]
	if r == nil {
		r = &room{muted: map[string]bool{}}
		b.rooms[id] = r
	}
	return r
}

// broadcast sends to all members of the room but one.
func (b *Backend) broadcast(r *room, f fields, but *member) {
	data := b.quirks.encode(f)
	for _, m := range r.members {
		if m != but {
			m.send(data)
		}
	}
}

func (b *Backend) comment(r *room, name, content string, f fields, but *member) {
	r.history = append(r.history, comment{name, content})
	r.history = r.history[max(0, len(r.history)-b.quirks.HistorySize):]
	b.broadcast(r, f, but)
}

// join adds a member to a room, and broadcasts it.
func (b *Backend) join(m *member, c liveroom.JoinCommand) {
	m.joined, m.before, m.behind = time.Now(), m.room, 0
	if m.room != nil {
		m.room.members = slices.DeleteFunc(m.room.members, func(other *member) bool { return other == m })
	}
	r := b.room(c.RoomID.String())
	m.room, m.name, m.uid = r, c.FromName, c.FromUID
	r.members = append(r.members, m)
	announced := b.say(m, fields{
		"msg_type": "join", "msg_content": m.name + " 进入直播间", "online_num": b.quirks.count(len(r.members)),
	})
	b.broadcast(r, announced, m)
	announced["subscribe_num"] = b.quirks.count(r.followers)
	if list := b.messageList(r); list != nil {
		announced["message_list"] = list
	}
	m.send(b.quirks.encode(announced))
}

// messageList returns the message_list of a join.
func (b *Backend) messageList(r *room) any {
	if len(r.history) == 0 {
		if b.quirks.EmptyList == "" {
			return nil
		}
		return json.RawMessage(b.quirks.EmptyList)
	}
	name := "from_name"
	if b.quirks.HistoryName {
		name = "name"
	}
	var list []fields
	for _, c := range r.history {
		list = append(list, fields{name: c.name, "content": b.quirks.shown(c.content)})
	}
	return list
}

// leave removes a member from its room, and broadcasts it.
func (b *Backend) leave(m *member) {
	r := m.room
	if r == nil {
		return
	}
	m.room = nil
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	b.broadcast(r, b.say(m, fields{"msg_type": "leave", "msg_content": m.name + " 离开直播间"}), nil)
}

// say adds the member that a message is about, if this backend does.
func (b *Backend) say(m *member, f fields) fields {
	if b.quirks.SayWho {
		f["from_uid"], f["from_name"], f["client_id"] = m.uid, m.name, m.id
	}
	return f
}

// newID returns a client_id.
func (b *Backend) newID() string {
	if b.quirks.ClientID != "" {
		return b.quirks.ClientID
	}
	b.nextID++
	return fmt.Sprintf("7f0000010b54%08x", b.nextID)
}
