package fleet

import "time"

// A HandlersOption configures [Handlers]. A later option replaces an earlier one of the same name.
type HandlersOption func(*handlersConfig)

type handlersConfig struct {
	fromStart  bool
	attempts   int // 0: no limit
	retryAfter time.Duration
	ackWait    time.Duration

	mistakes mistakes
}

// WithFromStart makes a new group begin with the oldest message that is kept; by default it begins with
// the messages that come from now on.
func WithFromStart() HandlersOption { return func(c *handlersConfig) { c.fromStart = true } }

// WithAttempts sets how often a message is given to callbacks that return an error or panic; the
// default is 5, and 0 means without limit. The pauses between attempts are those of
// [WithRetryAfter]; meanwhile the messages behind it wait. A message that is given up is reported to
// the functions of [Handlers.OnError].
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

// WithAckWait sets after how long a message is given to another process if the process that handles it
// does not report that it is still running; the default is 10 s, and the minimum a second. A callback
// may take longer: its process reports that by itself.
func WithAckWait(d time.Duration) HandlersOption {
	return func(c *handlersConfig) {
		c.ackWait = d
		c.mistakes.check("WithAckWait", d, unless(d >= time.Second, "must be a second or longer"))
	}
}

// newHandlersConfig applies options to the defaults. The error joins all mistakes.
func newHandlersConfig(group string, options []HandlersOption) (handlersConfig, error) {
	c := handlersConfig{attempts: 5, retryAfter: time.Second, ackWait: 10 * time.Second}
	apply(&c, &c.mistakes, "NewHandlers", options)
	if !validName.MatchString(group) {
		c.mistakes.check("NewHandlers", group, "the group "+wantName)
	}
	return c, c.mistakes.err()
}
