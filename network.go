package wechatws

// stand-in until the monitor lands
type NetworkType string
type NetworkStatus struct {
	Connected bool
	Type      NetworkType
}
type NetworkMonitor interface {
	Status() NetworkStatus
	Watch(fn func(NetworkStatus)) (stop func())
}
