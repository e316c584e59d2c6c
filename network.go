package wechatws

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/wechatws/wechatws/internal/netmon"
	"github.com/wechatws/wechatws/internal/record"
)

// A NetworkStatus is the state of the network, like the results of wx.getNetworkType and
// wx.onNetworkStatusChange.
type NetworkStatus struct {
	// Connected reports whether there is a network, so that dialing makes sense. It does
	// not report whether any server can be reached.
	Connected bool `json:"connected"`
	// Type is the type of the network, never empty: "wifi", "2g", "3g", "4g", "5g",
	// "unknown" or "none" as in wx.getNetworkType, or "ethernet". It is "none" if
	// Connected is false. [SystemNetwork] distinguishes wifi and ethernet on Linux, and
	// reports unknown elsewhere.
	Type string `json:"type"`
}

// LogValue implements [slog.LogValuer].
func (s NetworkStatus) LogValue() slog.Value { return record.Log(s) }

// A NetworkMonitor reports whether there is a network, and when it changes. [SystemNetwork]
// is one; a program may have another, such as one for a VPN, and set it with
// [WithNetworkMonitor]. Its methods may be called from any goroutine, also in a function given
// to Watch. If Status or Watch panics, or Watch returns nil, [Client.OnError] receives the
// error and the client assumes that there is a network.
type NetworkMonitor interface {
	// Status returns the current state. It may take a few milliseconds to read it, and
	// does not block otherwise.
	//
	// It mirrors wx.getNetworkType.
	Status() NetworkStatus

	// Watch calls fn after each change until stop is called, one call at a time. A change
	// is anything that may make a route to the server better or worse, also if Status
	// stays equal, such as another address or another default route. A change that is
	// undone within a moment is not reported. fn must not block: all watchers share the
	// goroutine that calls it.
	//
	// A caller that calls Watch first and Status after it misses no change.
	//
	// stop may be called more than once, and while holding a lock that fn takes. After it
	// has returned, no further call of fn begins; it does not wait for a call under way.
	//
	// It mirrors wx.onNetworkStatusChange and wx.offNetworkStatusChange.
	Watch(fn func(NetworkStatus)) (stop func())
}

// SystemNetwork returns the monitor of the machine's own network, which the whole process
// shares. It never fails, and logs a panic in a function given to Watch with [slog.Default].
// While there are watchers it costs one goroutine, however many there are, and on Linux one
// netlink socket, on which the kernel reports changes; otherwise nothing. On other systems,
// and in Linux sandboxes without netlink, it polls every 5 s.
//
// Connected means that an interface other than loopback is up, has carrier and has an address
// that is not link-local; for unnumbered links an address on loopback is enough. A state that
// cannot be read counts as connected, since a failed dial costs less than no dial. Virtual
// interfaces, such as a container bridge in use, count like any other. A machine that has only
// loopback is not connected, not even to itself.
func SystemNetwork() NetworkMonitor { return systemNetwork{} }

type systemNetwork struct{}

func (systemNetwork) Status() NetworkStatus { return NetworkStatus(netmon.System.Status()) }

func (systemNetwork) Watch(fn func(NetworkStatus)) (stop func()) {
	return netmon.System.Watch(func(s netmon.Status) {
		if err := users.Apart(func() error { fn(NetworkStatus(s)); return nil }); err != nil {
			// No client can report it, and all clients depend on the goroutine that calls.
			slog.Error("wechatws: panic in a function that watches the network", "err", err)
		}
	})
}

var errNoStop = errors.New("wechatws: NetworkMonitor.Watch returned nil: it must return a stop function")

// watchNetwork starts to watch the network. If the monitor panics or returns no function to
// stop it, the client assumes that there is a network, since its return might not be
// reported.
func (s *session) watchNetwork() {
	m := s.client.cfg.network
	if m == nil {
		return
	}
	status := NetworkStatus{Connected: true, Type: netmon.Unknown}
	err := users.Apart(func() error {
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
	if s.client.network == nil { // otherwise a change has been reported since
		s.client.network = &status
	}
}

// unwatchNetwork ends the watch.
func (s *session) unwatchNetwork() {
	if s.unwatch == nil {
		return
	}
	if err := users.Apart(func() error { s.unwatch(); return nil }); err != nil {
		s.client.reportLater(s, err)
	}
}

// awaitNetwork blocks until there is a network, or until [Client.Reconnect] is called. It
// returns false when the session retires.
func (s *session) awaitNetwork(attempt int) bool {
	c := s.client
	for {
		c.mu.Lock()
		if s.hasRetired() {
			c.mu.Unlock()
			return false
		}
		if c.cfg.network == nil || c.network.Connected || c.forced {
			c.mu.Unlock()
			return true
		}
		if c.history.state != StateOffline {
			c.move(StateChange{To: StateOffline, Attempt: attempt})
		}
		c.mu.Unlock()
		select {
		case <-s.wake:
			s.spreadChange()
		case <-s.quit:
		}
	}
}

var errAddressLost = errors.New("the machine does not have the connection's address any more")

// addressLost reports whether the machine does not have the connection's local address any more.
func (l *link) addressLost() bool {
	if l.socket == nil {
		return false
	}
	c, ok := l.socket.Conn.(*net.TCPConn) // a user's method must not be called here
	return ok && !netmon.Has(c.LocalAddr().(*net.TCPAddr).AddrPort().Addr())
}

// handedOver reports whether l has ended because of its network and not of the server: there is
// another route to the server, and nothing has arrived since, not even the end of the connection.
func (s *session) handedOver(l *link, cause *CloseError) bool {
	if !errors.Is(cause, ErrHalfOpen) && !errors.Is(cause, errAddressLost) {
		return false
	}
	s.client.mu.Lock()
	moved := s.client.moved
	s.client.mu.Unlock()
	return !moved.IsZero() && !l.received().After(moved)
}

// handOver is the schedule's delay after the end of such a connection: the next attempt follows at
// once, and none of the schedule's delays is used up.
func (s *session) handOver(error) (wait time.Duration, over bool) {
	s.schedule.attempt++
	return max(s.schedule.spread(), time.Until(s.dialed.Add(changePause)), minDelay), false
}

// networkChanged is called by the network monitor, on the monitor's goroutine. An open
// connection may be half-open, so it is probed; one whose address is gone ends, if there is another
// way to the server. A wait ends if the next attempt may succeed because of the change: the network
// has come, or the route to the server is another one. Most changes concern other interfaces.
//
// An attempt under way goes on as long as its route exists, so that the client opens also
// where changes are more frequent than an attempt is long. Each step of an attempt has a
// timeout, so a slow one needs no restart. If the network comes or goes although the route
// exists, or is unknown, packets may have been lost, and the kernel would send them again
// only seconds later: then the attempt is begun anew, once.
func (s *session) networkChanged(status NetworkStatus) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s || c.closing { // the watch has been stopped meanwhile
		return
	}
	turned := c.network == nil || status.Connected != c.network.Connected
	c.network = &status
	c.event(s, func(ctx context.Context) { c.onNetworkChange.call(ctx, status, c.reporter(ctx)) })
	changed, gone, reachable := s.route.Check() // also while open: a wait that follows needs the last state
	if l := c.link; l != nil && !l.Over() {
		lost := reachable && l.addressLost()
		if lost || changed && reachable {
			c.moved = time.Now()
		}
		if lost {
			l.fail(&CloseError{Code: StatusAbnormalClosure, Err: errAddressLost})
		}
		l.heartbeat.probeNow()
		return
	}
	if !turned && !changed {
		return
	}
	once := turned && !gone && !c.anew
	c.anew = c.anew || once
	s.tryNow(gone || once)
}
