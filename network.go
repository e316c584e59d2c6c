package wechatws

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// NetworkType is a kind of network, with the values of wx.getNetworkType and one
// more for servers.
type NetworkType string

// The kinds of network. The system monitor tells wifi, ethernet, unknown and none
// apart; the generation of a cellular network cannot be read portably.
const (
	NetworkWiFi     NetworkType = "wifi"
	Network2G       NetworkType = "2g"
	Network3G       NetworkType = "3g"
	Network4G       NetworkType = "4g"
	Network5G       NetworkType = "5g"
	NetworkEthernet NetworkType = "ethernet"
	NetworkUnknown  NetworkType = "unknown"
	NetworkNone     NetworkType = "none"
)

// NetworkStatus is what a NetworkMonitor knows, like the results of
// wx.getNetworkType and wx.onNetworkStatusChange.
type NetworkStatus struct {
	Connected bool
	Type      NetworkType
}

// A NetworkMonitor tells whether there is a network and when it changes. It must
// be safe for concurrent use. SystemNetwork is one; a program that knows better
// brings its own.
type NetworkMonitor interface {
	// Status is the network as it is now. It does not wait for anything.
	Status() NetworkStatus
	// Watch calls fn after each change until stop is called, one call at a time.
	// A change is all that may make a way to the server better or worse, also
	// when Status stays equal: an address, a default route. fn does not block, and
	// does not call stop. When stop has returned fn is not called any more.
	Watch(fn func(NetworkStatus)) (stop func())
}

// SystemNetwork is the monitor of the machine's own network. All clients of a
// process share it: while anybody watches, it costs one goroutine, and on Linux
// one socket, on which the kernel tells of changes as they happen. Elsewhere it
// looks every 5 s.
//
// Connected means that some interface other than loopback is up, has carrier and
// has an address that is not link-local. On a machine without any, clients that
// use this monitor do not even connect to loopback.
func SystemNetwork() NetworkMonitor { return systemNetwork }

var systemNetwork = &sharedMonitor{read: readNetwork, open: openNetworkHints}

const (
	// quietFor is how long the network must be left alone before it is looked at:
	// one real change is a burst of five to ten events.
	quietFor = 100 * time.Millisecond
	// quietAtMost bounds that when the events do not end.
	quietAtMost = 500 * time.Millisecond
	// pollEvery is how often it is looked at where nothing tells of changes.
	pollEvery = 5 * time.Second
)

// A networkState is a status, and a digest of everything that counts as a change.
type networkState struct {
	status NetworkStatus
	digest string
}

// networkHints tell that something may have changed. What exactly is not trusted:
// events get lost when there are many.
type networkHints interface {
	// wait waits for a hint, or, when d is not zero, for so long, and tells which.
	// It returns net.ErrClosed after Close.
	wait(d time.Duration) (hint bool, err error)
	Close() error
}

// A sharedMonitor lets any number of watchers share one goroutine.
type sharedMonitor struct {
	read func() networkState
	open func() networkHints

	mu       sync.Mutex // held while a fn runs
	watchers map[*func(NetworkStatus)]struct{}
	hints    networkHints  // while there are watchers
	stopped  chan struct{} // closed when the goroutine has ended
}

func (m *sharedMonitor) Status() NetworkStatus { return m.read().status }

func (m *sharedMonitor) Watch(fn func(NetworkStatus)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.watchers) == 0 {
		m.watchers = map[*func(NetworkStatus)]struct{}{}
		m.hints, m.stopped = m.open(), make(chan struct{})
		go m.run(m.hints, m.stopped, m.read())
	}
	m.watchers[&fn] = struct{}{}
	return sync.OnceFunc(func() { m.unwatch(&fn) })
}

// unwatch ends the goroutine with the last watcher.
func (m *sharedMonitor) unwatch(fn *func(NetworkStatus)) {
	m.mu.Lock()
	delete(m.watchers, fn)
	last, hints, stopped := len(m.watchers) == 0, m.hints, m.stopped
	m.mu.Unlock()
	if last {
		hints.Close()
		<-stopped
	}
}

// run tells the watchers of changes until hints is closed.
func (m *sharedMonitor) run(hints networkHints, stopped chan<- struct{}, last networkState) {
	defer close(stopped)
	for {
		if _, err := hints.wait(0); err != nil {
			return
		}
		for began, hint := time.Now(), true; hint && time.Since(began) < quietAtMost; {
			var err error
			if hint, err = hints.wait(quietFor); err != nil {
				return
			}
		}
		now := m.read()
		if now.digest == last.digest {
			continue
		}
		last = now
		m.mu.Lock()
		if m.hints == hints { // otherwise these are the watchers of another goroutine
			for fn := range m.watchers {
				(*fn)(now.status)
			}
		}
		m.mu.Unlock()
	}
}

// readNetwork looks at the interfaces, their addresses and the default routes.
// What cannot be read counts as connected: to dial in vain is better than not to
// dial.
func readNetwork() networkState {
	interfaces, err := net.Interfaces()
	if err != nil {
		return networkState{status: NetworkStatus{Connected: true, Type: NetworkUnknown}}
	}
	var usable, lines []string
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
			continue
		}
		addresses, err := i.Addrs()
		found := err != nil
		for _, a := range addresses {
			// A link-local IPv6 address comes up to two seconds after the rest, and
			// is no second change.
			if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
				found = true
				lines = append(lines, fmt.Sprint("address ", i.Index, i.Name, a))
			}
		}
		if found {
			usable = append(usable, i.Name)
		}
	}
	routes := defaultRoutes()
	state := networkState{status: NetworkStatus{Type: NetworkNone}}
	if len(usable) > 0 {
		best := usable[0]
		if len(routes) > 0 {
			best = routes[0].name
		}
		state.status = NetworkStatus{Connected: true, Type: networkType(best)}
	}
	for _, r := range routes {
		lines = append(lines, fmt.Sprint("default ", r.name, r.gateway))
	}
	slices.Sort(lines)
	state.digest = strings.Join(lines, "\n")
	return state
}

// A route is a default route.
type route struct {
	name    string // of the interface
	gateway string
	metric  uint64
}

// polledHints hint at regular times.
type polledHints struct {
	closed chan struct{}
	once   sync.Once
}

func newPolledHints() networkHints { return &polledHints{closed: make(chan struct{})} }

func (p *polledHints) wait(d time.Duration) (hint bool, err error) {
	timer := time.NewTimer(cmp.Or(d, pollEvery))
	defer timer.Stop()
	select {
	case <-timer.C:
		return d == 0, nil
	case <-p.closed:
		return false, net.ErrClosed
	}
}

func (p *polledHints) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
