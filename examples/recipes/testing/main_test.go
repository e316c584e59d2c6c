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

// The guide shows this code, and no other.
func TestTheGuideQuotesTheCodeAsItIs(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/testing.md")
	require.NoError(t, err)
	var code strings.Builder
	for _, name := range []string{"bot.go", "bot_test.go", "feed.go", "feed_test.go"} {
		file, err := os.ReadFile(name)
		require.NoError(t, err)
		code.Write(file)
	}
	blocks := strings.Split(string(guide), "```go\n")[1:]
	require.GreaterOrEqual(t, len(blocks), 8)
	for _, block := range blocks {
		block, _, closed := strings.Cut(block, "```\n")
		require.True(t, closed)
		require.Contains(t, code.String(), block)
	}
}
