package fleet

import "time"

// A HandlersOption configures [Handlers]. A later option replaces an earlier one of the same name.
type HandlersOption func(*handlersConfig)

type handlersConfig struct {
	fromStart  bool
	attempts   int // 0: no limit
	retryAfter time.Duration
	takeover   time.Duration
	parallel   int

	mistakes mistakes
}

// WithFromStart makes a new group begin with the oldest message that is kept; by default it begins with
// the messages that come from now on.
func WithFromStart() HandlersOption { return func(c *handlersConfig) { c.fromStart = true } }

// WithAttempts sets how often a message is given to callbacks that return an error or panic; the
// default is 5, and 0 means without limit. The pauses between attempts are those of
// [WithRetryAfter]; meanwhile the next messages of the room wait, and those of other rooms do not. A
// message that is given up is reported to the functions of [Handlers.OnError], and is a dead letter
// then: see [Control.DeadLetters]. There is one attempt only at a message whose callback returns an
// error that is marked by [wechatws.Permanent].
func WithAttempts(n int) HandlersOption {
	return func(c *handlersConfig) {
		c.attempts = n
		c.mistakes.check("WithAttempts", n, unless(n >= 0, "must be above zero, or zero for no limit"))
	}
}

// WithRetryAfter sets the pause before the second attempt; the default is 1 s. The pause doubles
// with each attempt, up to a minute.
func WithRetryAfter(d time.Duration) HandlersOption {
	return func(c *handlersConfig) {
		c.retryAfter = d
		c.mistakes.check("WithRetryAfter", d, unless(d > 0, "must be longer than zero"))
	}
}

// WithTakeoverAfter sets after how long other processes of the group take the partitions of a process
// that is lost or cannot reach NATS; the default is 10 s. It must be a second to 5 minutes. The contexts
// of callbacks that run in that process end a twelfth of it before. Processes of a group may have
// different values: each is taken at its own.
func WithTakeoverAfter(d time.Duration) HandlersOption {
	return func(c *handlersConfig) {
		c.takeover = d
		c.mistakes.check("WithTakeoverAfter", d, unless(d >= leastTakeover && d <= mostTakeover, "must be a second to 5 minutes"))
	}
}

const leastTakeover, mostTakeover = time.Second, 5 * time.Minute

// WithParallel sets how many callbacks may run at the same time in this process, for different rooms; the
// default is 64.
func WithParallel(n int) HandlersOption {
	return func(c *handlersConfig) {
		c.parallel = n
		c.mistakes.check("WithParallel", n, unless(n > 0, "must be above zero"))
	}
}

// newHandlersConfig applies options to the defaults. The error joins all mistakes.
func newHandlersConfig(group string, options []HandlersOption) (handlersConfig, error) {
	c := handlersConfig{attempts: 5, retryAfter: time.Second, takeover: 10 * time.Second, parallel: 64}
	apply(&c, &c.mistakes, "NewHandlers", options)
	if !validName.MatchString(group) {
		c.mistakes.check("NewHandlers", quoted(group), "the group "+wantName)
	}
	return c, c.mistakes.err()
}
