// Package recipetest runs recipes in tests.
package recipetest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is the longest time that a recipe may run: it is started from a shell and watched.
const patience = 10 * time.Second

// Virtual runs a recipe as its main does, but in virtual time, and returns what it
// printed. The test fails if a goroutine is left, or if the recipe runs for longer than
// patience.
func Virtual(t *testing.T, run func(ctx context.Context, out io.Writer) error) string {
	t.Helper()
	var out Buffer
	synctest.Test(t, func(t *testing.T) {
		// While heartbeats go on, synctest does not detect a deadlock.
		defer time.AfterFunc(time.Hour, func() { panic("the recipe does not end") }).Stop()
		start := time.Now()
		require.NoError(t, run(t.Context(), &out))
		require.LessOrEqual(t, time.Since(start), patience)
	})
	return out.String()
}

// Documented fails the test unless a page in docs shows how to run the recipe, and in the same
// section this output.
func Documented(t *testing.T, recipe, output string) {
	t.Helper()
	pages, err := filepath.Glob("../../../docs/*.md")
	require.NoError(t, err)
	for _, name := range pages {
		page, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, section := range strings.Split(string(page), "\n## ") {
			if strings.Contains(section, "go run -C examples/recipes ./"+recipe+"\n```\n") {
				require.Contains(t, section, "```\n"+output+"```\n", "%s shows another output", name)
				return
			}
		}
	}
	require.Fail(t, "no page in docs has this recipe", recipe)
}

// A Buffer is a [bytes.Buffer] for the output of a recipe, which callbacks and the recipe
// itself write. It may be used by any number of goroutines.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
