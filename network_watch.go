package wechatws

import "context"

// watchNetwork begins to watch the network. With a monitor that panics or cannot be
// stopped there counts as being a network: nothing might report its return.
func (s *session) watchNetwork() {
	m := s.client.cfg.network
	if m == nil {
		return
	}
	status := NetworkStatus{Connected: true, Type: networkUnknown}
	err := apart(func() error {
		if s.unwatch = m.Watch(s.networkChanged); s.unwatch == nil {
			return errNoStop
		}
		status = m.Status()
		return nil
	})
	if err != nil {
		s.client.reportLater(s, err)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if !s.networkKnown { // otherwise there has been a change since
		s.network = status
	}
}

// unwatchNetwork ends the watch.
func (s *session) unwatchNetwork() {
	if s.unwatch == nil {
		return
	}
	if err := apart(func() error { s.unwatch(); return nil }); err != nil {
		s.client.reportLater(s, err)
	}
}

// awaitNetwork waits until there is a network. It reports false when the session
// is over.
func (s *session) awaitNetwork(attempt int) bool {
	c := s.client
	for {
		c.mu.Lock()
		if s.retired {
			c.mu.Unlock()
			return false
		}
		if c.cfg.network == nil || s.network.Connected || s.forced {
			c.mu.Unlock()
			return true
		}
		if c.state != StateOffline {
			c.move(StateChange{To: StateOffline, Attempt: attempt})
		}
		c.mu.Unlock()
		select {
		case <-s.wake:
		case <-s.quit:
		}
	}
}

// networkChanged is called by the network monitor. A change may make everything
// that is being waited for succeed now, and may have cut an open connection off
// without a word.
//
// An attempt goes on as long as its route is there: most changes concern other
// interfaces, and where they come faster than an attempt succeeds, as on a container
// host, a restart each time would keep the client from ever being open. How long the
// attempt has taken already makes no difference, or one that is slow for a good reason
// would never succeed there; each of its steps has a timeout. Should it fail, the next
// one follows at once.
func (s *session) networkChanged(status NetworkStatus) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closing { // a call that was under way when the watch was stopped
		return
	}
	before := s.network
	s.network, s.networkKnown = status, true
	c.dispatcher.event(s, func(ctx context.Context) { c.onNetworkChange.call(ctx, status, c.reporter(ctx)) })
	if s.link != nil && !s.link.over() {
		s.link.heartbeat.probeNow()
		return
	}
	s.tryNow(s.retry != nil && (status.Connected != before.Connected || s.route.gone()))
}
