package wechatws_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
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

var testName = regexp.MustCompile("`(?:\\w+\\.)?((?:Test|Fuzz)[A-Z]\\w*)(…?)`")

// Each test that a document names as proof exists.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	var declared strings.Builder
	for _, folder := range []string{".", "liveroom", "internal/trials"} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		require.NoError(t, err)
		for _, name := range files {
			code, err := os.ReadFile(name)
			require.NoError(t, err)
			declared.Write(code)
		}
	}
	for _, name := range []string{"docs/reliability.md", "docs/dependencies.md", "CONTRIBUTING.md"} {
		document, err := os.ReadFile(name)
		require.NoError(t, err)
		found := testName.FindAllStringSubmatch(string(document), -1)
		require.NotEmpty(t, found, name)
		for _, m := range found {
			declaration := "func " + m[1]
			if m[2] == "" { // otherwise the beginning of several names
				declaration += "("
			}
			assert.True(t, strings.Contains(declared.String(), declaration), "%s names %s", name, m[0])
		}
	}
}
