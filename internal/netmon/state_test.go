package netmon

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

const running = net.FlagUp | net.FlagRunning

func testLink(index int, name string, flags net.Flags, addresses ...string) link {
	i := link{Interface: net.Interface{Index: index, Name: name, Flags: flags}}
	for _, a := range addresses {
		i.addresses = append(i.addresses, netip.MustParsePrefix(a))
	}
	return i
}

func TestJudge(t *testing.T) {
	lo := testLink(1, "lo", running|net.FlagLoopback, "127.0.0.1/8", "::1/128")
	var (
		none     = Status{false, None}
		unknown  = Status{true, Unknown}
		wifi     = Status{true, WiFi}
		ethernet = Status{true, Ethernet}
	)
	for name, test := range map[string]struct {
		links  []link
		routes []defaultRoute
		want   Status
	}{
		"no interface at all cannot be": {nil, nil, unknown},
		"loopback only":                 {[]link{lo}, nil, none},
		"down":                          {[]link{lo, testLink(2, "eth0", net.FlagBroadcast, "10.0.0.2/24")}, nil, none},
		"no carrier":                    {[]link{lo, testLink(2, "eth0", net.FlagUp, "10.0.0.2/24")}, nil, none},
		"no address":                    {[]link{lo, testLink(2, "eth0", running)}, nil, none},
		"link-local addresses":          {[]link{lo, testLink(2, "eth0", running, "169.254.3.4/16", "fe80::1/64")}, nil, none},
		"no address yet":                {[]link{lo, testLink(2, "eth0", running, "0.0.0.0/8")}, nil, none},
		"private IPv4":                  {[]link{lo, testLink(2, "eth0", running, "10.0.0.2/24")}, nil, ethernet},
		"unique local IPv6":             {[]link{lo, testLink(2, "eth0", running, "fd00::2/64")}, nil, ethernet},
		"carrier-grade NAT":             {[]link{lo, testLink(2, "eth0", running, "100.64.0.2/10")}, nil, ethernet},
		"unnumbered link": {[]link{
			testLink(1, "lo", running|net.FlagLoopback, "127.0.0.1/8", "203.0.113.1/32"), testLink(2, "eth0", running, "fe80::1/64"),
		}, nil, unknown},
		"unnumbered link with route": {[]link{
			testLink(1, "lo", running|net.FlagLoopback, "203.0.113.1/32"), testLink(2, "eth0", running, "fe80::1/64"),
		}, []defaultRoute{{index: 2}}, ethernet},
		"address on loopback without link": {[]link{
			testLink(1, "lo", running|net.FlagLoopback, "203.0.113.1/32"), testLink(2, "eth0", net.FlagUp),
		}, nil, none},
		"first one": {[]link{
			testLink(2, "eth0", running, "10.0.0.2/24"), testLink(3, "wlan0", running, "10.1.0.2/24"),
		}, nil, ethernet},
		"one with the best route": {[]link{
			testLink(2, "eth0", running, "10.0.0.2/24"), testLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []defaultRoute{{index: 3}, {index: 2}}, wifi},
		"best route has no carrier": {[]link{
			testLink(2, "eth0", net.FlagUp, "10.0.0.2/24"), testLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []defaultRoute{{index: 2}, {index: 3}}, wifi},
		"best route has several interfaces": {[]link{
			testLink(2, "eth0", running, "10.0.0.2/24"), testLink(3, "wlan0", running, "10.1.0.2/24"),
		}, []defaultRoute{{index: 0}}, ethernet},
	} {
		t.Run(name, func(t *testing.T) {
			state := reading{test.links, test.routes}.judge(fakeType)
			assert.Equal(t, test.want, state.status)
			assert.NotEmpty(t, state.digest)
		})
	}
}

func fakeType(name string) string {
	return map[string]string{"eth0": Ethernet, "wlan0": WiFi}[name]
}

func TestDigest(t *testing.T) {
	eth := testLink(2, "eth0", running, "10.0.0.2/24", "fd00::2/64")
	wlan := testLink(3, "wlan0", running, "10.1.0.2/24")
	route, other := defaultRoute{index: 2, digest: "via 10.0.0.1"}, defaultRoute{index: 2, digest: "via 10.0.0.9"}
	digest := func(links []link, routes ...defaultRoute) string {
		return reading{links, routes}.judge(fakeType).digest
	}
	base := digest([]link{eth, wlan}, route)

	for name, same := range map[string]string{
		"order of interfaces":     digest([]link{wlan, eth}, route),
		"order of addresses":      digest([]link{testLink(2, "eth0", running, "fd00::2/64", "10.0.0.2/24"), wlan}, route),
		"link-local address":      digest([]link{testLink(2, "eth0", running, "10.0.0.2/24", "fd00::2/64", "fe80::2/64"), wlan}, route),
		"link without address":    digest([]link{eth, wlan, testLink(4, "veth0", running, "fe80::4/64")}, route),
		"link without carrier":    digest([]link{eth, wlan, testLink(4, "docker0", net.FlagUp, "172.17.0.1/16")}, route),
		"route through such link": digest([]link{eth, wlan}, route, defaultRoute{index: 4, digest: "via 10.4.0.1"}),
	} {
		assert.Equal(t, base, same, name)
	}
	for name, differs := range map[string]string{
		"address added":     digest([]link{testLink(2, "eth0", running, "10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"), wlan}, route),
		"address removed":   digest([]link{testLink(2, "eth0", running, "10.0.0.2/24"), wlan}, route),
		"prefix":            digest([]link{testLink(2, "eth0", running, "10.0.0.2/25", "fd00::2/64"), wlan}, route),
		"interface removed": digest([]link{eth}, route),
		"carrier":           digest([]link{eth, testLink(3, "wlan0", net.FlagUp, "10.1.0.2/24")}, route),
		"index":             digest([]link{eth, testLink(9, "wlan0", running, "10.1.0.2/24")}, route),
		"loopback address":  digest([]link{eth, wlan, testLink(1, "lo", running|net.FlagLoopback, "10.9.9.9/32")}, route),
		"route removed":     digest([]link{eth, wlan}),
		"route replaced":    digest([]link{eth, wlan}, other),
		"route added":       digest([]link{eth, wlan}, route, other),
		"nothing left":      digest([]link{testLink(1, "lo", running|net.FlagLoopback)}),
		"unreadable":        digest(nil),
	} {
		assert.NotEqual(t, base, differs, name)
	}
}
