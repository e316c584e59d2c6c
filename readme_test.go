package wechatws_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first bot in the READMEs is the one that CI runs.
func TestReadmesShowTheFirstBotAsItIs(t *testing.T) {
	program, err := os.ReadFile("examples/firstbot/main.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(program), "package main\n")
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		readme, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(readme), "```go\npackage main\n"+code+"```\n", name)
	}
}
