package wechatws

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cellularLinks are what drivers call their cellular links. Some of these pass for
// Ethernet.
var cellularLinks = []string{"wwan", "rmnet", "ppp", "ccmni"}

// linkType is the type of the network behind an interface, as far as sysfs tells.
// Where that is not mounted it is unknown.
func linkType(name string) string {
	return linkTypeIn("/sys/class/net", name)
}

func linkTypeIn(sys, name string) string {
	dir := filepath.Join(sys, name)
	if isThere(dir, "wireless") || isThere(dir, "phy80211") {
		return networkWiFi
	}
	if slices.ContainsFunc(cellularLinks, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return networkUnknown
	}
	kind, err := os.ReadFile(filepath.Join(dir, "type"))
	if err == nil && strings.TrimSpace(string(kind)) == strconv.Itoa(unix.ARPHRD_ETHER) {
		return networkEthernet
	}
	return networkUnknown
}

func isThere(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
