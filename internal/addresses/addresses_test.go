package addresses

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	first  = netip.MustParseAddr("127.0.0.2")
	second = netip.MustParseAddr("127.0.0.3")
	third  = netip.MustParseAddr("127.0.0.4")
)

func TestAFailureIsForgottenAfterSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		assert.False(t, m.avoids(first))
		m.fail(first)
		m.Worked()
		time.Sleep(avoidFor - time.Second)
		m.fail(second)
		m.Worked()
		assert.True(t, m.avoids(first))
		time.Sleep(time.Second)
		assert.False(t, m.avoids(first))
		assert.True(t, m.avoids(second))
		m.fail(third)
		assert.Len(t, m.failed, 2, "what is forgotten is not kept")
	})
}

// With waits longer than that, the first addresses do not come before the last ones again.
func TestEachAddressIsTriedWhileAttemptsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		all := []netip.Addr{first, second, third}
		var tried []netip.Addr
		for range 6 {
			m.resolved(all)
			ip := all[slices.IndexFunc(all, func(ip netip.Addr) bool { return !m.avoids(ip) })]
			tried = append(tried, ip)
			m.fail(ip)
			time.Sleep(avoidFor)
		}
		assert.Equal(t, append(all, all...), tried)
	})
}

func TestTheMemoryIsBoundedWhileAttemptsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		for ip := first; len(m.failed) < maxAvoided; ip = ip.Next() {
			m.fail(ip)
		}
		time.Sleep(avoidFor)
		m.fail(second)
		assert.Len(t, m.failed, 1)
	})
}

func TestFailuresAreForgottenWhenAllAddressesOfANameHaveFailed(t *testing.T) {
	var m Memory
	m.fail(first)
	m.fail(third)
	m.resolved([]netip.Addr{first, second})
	assert.True(t, m.avoids(first))
	m.fail(second)
	m.resolved([]netip.Addr{first, second})
	assert.False(t, m.avoids(first))
	assert.False(t, m.avoids(second))
	assert.True(t, m.avoids(third), "it is not the name's")
}

func TestTheAddressIn(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80":          "127.0.0.1",
		"[::ffff:127.0.0.1]:80": "127.0.0.1",
		"[fe80::1%eth0]:80":     "fe80::1%eth0",
		"pipe":                  "invalid IP",
	} {
		assert.Equal(t, want, ipOf(addr).String())
	}
}
