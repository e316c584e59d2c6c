package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pasted has the code of all reports of the tests that ran.
var pasted codes

type codes struct {
	mu   sync.Mutex
	list []string // without duplicates
}

func (c *codes) add(t *testing.T, code string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.list, code) {
		c.list = append(c.list, code)
	}
}

// compile checks that code compiles when it is pasted into a function, with the imports that its
// first line names.
func compile(t *testing.T, list []string) {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	replace := map[string]string{}
	for i, code := range list {
		first, rest, _ := strings.Cut(code, "\n")
		imports, ok := strings.CutPrefix(first, "// import ")
		require.True(t, ok, code)
		file := fmt.Sprintf("package pasted\n\nimport (\n%s\n)\n\nfunc client%d() (*wechatws.Client, error) {\n%s\nreturn client, err\n}\n",
			strings.ReplaceAll(imports, ", ", "\n"), i, rest)
		path := filepath.Join(t.TempDir(), "pasted.go")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		replace[filepath.Join(dir, "pasted", fmt.Sprintf("pasted%d.go", i))] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "./pasted").CombinedOutput()
	assert.NoError(t, err, "%s\n%s", out, strings.Join(list, "\n"))
}
