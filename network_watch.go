package wechatws

import "context"

// watchNetwork starts to watch the network. If the monitor panics or returns no function to
// stop it, the client assumes that there is a network, since its return might not be
// reported.
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
	if !s.networkKnown { // otherwise a change has been reported since
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

// awaitNetwork blocks until there is a network, or until [Client.Reconnect] is called. It
// returns false when the session retires.
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

// networkChanged is called by the network monitor, on the monitor's goroutine. After a
// change the next attempt may succeed, so a wait ends; and an open connection may be
// half-open, so it is probed.
//
// An attempt under way goes on as long as its route exists. Most changes concern other
// interfaces, and where they are more frequent than an attempt is long, as on a container
// host, the client would never be open if each of them restarted it. Each step of an
// attempt has a timeout, so a slow one needs no restart either. If it fails, the next one
// follows at once.
func (s *session) networkChanged(status NetworkStatus) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closing { // the watch has been stopped meanwhile
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
