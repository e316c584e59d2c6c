package wechatws

import (
	"log/slog"

	"github.com/wechatws/wechatws/internal/record"
)

// The types of network that [SystemNetwork] reports.
const (
	networkWiFi     = "wifi"
	networkEthernet = "ethernet"
	networkUnknown  = "unknown"
	networkNone     = "none"
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
func SystemNetwork() NetworkMonitor { return systemNetwork }

var systemNetwork = &sharedNetwork{
	read: readNetwork,
	open: func() networkEvents { return newNetworkListener(subscribeNetwork) },
}
