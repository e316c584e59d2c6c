// Package recipetest runs recipes in tests.
package recipetest

import (
	"bytes"
	"context"
	"io"
	"os"
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

// Documented fails the test unless docs/recipes.md shows this output of the recipe.
func Documented(t *testing.T, recipe, output string) {
	t.Helper()
	index, err := os.ReadFile("../../../docs/recipes.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(index), "\n## "+recipe+"\n")
	require.True(t, found, "docs/recipes.md has no section %q", recipe)
	section, _, _ = strings.Cut(section, "\n## ")
	require.Contains(t, section, "go run -C examples/recipes ./"+recipe+"\n")
	require.Contains(t, section, "```\n"+output+"```\n", "docs/recipes.md shows another output")
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
