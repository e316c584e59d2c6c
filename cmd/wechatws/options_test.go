package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// switches are the flags of options that flagOf does not have, as their values cannot be wrong.
var switches = map[string]string{
	"WithCompression": "compression", "WithCookieJar": "cookies", "WithCrossHostRedirects": "cross-host-redirects",
	"WithNetworkMonitor": "network-monitor", "WithServerText": "server-text", "WithStrict": "strict",
	"WithoutHeartbeat": "no-heartbeat", "WithoutLiveness": "no-pings", "WithoutReconnect": "no-reconnect",
}

// flagless are the options without a flag, and why they have none.
var flagless = map[string]string{
	"WithBackOff": "a function", "WithCodec": "a codec", "WithDialer": "a dialer", "WithEndpoint": "a function", "WithLogger": "a logger",
	"WithLogin": "a function", "WithNetDial": "a function", "WithParallel": "a function", "WithReply": "a function", "WithRetryIf": "a function",
	"WithTrace": "functions", "WithTypeFunc": "a function", "WithUnpack": "a function",
	"WithRequestID": "connect makes no calls",
}

var withOption = regexp.MustCompile(`(?m)^func (With\w+)\(`)

func TestEachOptionIsAFlag(t *testing.T) {
	flags := newConnect().Flags()
	files, err := filepath.Glob("../../*.go")
	require.NoError(t, err)
	options := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range withOption.FindAllStringSubmatch(string(code), -1) {
			options++
			if flagless[m[1]] != "" {
				continue
			}
			flag := cmp.Or(flagOf[m[1]], switches[m[1]])
			require.NotEmpty(t, flag, "%s has no flag, and no reason for that", m[1])
			for _, name := range strings.Split(flag, " and --") {
				assert.NotNil(t, flags.Lookup(strings.Replace(name, "…", "ca", 1)), "%s: there is no flag --%s", m[1], name)
			}
		}
	}
	assert.Greater(t, options, 30)
}
