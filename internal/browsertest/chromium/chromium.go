// Package chromium has what the tests of all pages need of a browser.
package chromium

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Find returns the path of a browser. Without one it skips the test, or, in CI, fails it.
func Find(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const install = "install one, on Debian with: apt-get install chromium"
	if os.Getenv("CI") != "" {
		t.Fatalf("none of %s is in PATH; %s", strings.Join(names, ", "), install)
	}
	t.Skipf("no browser to test the page in: none of %s is in PATH; %s", strings.Join(names, ", "), install)
	return ""
}

// Quote returns s as a string of JavaScript.
func Quote(s string) string {
	quoted, _ := json.Marshal(s) // a string always has JSON
	return string(quoted)
}
