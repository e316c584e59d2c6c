package wechatws

// Options for the package's tests.

// WithOriginalCounting never resets the attempt counter, as the original: after 20
// disconnects in a lifetime it waits 10 s, and after 50 it waits 450 s.
func WithOriginalCounting() Option { return func(c *config) { c.neverReset = true } }

// WithFence is the option that package fleet uses.
func WithFence(allow func() error) Option { return fenced(allow) }

// WithDiscarded is another one.
func WithDiscarded(fn func(Message)) Option { return discarded(fn) }
