package wechatws

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

const running = net.FlagUp | net.FlagRunning

func networkLink(index int, name string, flags net.Flags, addresses ...string) networkInterface {
	i := networkInterface{Interface: net.Interface{Index: index, Name: name, Flags: flags}}
	for _, a := range addresses {
		i.addresses = append(i.addresses, netip.MustParsePrefix(a))
	}
	return i
}

func TestNetworkStatusOfReading(t *testing.T) {
	lo := networkLink(1, "lo", running|net.FlagLoopback, "127.0.0.1/8", "::1/128")
	var (
		none     = NetworkStatus{false, networkNone}
		unknown  = NetworkStatus{true, networkUnknown}
		wifi     = NetworkStatus{true, networkWiFi}
		ethernet = NetworkStatus{true, networkEthernet}
	)
	for name, test := range map[string]struct {
		interfaces []networkInterface
		routes     []networkRoute
		want       NetworkStatus
	}{
		"no interface at all cannot be": {nil, nil, unknown},
		"loopback only":                 {[]networkInterface{lo}, nil, none},
		"down":                          {[]networkInterface{lo, networkLink(2, "eth0", net.FlagBroadcast, "10.0.0.2/24")}, nil, none},
		"no carrier":                    {[]networkInterface{lo, networkLink(2, "eth0", net.FlagUp, "10.0.0.2/24")}, nil, none},
		"no address":                    {[]networkInterface{lo, networkLink(2, "eth0", running)}, nil, none},
		"link-local addresses":          {[]networkInterface{lo, networkLink(2, "eth0", running, "169.254.3.4/16", "fe80::1/64")}, nil, none},
		"no address yet":                {[]networkInterface{lo, networkLink(2, "eth0", running, "0.0.0.0/8")}, nil, none},
		"private IPv4":                  {[]networkInterface{lo, networkLink(2, "eth0", running, "10.0.0.2/24")}, nil, ethernet},
		"unique local IPv6":             {[]networkInterface{lo, networkLink(2, "eth0", running, "fd00::2/64")}, nil, ethernet},
		"carrier-grade NAT":             {[]networkInterface{lo, networkLink(2, "eth0", running, "100.64.0.2/10")}, nil, ethernet},
		"unnumbered link": {[]networkInterface{
			networkLink(1, "lo", running|net.FlagLoopback, "127.0.0.1/8", "203.0.113.1/32"), networkLink(2, "eth0", running, "fe80::1/64"),
		}, nil, unknown},
		"unnumbered link with route": {[]networkInterface{
			networkLink(1, "lo", running|net.FlagLoopback, "203.0.113.1/32"), networkLink(2, "eth0", running, "fe80::1/64"),
		}, []networkRoute{{index: 2}}, ethernet},
		"address on loopback without link": {[]networkInterface{
			networkLink(1, "lo", running|net.FlagLoopback, "203.0.113.1/32"), networkLink(2, "eth0", net.FlagUp),
		}, nil, none},
		"first one": {[]networkInterface{
			networkLink(2, "eth0", running, "10.0.0.2/24"), networkLink(3, "wlan0", running, "10.1.0.2/24"),
		}, nil, ethernet},
		"one with the best route": {[]networkInterface{
			networkLink(2, "eth0", running, "10.0.0.2/24"), networkLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []networkRoute{{index: 3}, {index: 2}}, wifi},
		"best route has no carrier": {[]networkInterface{
			networkLink(2, "eth0", net.FlagUp, "10.0.0.2/24"), networkLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []networkRoute{{index: 2}, {index: 3}}, wifi},
		"best route has several interfaces": {[]networkInterface{
			networkLink(2, "eth0", running, "10.0.0.2/24"), networkLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []networkRoute{{index: 0}}, ethernet},
	} {
		t.Run(name, func(t *testing.T) {
			state := networkReading{test.interfaces, test.routes}.state(fakeKind)
			assert.Equal(t, test.want, state.status)
			assert.NotEmpty(t, state.digest)
		})
	}
}

func fakeKind(name string) string {
	return map[string]string{"eth0": networkEthernet, "wlan0": networkWiFi}[name]
}

func TestNetworkDigest(t *testing.T) {
	eth := networkLink(2, "eth0", running, "10.0.0.2/24", "fd00::2/64")
	wlan := networkLink(3, "wlan0", running, "10.1.0.2/24")
	route, other := networkRoute{index: 2, digest: "via 10.0.0.1"}, networkRoute{index: 2, digest: "via 10.0.0.9"}
	digest := func(interfaces []networkInterface, routes ...networkRoute) string {
		return networkReading{interfaces, routes}.state(fakeKind).digest
	}
	base := digest([]networkInterface{eth, wlan}, route)

	for name, same := range map[string]string{
		"order of interfaces":     digest([]networkInterface{wlan, eth}, route),
		"order of addresses":      digest([]networkInterface{networkLink(2, "eth0", running, "fd00::2/64", "10.0.0.2/24"), wlan}, route),
		"link-local address":      digest([]networkInterface{networkLink(2, "eth0", running, "10.0.0.2/24", "fd00::2/64", "fe80::2/64"), wlan}, route),
		"link without address":    digest([]networkInterface{eth, wlan, networkLink(4, "veth0", running, "fe80::4/64")}, route),
		"link without carrier":    digest([]networkInterface{eth, wlan, networkLink(4, "docker0", net.FlagUp, "172.17.0.1/16")}, route),
		"route through such link": digest([]networkInterface{eth, wlan}, route, networkRoute{index: 4, digest: "via 10.4.0.1"}),
	} {
		assert.Equal(t, base, same, name)
	}
	for name, differs := range map[string]string{
		"address added":     digest([]networkInterface{networkLink(2, "eth0", running, "10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"), wlan}, route),
		"address removed":   digest([]networkInterface{networkLink(2, "eth0", running, "10.0.0.2/24"), wlan}, route),
		"prefix":            digest([]networkInterface{networkLink(2, "eth0", running, "10.0.0.2/25", "fd00::2/64"), wlan}, route),
		"interface removed": digest([]networkInterface{eth}, route),
		"carrier":           digest([]networkInterface{eth, networkLink(3, "wlan0", net.FlagUp, "10.1.0.2/24")}, route),
		"index":             digest([]networkInterface{eth, networkLink(9, "wlan0", running, "10.1.0.2/24")}, route),
		"loopback address":  digest([]networkInterface{eth, wlan, networkLink(1, "lo", running|net.FlagLoopback, "10.9.9.9/32")}, route),
		"route removed":     digest([]networkInterface{eth, wlan}),
		"route replaced":    digest([]networkInterface{eth, wlan}, other),
		"route added":       digest([]networkInterface{eth, wlan}, route, other),
		"nothing left":      digest([]networkInterface{networkLink(1, "lo", running|net.FlagLoopback)}),
		"unreadable":        digest(nil),
	} {
		assert.NotEqual(t, base, differs, name)
	}
}
