package liveroom_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
	"github.com/wechatws/wechatws/liveroom/liveroomtest"
	"github.com/wechatws/wechatws/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a backend and rooms on a network in memory, in virtual time.
type world struct {
	*testing.T
	net      *wstest.Network
	backend  *liveroomtest.Backend
	shared   []*liveroom.Rooms
	visitors []*visitor
}

// maxVirtual is more than any test takes.
const maxVirtual = 100 * 24 * time.Hour

func virtual(t *testing.T, q liveroomtest.Quirks, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// What waits for ever is no deadlock while a client tries again.
		defer time.AfterFunc(maxVirtual, func() { panic(t.Name() + " waits for ever") }).Stop()
		n := wstest.NewNetwork()
		w := &world{T: t, net: n, backend: liveroomtest.NewBackend(q, wstest.WithNetwork(n))}
		defer w.backend.Close()
		defer func() {
			for _, rs := range w.shared {
				_ = rs.Shutdown(t.Context())
			}
		}()
		defer func() {
			for _, v := range w.visitors {
				_ = v.Leave()
				<-v.Done()
			}
			for _, v := range w.visitors {
				<-v.Done() // Leave does not wait for callbacks
			}
		}()
		test(t, w)
	})
}

// sleep lets virtual time pass, and then everything settle.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const roomID = "9527"

// A member is what a room is made of.
type member struct {
	liveroom.Identity
	options []liveroom.Option
}

func as(name string, options ...liveroom.Option) member {
	return member{liveroom.Identity{
		RoomID: liveroom.Str(roomID), LiveID: liveroom.Num(1), UserID: liveroom.Str("u-" + name), Name: name,
	}, options}
}

// A visitor is a room that keeps what its callbacks were told.
type visitor struct {
	*liveroom.Room
	*wechatws.Client
	t *testing.T

	mu       sync.Mutex
	comments []liveroom.Comment
	joins    []liveroom.JoinEvent
	leaves   []liveroom.LeaveEvent
	changes  []wechatws.StateChange
	closes   []wechatws.CloseEvent
	errs     []error
}

func (w *world) visitor(m member, options ...wechatws.Option) *visitor {
	w.Helper()
	v := w.plain(m, options...)
	v.Room.OnComment(func(_ context.Context, c liveroom.Comment) { v.note(func() { v.comments = append(v.comments, c) }) })
	v.Room.OnJoin(func(_ context.Context, j liveroom.JoinEvent) { v.note(func() { v.joins = append(v.joins, j) }) })
	v.Room.OnLeave(func(_ context.Context, l liveroom.LeaveEvent) { v.note(func() { v.leaves = append(v.leaves, l) }) })
	return v
}

// plain is a visitor that keeps no messages.
func (w *world) plain(m member, options ...wechatws.Option) *visitor {
	w.Helper()
	options = append([]wechatws.Option{wechatws.WithProxy(nil), wechatws.WithNetDial(w.backend.DialContext)}, options...)
	client, err := wechatws.New(w.backend.URL(), options...)
	require.NoError(w, err)
	room, err := liveroom.New(client, m.Identity, m.options...)
	require.NoError(w, err)
	v := &visitor{Room: room, Client: client, t: w.T}
	w.visitors = append(w.visitors, v)
	client.OnStateChange(func(_ context.Context, c wechatws.StateChange) {
		v.note(func() { v.changes = append(v.changes, c) })
	})
	client.OnClose(func(_ context.Context, e wechatws.CloseEvent) { v.note(func() { v.closes = append(v.closes, e) }) })
	client.OnError(func(_ context.Context, err error) { v.note(func() { v.errs = append(v.errs, err) }) })
	return v
}

func (v *visitor) note(keep func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	keep()
}

// join connects and joins the room.
func (v *visitor) join() *visitor {
	v.t.Helper()
	require.NoError(v.t, v.Connect(v.t.Context()))
	require.NoError(v.t, v.Joined(v.t.Context()))
	synctest.Wait()
	return v
}

// enter is join, and returns when what is said goes out at once.
func (v *visitor) enter() *visitor {
	v.t.Helper()
	v.join()
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
	return v
}

func (v *visitor) say(text string) {
	v.t.Helper()
	require.NoError(v.t, v.Say(v.t.Context(), text))
}

func (v *visitor) leaveRoom() {
	v.t.Helper()
	require.NoError(v.t, v.Leave())
	<-v.Done()
}

func (v *visitor) lastChange() wechatws.StateChange {
	v.mu.Lock()
	defer v.mu.Unlock()
	require.NotEmpty(v.t, v.changes)
	return v.changes[len(v.changes)-1]
}

func (v *visitor) errors() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.errs)
}

func (v *visitor) ends() []wechatws.CloseEvent {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.closes)
}

// texts are what a list of comments says.
func texts(comments []liveroom.Comment) (texts []string) {
	for _, c := range comments {
		texts = append(texts, string(c.FromName)+": "+string(c.Content))
	}
	return texts
}

// sent are the text messages that the server has got on a connection.
func sent(c *wstest.Conn) (texts []string) {
	for _, m := range c.Received() {
		texts = append(texts, m.Text())
	}
	return texts
}

func (w *world) conn() *wstest.Conn {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
	defer cancel()
	c, err := w.backend.Server().NextConn(ctx)
	require.NoError(w, err)
	return c
}
