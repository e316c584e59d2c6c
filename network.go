package wechatws

// The types of network that [SystemNetwork] reports.
const (
	networkWiFi     = "wifi"
	networkEthernet = "ethernet"
	networkUnknown  = "unknown"
	networkNone     = "none"
)

// NetworkStatus is what a NetworkMonitor knows, like the results of
// wx.getNetworkType and wx.onNetworkStatusChange.
type NetworkStatus struct {
	// Connected says that it is worth while to dial. It does not say that any
	// server answers.
	Connected bool
	// Type is the type of the network, never empty: "wifi", "2g", "3g", "4g", "5g",
	// "unknown" or "none" as in wx.getNetworkType, or "ethernet". It is "none" when
	// Connected is false. [SystemNetwork] distinguishes wifi and ethernet on Linux, and
	// elsewhere reports unknown.
	Type string
}

// A NetworkMonitor tells whether there is a network and when it changes. Its
// methods may be called from any goroutine, also from inside the function given
// to Watch. SystemNetwork is one; a program that knows better brings its own. If
// Status or Watch panics, or Watch returns nil, OnError receives the error and the
// client assumes that there is a network.
type NetworkMonitor interface {
	// Status is the network as it is now. It reads, which may take a few
	// milliseconds, and waits for nothing else.
	//
	// It mirrors wx.getNetworkType.
	Status() NetworkStatus

	// Watch calls fn after each change until stop is called, one call at a time.
	// A change is anything that may make a route to the server better or worse,
	// also when Status stays equal: an address, a default route. What is undone
	// within a moment is no change. fn must not block: all watchers share the
	// goroutine that calls it.
	//
	// Watch first and call Status then, and nothing falls between the two.
	//
	// stop may be called more than once, and while holding a lock that fn takes.
	// After it returned fn is not started any more; a call under way in another
	// goroutine is not waited for.
	//
	// It mirrors wx.onNetworkStatusChange and wx.offNetworkStatusChange.
	Watch(fn func(NetworkStatus)) (stop func())
}

// SystemNetwork is the monitor of the machine's own network, one shared by the
// whole process. It never fails, and logs a panic in a function given to Watch with
// slog.Default. While anybody watches it costs one goroutine,
// however many watchers there are, and on Linux one netlink socket, on which the
// kernel tells of changes; otherwise nothing. Where there is no such socket,
// which is everywhere but Linux and in some Linux sandboxes, it looks every 5 s.
//
// Connected means that some interface other than loopback is up, has carrier and
// has an address that is not link-local; an address on loopback does for
// unnumbered links. What cannot be read counts as connected: a client that dials
// in vain loses less than one that never dials. A virtual interface, such as a
// container bridge in use, counts like any other. And a machine that has nothing
// but loopback is not connected, not even to itself.
func SystemNetwork() NetworkMonitor { return systemNetwork }

var systemNetwork = &sharedNetwork{
	read: readNetwork,
	open: func() networkEvents { return newNetworkListener(subscribeNetwork) },
}
