package wechatws_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the tests have printed into the documents that show it")

// requireDocumented compares output with the block that a document has behind the comment
// <!-- name -->, so that what the document shows is what happens.
func requireDocumented(t *testing.T, file, name, output string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	mark := "<!-- " + name + " -->\n```\n"
	before, rest, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), mark)
	require.True(t, found, "%s: no block after <!-- %s -->", file, name)
	block, after, found := strings.Cut(rest, "```\n")
	require.True(t, found, "%s: the block after <!-- %s --> has no end", file, name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+mark+output+"```\n"+after), 0o644))
		return
	}
	require.Equal(t, block, output, "%s is not what happens; go test -run %s . -update", file, t.Name())
}
