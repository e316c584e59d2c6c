package netmon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestTypeOfLink(t *testing.T) {
	sys := t.TempDir()
	for _, link := range []struct {
		name, kind, dir string
		want            string
	}{
		{"eth0", "1", "", Ethernet},
		{"br-lan", "1", "", Ethernet},
		{"wlp3s0", "1", "wireless", WiFi},
		{"wlan1", "1", "phy80211", WiFi},
		{"wwan0", "1", "", Unknown},
		{"rmnet_data0", "1", "", Unknown},
		{"ccmni1", "1", "", Unknown},
		{"ppp0", "512", "", Unknown},
		{"tun0", "65534", "", Unknown},
		{"gone", "", "", Unknown},
	} {
		if link.kind != "" {
			require.NoError(t, os.MkdirAll(filepath.Join(sys, link.name, link.dir), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(sys, link.name, "type"), []byte(link.kind+"\n"), 0o644))
		}
		assert.Equal(t, link.want, linkTypeIn(sys, link.name), link.name)
	}
}

func TestUsableAddress(t *testing.T) {
	assert.True(t, usableAddress(unix.IFA_F_PERMANENT))
	assert.True(t, usableAddress(unix.IFA_F_TEMPORARY|unix.IFA_F_DEPRECATED))
	assert.True(t, usableAddress(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC))
	assert.False(t, usableAddress(unix.IFA_F_TENTATIVE))
	assert.False(t, usableAddress(unix.IFA_F_PERMANENT|unix.IFA_F_DADFAILED))
}
