// Package netmon watches the network of the machine: whether there is one, of which type it is,
// and when a route that uses it may have become better or worse. On Linux the kernel reports
// changes on a netlink socket; elsewhere, and in sandboxes without netlink, the package polls.
//
// A change passes these stages: a listener reports that something has happened; settle waits until
// it is over; a reading is made and judged, which gives a state; the Monitor compares that with
// the last one and calls the watchers if they differ.
package netmon

// A Status is what a [Monitor] reports.
type Status struct {
	// Connected reports whether there is a network. It does not report whether any server can
	// be reached.
	Connected bool
	// Type is [WiFi], [Ethernet], [Unknown] or, if Connected is false, [None].
	Type string
}

// The types of a network.
const (
	WiFi     = "wifi"
	Ethernet = "ethernet"
	Unknown  = "unknown"
	None     = "none"
)

// System is the monitor of the machine's network, which the whole process shares.
var System = &Monitor{read: readState, open: func() events { return newListener(subscribe) }}
