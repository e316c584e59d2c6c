package netmon

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cellularLinks are the prefixes of the names that drivers give to cellular links. Some of
// these have the type of Ethernet.
var cellularLinks = []string{"wwan", "rmnet", "ppp", "ccmni"}

// linkType returns the type of the network behind a link, from sysfs. It is [Unknown] if sysfs is
// not mounted.
func linkType(name string) string { return linkTypeIn("/sys/class/net", name) }

func linkTypeIn(sys, name string) string {
	dir := filepath.Join(sys, name)
	if isThere(dir, "wireless") || isThere(dir, "phy80211") {
		return WiFi
	}
	if slices.ContainsFunc(cellularLinks, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return Unknown
	}
	kind, err := os.ReadFile(filepath.Join(dir, "type"))
	if err == nil && strings.TrimSpace(string(kind)) == strconv.Itoa(unix.ARPHRD_ETHER) {
		return Ethernet
	}
	return Unknown
}

func isThere(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
