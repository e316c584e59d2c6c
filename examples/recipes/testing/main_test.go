package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/examples/recipes/internal/recipetest"
)

func TestRecipe(t *testing.T) {
	recipetest.Documented(t, "testing", recipetest.Virtual(t, run))
}

// The guides show this code, and no other.
func TestTheGuidesQuoteTheCodeAsItIs(t *testing.T) {
	var guides, code strings.Builder
	for _, name := range []string{"testing.md", "testing-failover.md"} {
		guide, err := os.ReadFile("../../../docs/" + name)
		require.NoError(t, err)
		guides.Write(guide)
	}
	for _, name := range []string{"bot.go", "bot_test.go", "feed.go", "feed_test.go"} {
		file, err := os.ReadFile(name)
		require.NoError(t, err)
		code.Write(file)
	}
	blocks := strings.Split(guides.String(), "```go\n")[1:]
	require.GreaterOrEqual(t, len(blocks), 12)
	for _, block := range blocks {
		block, _, closed := strings.Cut(block, "```\n")
		require.True(t, closed)
		require.Contains(t, code.String(), block)
	}
}
