package fleet_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The code in the documents is taken from the examples, which run; "…" is what is left out.
func TestTheDocumentShowsTheExamples(t *testing.T) {
	var document []byte
	for _, name := range []string{"fleet.md", "fleet-design.md"} {
		page, err := os.ReadFile("../docs/" + name)
		require.NoError(t, err)
		document = append(document, page...)
	}
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := strings.Split(string(document), "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		for piece := range strings.SplitSeq(code, "…\n") {
			assert.True(t, strings.Contains(string(examples), piece), "not in example_test.go:\n%s", piece)
		}
	}
}
