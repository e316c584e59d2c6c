package fleet_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/fleet"
)

// A worker whose program permits nothing reads no file and no variable, whatever a spec refers to.
func TestByDefaultNoSecretIsLookedUp(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	t.Setenv("FLEET_TEST_SECRET", "from the environment")
	got := make(chan string, 1)
	errs := make(chan error, 2)
	w.workerWith(func(ctx context.Context, r *fleet.Room) (*wechatws.Client, error) {
		all := ""
		for _, name := range []string{"env", "file"} {
			s, err := r.Secret(ctx, name)
			errs <- err
			all += s
		}
		got <- all
		return quietly(ctx, r)
	}, fleet.WithWorkerName("a"))
	spec := w.spec("r")
	spec.Secrets = map[string]string{"env": "env:FLEET_TEST_SECRET", "file": "file:" + file}
	require.NoError(t, w.fleet.Control().Add(w.ctx(), spec))
	assert.Empty(t, <-got)
	require.ErrorContains(t, <-errs, "WithSecrets")
	require.ErrorContains(t, <-errs, "WithSecrets")
}

func TestOnlyPermittedSecretsAreLookedUp(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("live/token", "t1\n")
	write("live/below/token", "t2")
	write("one", "t3")
	write("onelonger", "no")
	write("other", "no")
	write("lively", "no")
	require.NoError(t, os.Symlink("token", filepath.Join(dir, "live", "link")))
	require.NoError(t, os.Symlink("../other", filepath.Join(dir, "live", "out")))
	t.Setenv("LIVE_TOKEN", "t4")
	t.Setenv("FIXED", "t5")
	t.Setenv("FIXED_TOO", "no")
	look := fleet.LookUpSecret("env:LIVE_*", "env:FIXED", "file:"+dir+"/live/", "file:"+dir+"/one", "other", "env:", "file:", "vault:*")
	for ref, want := range map[string]string{
		"file:" + dir + "/live/token": "t1", "file:" + dir + "/live/below/token": "t2", "file:" + dir + "/live/link": "t1",
		"file:" + dir + "/one": "t3", "env:LIVE_TOKEN": "t4", "env:FIXED": "t5",
	} {
		got, err := look(t.Context(), ref)
		require.NoError(t, err, ref)
		assert.Equal(t, want, got, ref)
	}
	for _, ref := range []string{
		"env:HOME", "env:FIXED_TOO", "env:LIVE", "env:", "env:*", "env:LIVE_NONE",
		"file:" + dir + "/other", "file:" + dir + "/live/../other", "file:" + dir + "/live/" + dir + "/other", "file:" + dir + "/live/out",
		"file:" + dir + "/live/", "file:" + dir + "/live", "file:" + dir + "/lively", "file:" + dir + "/onelonger", "file:" + dir + "/one/../other",
		"file:/proc/self/environ", "file:", "vault:x", "other", "",
	} {
		got, err := look(t.Context(), ref)
		assert.Error(t, err, ref)
		assert.Empty(t, got, ref)
	}
	_, err := fleet.LookUpSecret()(t.Context(), "env:HOME")
	assert.ErrorContains(t, err, "not permitted")
}

// Credentials of systemd, and secrets of Kubernetes that are mounted, are files of one folder.
func TestCredentialsAreLookedUp(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "credentials"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "credentials", "live-token"), []byte("t1\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "credentials", "other"), []byte("no"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other"), []byte("no"), 0o600))
	// Kubernetes mounts a secret by way of links, so that all its keys change at once.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "credentials", "..2026"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "credentials", "..2026", "mounted"), []byte("t3"), 0o600))
	require.NoError(t, os.Symlink("..2026", filepath.Join(dir, "credentials", "..data")))
	require.NoError(t, os.Symlink("..data/mounted", filepath.Join(dir, "credentials", "mounted")))
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "credentials"))
	look := fleet.LookUpSecret("credential:live-*", "credential:mounted")
	for ref, want := range map[string]string{"credential:live-token": "t1", "credential:mounted": "t3"} {
		got, err := look(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, ref := range []string{"credential:../other", "credential:", "credential:live-none", "credential:other",
		"credential:live-/../mounted", "credential:" + dir + "/credentials/live-token", "file:" + dir + "/credentials/live-token"} {
		got, err := look(t.Context(), ref)
		assert.Error(t, err, ref)
		assert.Empty(t, got, ref)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := look(t.Context(), "credential:live-token")
	assert.ErrorContains(t, err, "CREDENTIALS_DIRECTORY is not set")
}
