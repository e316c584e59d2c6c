package wechatws

import "sync"

// A claim settles whether anything has taken a message that requests look at. They look
// on goroutines of their own, before or after the callbacks have run.
type claim struct {
	mu      sync.Mutex
	taken   bool
	looking int   // requests that have not looked yet
	unused  error // what is wrong when none of them takes it; nil: a callback took it, or none has run yet
}

// offered is called for each request before it can look.
func (c *claim) offered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looking++
}

// looked is called when a request has looked, and returns the error that is due then.
func (c *claim) looked(took bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looking--
	c.taken = c.taken || took
	return c.due()
}

// untaken is called when no callback takes the message, and returns the error that is
// due then. There is none while a request may still take it.
func (c *claim) untaken(err error) error {
	if c == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = err
	return c.due()
}

// due is called with mu held.
func (c *claim) due() error {
	if c.taken || c.looking > 0 {
		return nil
	}
	return c.unused
}

// looked is called by a request that has looked at the message.
func (in inbound) looked(took bool) {
	if err := in.claim.looked(took); err != nil {
		in.link.client.reportLater(in.link.session, err)
	}
}
