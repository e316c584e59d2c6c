package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/release/modules"
)

func TestFromTheChecksToThePush(t *testing.T) {
	root, _ := repository(t)
	write(t, root, "internal/release/go.mod", "module "+modules.Root+"/internal/release\n\ngo 1.26\n")
	write(t, root, "internal/release/apicheck/main.go", "package main\n\nfunc main() {}\n")
	commit(t, root)
	origin := filepath.Join(t.TempDir(), "origin")
	git(t, root, "init", "--quiet", "--bare", origin)
	git(t, root, "remote", "set-url", "origin", origin)
	git(t, root, "push", "--quiet", "--set-upstream", "origin", "main")
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Chdir(root)
	release := func() (string, error) {
		write(t, root, ".git/ci-passed", git(t, root, "rev-parse", "HEAD")+"\n")
		var printed strings.Builder
		err := run(t.Context(), &printed, version, "")
		return printed.String(), err
	}

	before := git(t, root, "rev-parse", "HEAD")
	write(t, root, "go.mod", "module "+modules.Root+"\n\ngo 1.26\n\nreplace example.com/other => ./other\n")
	commit(t, root)
	_, err := release()
	require.ErrorContains(t, err, "replaces example.com/other")
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left, "a release that has failed")

	git(t, root, "reset", "--quiet", "--hard", before)
	printed, err := release()
	require.NoError(t, err)
	require.Empty(t, git(t, root, "tag"), "nothing changes before the push")
	_, push, _ := strings.Cut(printed, "To release v0.1.0:\n\n")
	push, _, _ = strings.Cut(push, "\n\nThen \"git pull\"")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", push).CombinedOutput()
	require.NoError(t, err, "%s\n%s", push, out)
	git(t, root, "pull", "--quiet")
	require.Equal(t, before, git(t, root, "rev-parse", "HEAD^^"))
	require.Equal(t, "CI: passed by .ci/run", git(t, root, "tag", "--list", "--format=%(contents:body)", "fleet/v0.1.0"))
	require.Equal(t, git(t, root, "rev-parse", "HEAD^"), git(t, root, "rev-parse", "cmd/hello/v0.1.0^{}"))

	_, err = release()
	require.ErrorContains(t, err, "there are tags of this version already")
	require.ErrorContains(t, err, "origin has tags of this version already")
}
