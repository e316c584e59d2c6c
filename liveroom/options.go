package liveroom

import (
	"errors"
	"fmt"
	"time"

	"github.com/wechatws/wechatws"
)

// An Identity is the room to join and the member that joins it. It has no defaults: settings
// with a default are an [Option].
type Identity struct {
	RoomID Value // must not be empty
	LiveID Value
	UserID Value  // from_uid; a message with another one is not this member's, also if this is empty
	Name   string // from_name
	Anchor bool   // this member hosts the live room
}

// An Option sets one thing about a [Room]. A later option replaces an earlier one of the
// same name, even if that had a wrong value.
type Option func(*config)

// config is what [New] is given. It does not change afterwards.
type config struct {
	Identity
	joinTimeout    time.Duration
	settle         time.Duration
	echoTimeout    time.Duration
	silenceTimeout time.Duration
	comments       int
	notices        int
	bytes          int
	refusals       []Refusal
	commentRate    int
	rooms          *Rooms // that the room is one of; nil: none

	errs []error
}

func newConfig(id Identity, options []Option) *config {
	c := &config{
		Identity:    id,
		joinTimeout: 10 * time.Second,
		settle:      200 * time.Millisecond,
		echoTimeout: 10 * time.Second,
		comments:    200,
		notices:     50,
		bytes:       1 << 20,
		refusals:    defaultRefusals(),
	}
	for _, option := range options {
		if option == nil {
			c.wrong("New", "nil", "an option must not be nil")
			continue
		}
		option(c)
	}
	return c
}

// WithJoinTimeout sets how long the server may take on each new connection to send init,
// and then again to answer the join. Default 10 s each. After that the attempt has failed
// with a [*JoinError], and the client tries again: a frozen backend accepts connections
// and answers pings, but sends nothing.
//
// Like the other timeouts of a room, it does not expire while a message is arriving, nor
// within its length after the last byte of it, since a long history takes its time on a
// slow link. The time for the whole join is limited to both timeouts and 5 minutes.
func WithJoinTimeout(d time.Duration) Option { return func(c *config) { c.joinTimeout = d } }

// WithSettle sets how long queued messages wait after the server has answered the join.
// Default 200 ms; with 0 they do not wait. A GatewayWorker stores its session a moment
// after its answer, and refuses messages that arrive before that. The room is joined, and
// its callbacks run, from the answer on.
func WithSettle(d time.Duration) Option { return func(c *config) { c.settle = d } }

// WithEchoTimeout sets how long the room may be silent after a message has been sent to
// it. Default 10 s; 0 is no limit. Then the client disconnects with [ErrSilentRoom] and
// connects again, since servers do not notify a member that they remove. The timeout is
// used only after the server has sent back a comment of this member. It is also how long
// [Room.SayConfirmed] waits for the comment while the room goes on: with 0 there is no
// [ErrNotShown], and no comment is written again on the same connection.
func WithEchoTimeout(d time.Duration) Option { return func(c *config) { c.echoTimeout = d } }

// WithSilenceTimeout sets how long the room may be silent at all before the client
// disconnects with [ErrSilentRoom] and connects again. Default 0, no limit. It is for
// members of a busy room that send nothing.
func WithSilenceTimeout(d time.Duration) Option { return func(c *config) { c.silenceTimeout = d } }

// WithHistory sets how many of the newest comments and notices are kept for
// [Room.Snapshot]. Default 200 comments and 50 notices; with 0 none are kept.
func WithHistory(comments, notices int) Option {
	return func(c *config) { c.comments, c.notices = comments, notices }
}

// WithHistoryBytes sets how many bytes of comments, notices and goods are kept together
// for [Room.Snapshot]. Default 1 MiB. Above that the oldest entries of the largest of the
// three lists are removed.
func WithHistoryBytes(n int) Option { return func(c *config) { c.bytes = n } }

// WithCommentRate sets how many comments the room sends in any second. Default 0, no limit. Above
// that [Room.Say] and [Room.SayConfirmed] block until it is their turn, in the order of the calls.
// At most 100 calls of each wait; others return [wechatws.ErrQueueFull]. Comments that the queue holds while there is no connection
// count too, so that after an outage not more than n of them are sent at once.
func WithCommentRate(n int) Option { return func(c *config) { c.commentRate = n } }

// wrong records that an option or argument has a wrong value.
func (c *config) wrong(option string, value any, want string) {
	c.errs = append(c.errs, &wechatws.OptionError{Option: "liveroom." + option, Value: fmt.Sprint(value), Want: want})
}

// check returns everything that is wrong.
func (c *config) check(client *wechatws.Client) error {
	if client == nil {
		c.wrong("New", "nil", "client must not be nil")
	} else if s := client.State(); s != wechatws.StateIdle && s != wechatws.StateClosed && s != wechatws.StateFailed {
		c.wrong("New", "client that is "+s.String(), "make the room before the client connects")
	}
	if c.RoomID.IsZero() {
		c.wrong("Identity.RoomID", `""`, "must be the room's id, as Str or Num")
	}
	if c.joinTimeout <= 0 {
		c.wrong("WithJoinTimeout", c.joinTimeout, "must be above zero")
	}
	for _, d := range [...]struct {
		option string
		value  time.Duration
	}{
		{"WithSettle", c.settle}, {"WithEchoTimeout", c.echoTimeout}, {"WithSilenceTimeout", c.silenceTimeout},
	} {
		if d.value < 0 {
			c.wrong(d.option, d.value, "must not be below zero")
		}
	}
	if c.comments < 0 || c.notices < 0 {
		c.wrong("WithHistory", fmt.Sprintf("%d, %d", c.comments, c.notices), "must not be below zero")
	}
	if c.bytes < 0 {
		c.wrong("WithHistoryBytes", c.bytes, "must not be below zero")
	}
	c.checkRefusals()
	if c.commentRate < 0 {
		c.wrong("WithCommentRate", c.commentRate, "must not be below zero")
	}
	return errors.Join(c.errs...)
}
