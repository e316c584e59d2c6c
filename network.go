package wechatws

// NetworkType is a kind of network, with the values of wx.getNetworkType.
type NetworkType string

// stand-in until the monitor lands
const (
	NetworkWiFi NetworkType = "wifi"
	NetworkNone NetworkType = "none"
)

// NetworkStatus is
type NetworkStatus struct {
	Connected bool
	Type      NetworkType
}

// NetworkMonitor is
type NetworkMonitor interface {
	Status() NetworkStatus
	Watch(fn func(NetworkStatus)) (stop func())
}
