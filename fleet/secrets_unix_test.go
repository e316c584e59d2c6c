//go:build unix

package fleet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/fleet"
)

// A file that is none, or is large, is refused; a pipe would block for as long as nothing writes to it.
func TestSecretsAreBounded(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, syscall.Mkfifo(path("pipe"), 0o600))
	require.NoError(t, os.WriteFile(path("large"), []byte(strings.Repeat("x", 1<<20+1)), 0o600))
	require.NoError(t, os.WriteFile(path("most"), []byte(strings.Repeat("x", 1<<20)), 0o600))
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	look := fleet.LookUpSecret("file:"+dir+"/", "credential:*")
	one := fleet.LookUpSecret("file:"+path("pipe"), "file:"+path("large"), "file:"+path("most"))
	for name, want := range map[string]string{"pipe": "not a regular file", "large": "larger than 1 MiB"} {
		for _, ref := range []string{"file:" + path(name), "credential:" + name} {
			got, err := look(t.Context(), ref)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, name)
			assert.Empty(t, got)
		}
		_, err := one(t.Context(), "file:"+path(name))
		require.ErrorContains(t, err, want)
	}
	got, err := one(t.Context(), "file:"+path("most"))
	require.NoError(t, err)
	assert.Len(t, got, 1<<20)

	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	_, err = look(ctx, "file:"+path("most"))
	require.ErrorIs(t, err, stopped)
}
