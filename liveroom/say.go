package liveroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
)

// ErrNotShown is the error of [Room.SayConfirmed] if it has not recognized the comment in what the room
// shows: the server has dropped it, or shows it with another text. The comment may be in the room. The
// text of an error that wraps it has what was found instead.
var ErrNotShown = errors.New("liveroom: the comment was not recognized in the room")

// maxPosted is how often a comment may be in the room.
const maxPosted = 2

// A saying is one comment of SayConfirmed on its way. The mutex of unanswered guards all fields but
// the first two.
type saying struct {
	end  context.CancelFunc // makes SendConfirmed return
	left chan struct{}      // closed when it has, so that nothing writes the comment any more

	over   bool // it has its result:
	err    error
	again  bool   // the comment is lost, and may be sent once more
	other  string // the last comment of this member that was shown since it was written, quoted; empty: none
	posted int    // how many of its writings are over and may be in the room
	timer  *time.Timer
}

// SayConfirmed sends a comment and blocks until the room shows it: until the server sends it back, or
// has it in the history of a rejoin. It returns nil then, a moment before callbacks and [Room.Snapshot]
// have the comment.
//
// The comment is written again on the next connection if it was written before, and the history that
// the server sends with the join does not show it. It is written once more on a connection if the room
// goes on for [WithEchoTimeout] without it, but only if the server has shown comments of this member
// before, and no other one since. So it can be in the room twice if the server has no history, or one
// that ends before the comment; if it reads what is left of the connection before only after the
// rejoin; or if it is slower than the timeout. It cannot be there twice otherwise, and never if
// SayConfirmed returns before a connection is lost. It is not written a third time if two may be in the
// room.
//
// Give ctx a deadline: if the server drops the comment and the room is silent, only ctx may end the call.
//
// A comment is recognized by its sender ([Comment].Own) and its text, with other white space, HTML escapes
// and notations of a number also. If another member of the same name says the same at that time, and the
// server sends no ids, it may be taken for this one. A server that censors or cuts the text shows none
// that is recognized.
//
// Concurrent calls send one after the other, in the order of the calls, as those of
// [wechatws.Client.SendConfirmed] do; so two calls with the same text need two echoes. An echo confirms
// the call that waits, rather than the same text of [Room.Say] or of a call that has ended. In a
// callback, give it the context of the callback: the callbacks wait meanwhile, the confirmation does
// not wait for them. It does on any goroutine once the inbox is full behind a callback that blocks: then
// the client does not read.
//
// The errors are those of SendConfirmed, with the cause of ctx's end, and [wechatws.ErrClosed] after
// which [wechatws.Client.Close] has handed the comment back in a [*wechatws.UndeliveredError]; a
// [*RefusedError] if the server refuses the comment, unless that answers another one, see [WithRefusals];
// and [ErrNotShown]. After any other error than a RefusedError the comment may be in the room nevertheless.
func (r *Room) SayConfirmed(ctx context.Context, content string) error {
	if ctx == nil {
		return &wechatws.OptionError{Option: "liveroom.Room.SayConfirmed", Value: "nil", Want: "the context must not be nil"}
	}
	return r.pace.inTurn(ctx, func() error { return r.sayAtMostTwice(ctx, content) })
}

func (r *Room) sayAtMostTwice(ctx context.Context, content string) error {
	var s *saying
	say := func() error {
		a := r.commentOf(content)
		return r.pace.do(ctx, a, func() error { s = r.sayOnce(ctx, a, s); return s.err })
	}
	err := say()
	if s != nil && s.again {
		err = say()
	}
	return err
}

// untilConfirmed is so long that SendConfirmed writes again only on another connection.
const untilConfirmed = 365 * 24 * time.Hour

// sayOnce returns when the saying is over. before is the one that is sent again; nil: none.
func (r *Room) sayOnce(ctx context.Context, a *action, before *saying) *saying {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &saying{end: cancel, left: make(chan struct{})}
	if before != nil {
		s.posted = before.posted
	}
	defer close(s.left)
	a.saying = s
	u := &r.unanswered
	// The message that shows the comment confirms it at once, before a callback can end the client, which
	// would hand it back.
	isShown := func(wechatws.Message) bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return s.over && s.err == nil
	}
	_, err := r.client.SendConfirmed(ctx, a, isShown, wechatws.EncodeOnWrite(), wechatws.ConfirmTimeout(untilConfirmed))
	u.mu.Lock()
	defer u.mu.Unlock()
	if a.saying = nil; s.again { // otherwise its answer is expected nevertheless
		u.remove(a)
	}
	if !s.over {
		s.over, s.err = true, err
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	return s
}

// settle gives s its result. It is called with mu held.
func (u *unanswered) settle(s *saying, err error) {
	if !s.over {
		s.over, s.err = true, err
		u.settled = s
		s.end()
	}
}

// awaitEcho is called when s is written, with the mutex of unanswered held.
func (r *Room) awaitEcho(s *saying) {
	r.watch.asked(r.watch.messages())
	s.other = ""
	timeout := r.cfg.echoTimeout
	if timeout == 0 {
		return
	}
	written, connection := time.Now(), r.unanswered.connection
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(timeout, func() { r.judgeEcho(s, connection, written) })
}

// judgeEcho decides about a comment that was not echoed in time. If the room has become silent, too, it
// is the watch that decides about the connection.
func (r *Room) judgeEcho(s *saying, connection int, written time.Time) {
	isOpen := r.client.State() == wechatws.StateOpen
	u := &r.unanswered
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s.over || u.connection != connection:
	case !isOpen || s.other == "" && u.heard.Before(written.Add(r.cfg.echoTimeout/2)):
		r.watch.asked(r.watch.messages())
		s.timer.Reset(r.cfg.echoTimeout / 2)
	default:
		s.posted++
		s.again = u.echoes && s.other == "" && s.posted < maxPosted
		u.settle(s, s.notShown(fmt.Sprintf("the room has gone on for %v without it", time.Since(written))))
	}
}

// notShown is called at a rejoin: its history has not shown the comment that a call waits for. That it is
// not in the room is known if the history reaches back to what was seen, and has nothing else of this
// member; and if the server echoes, since without that the comment may be before what was seen last. It
// is called with mu held.
func (u *unanswered) notShown(reaches bool) {
	for _, a := range u.actions {
		s := a.saying
		if s == nil || s.over || reaches && u.echoes && s.other == "" {
			continue
		}
		if s.posted++; s.posted == maxPosted {
			u.settle(s, s.notShown(fmt.Sprintf("written %d times, and the history does not decide", s.posted)))
		}
	}
}

// notShown returns an ErrNotShown, with what was found: another comment of this member, or else.
func (s *saying) notShown(found string) error {
	if s.other != "" {
		found = "the server has shown " + s.other + " of this member since it was written"
	}
	return fmt.Errorf("%w: %s", ErrNotShown, found)
}

// awaitSettled waits until a comment that the history has shown cannot be written any more.
func (r *Room) awaitSettled(ctx context.Context) {
	r.unanswered.mu.Lock()
	s := r.unanswered.settled
	r.unanswered.settled = nil
	r.unanswered.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case <-s.left:
	case <-ctx.Done():
	}
}
