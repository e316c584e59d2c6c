package wechatws

import "sync"

// A claim records whether any request or callback has taken a message. Requests match it on
// the goroutines of their callers, before or after the callbacks have run.
type claim struct {
	mu sync.Mutex // guards the fields below

	taken   bool
	looking int   // requests that have not matched it yet
	unused  error // the error if none of them takes it; nil: a callback took it, or none has run yet
}

// offered is called for each request before it can match the message.
func (c *claim) offered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looking++
}

// looked is called when a request has matched the message or will not, and returns the
// error to report then, or nil.
func (c *claim) looked(took bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looking--
	c.taken = c.taken || took
	return c.due()
}

// untaken is called when no callback takes the message, and returns the error to report
// then: nil while a request may still take it. c may be nil: there are no requests.
func (c *claim) untaken(err error) error {
	if c == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = err
	return c.due()
}

// due returns the error to report now. It is called with mu held.
func (c *claim) due() error {
	if c.taken || c.looking > 0 {
		return nil
	}
	return c.unused
}

// looked reports that a request has matched the message, or will not.
func (in inbound) looked(took bool) {
	if err := in.claim.looked(took); err != nil {
		in.link.client.reportLater(in.link.session, err)
	}
}
