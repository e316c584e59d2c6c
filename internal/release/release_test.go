package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws/internal/release/modules"
)

const version = "v0.1.0"

// repository returns a repository with the released modules, a command in cmd, and a private module. All
// packages are empty but for their imports.
func repository(t *testing.T) (root string, all []modules.Module) {
	t.Helper()
	root = t.TempDir()
	for _, name := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+name+"_NAME", "tester")
		t.Setenv("GIT_"+name+"_EMAIL", "tester@localhost")
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GOFLAGS", "-buildvcs=false")
	t.Setenv("GOPROXY", "off") // the modules require only each other
	addModule(t, root, ".", "wechatws")
	for _, dir := range []string{"metrics/wsprom", "metrics/wsotel", "fleet"} {
		addModule(t, root, dir, filepath.Base(dir), ".")
	}
	addModule(t, root, "fleet/fleetprom", "fleetprom", ".", "fleet")
	addModule(t, root, "fleet/fleetctl", "main", ".", "fleet")
	addModule(t, root, "cmd/hello", "main", ".")
	addModule(t, root, "examples/bot", "main", "fleet", ".")
	write(t, root, "LICENSE", "MIT")
	write(t, root, "CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n## v0.1.0 - 2026-12-01\n\nThe first.\n\n## v0.0.9\n")
	write(t, root, "README.md", "```go\npackage main\n\nimport _ \""+modules.Root+"/wstest\"\n\nfunc main() { println(\"hello\") }\n```\n")
	write(t, root, "wstest/wstest.go", "package wstest\n")
	git(t, root, "init", "--quiet", "--initial-branch=main")
	git(t, root, "remote", "add", "origin", "https://example.com/repository.git")
	commit(t, root)
	all, err := modules.List(root)
	require.NoError(t, err)
	return root, all
}

// addModule adds a module that imports and requires those in the directories required.
func addModule(t *testing.T, root, dir, name string, required ...string) {
	t.Helper()
	imports, requires, replaces := "", "", ""
	for _, r := range required {
		m := modules.Module{Dir: r}
		back, err := filepath.Rel(dir, r)
		require.NoError(t, err)
		if back == "." || !strings.HasPrefix(back, ".") {
			back = "./" + back
		}
		imports += "import _ \"" + m.Path() + "\"\n"
		requires += "\t" + m.Path() + " v0.0.0\n"
		replaces += "replace " + m.Path() + " => " + filepath.ToSlash(back) + "\n"
	}
	path := modules.Module{Dir: dir}.Path()
	write(t, root, dir+"/go.mod", "module "+path+"\n\ngo 1.26\n\nrequire (\n"+requires+")\n\n"+replaces)
	body := ""
	if name == "main" {
		body = "func main() {}\n"
	}
	write(t, root, dir+"/code.go", "package "+name+"\n\n"+imports+body)
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

func git(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	out, err := output(t.Context(), dir, nil, "git", arguments...)
	require.NoError(t, err)
	return out
}

func commit(t *testing.T, root string) {
	t.Helper()
	git(t, root, "add", "--all")
	git(t, root, "commit", "--quiet", "-m", "work")
}

func newRelease(t *testing.T, version string) *release {
	t.Helper()
	scratch := t.TempDir()
	r := &release{clone: filepath.Join(scratch, "clone"), version: version, proxy: filepath.Join(scratch, "proxy"), out: io.Discard}
	var err error
	r.env, err = goEnv(t.Context(), scratch, r.proxy)
	require.NoError(t, err)
	return r
}

// tagged returns a clone in which a version is tagged.
func tagged(t *testing.T, root string, all []modules.Module, trial bool) *release {
	t.Helper()
	r := newRelease(t, version)
	require.NoError(t, r.makeClone(t.Context(), root, trial))
	require.NoError(t, r.tag(t.Context(), all, "https://example.com/runs/1"))
	return r
}

func TestTheTaggedCommitCanBeInstalled(t *testing.T) {
	root, all := repository(t)
	before := git(t, root, "rev-parse", "HEAD")
	r := tagged(t, root, all, false)

	tags := []string{
		"cmd/hello/v0.1.0", "fleet/fleetctl/v0.1.0", "fleet/fleetprom/v0.1.0", "fleet/v0.1.0",
		"metrics/wsotel/v0.1.0", "metrics/wsprom/v0.1.0", "v0.1.0",
	}
	require.ElementsMatch(t, tags, strings.Fields(git(t, r.clone, "tag")))
	for _, tag := range tags {
		require.Equal(t, git(t, r.clone, "rev-parse", "HEAD^"), git(t, r.clone, "rev-parse", tag+"^{commit}"))
	}
	require.Contains(t, git(t, r.clone, "tag", "--list", "--format=%(contents)", version), "CI: https://example.com/runs/1")
	require.Equal(t, before, git(t, r.clone, "rev-parse", "HEAD^^"))

	at := func(revision, file string) string { return git(t, r.clone, "show", revision+":"+file) + "\n" }
	require.Equal(t, `module github.com/wechatws/wechatws/fleet/fleetctl

go 1.26

require (
	github.com/wechatws/wechatws v0.1.0
	github.com/wechatws/wechatws/fleet v0.1.0
)
`, at(version, "fleet/fleetctl/go.mod"))
	require.Contains(t, at(version, "fleet/fleetctl/go.sum"), "github.com/wechatws/wechatws/fleet v0.1.0 h1:")

	// A program to look at is built from the checkout, also in the tagged commit.
	require.Contains(t, at(version, "examples/bot/go.mod"), "\tgithub.com/wechatws/wechatws/fleet v0.1.0\n")
	require.Contains(t, at(version, "examples/bot/go.mod"), "replace github.com/wechatws/wechatws/fleet => ../../fleet\n")

	// Behind the tags, all of them are.
	require.Contains(t, at("HEAD", "fleet/fleetctl/go.mod"), "\tgithub.com/wechatws/wechatws/fleet v0.1.0\n")
	require.Contains(t, at("HEAD", "fleet/fleetctl/go.mod"), "replace github.com/wechatws/wechatws/fleet => ..\n")
	require.Empty(t, git(t, r.clone, "status", "--porcelain"))

	t.Run("a stranger", func(t *testing.T) { testAStrangerUsesTheTags(t, r, all) })
	t.Run("the next version", func(t *testing.T) { testTheNextVersion(t, r, all) })
}

func testAStrangerUsesTheTags(t *testing.T, r *release, all []modules.Module) {
	var printed strings.Builder
	r.out = &printed
	require.NoError(t, r.try(t.Context(), filepath.Join(t.TempDir(), "stranger"), all))
	for _, line := range []string{
		"go get github.com/wechatws/wechatws/fleet/fleetprom\n",
		"go install github.com/wechatws/wechatws/cmd/hello@latest\n",
		"program 1 of README.md prints:\n",
	} {
		require.Contains(t, printed.String(), line)
	}
}

// The next version is tagged behind the commit behind the last, and requires itself everywhere.
func testTheNextVersion(t *testing.T, r *release, all []modules.Module) {
	next := newRelease(t, "v0.2.0")
	require.NoError(t, next.makeClone(t.Context(), r.clone, false))
	require.NoError(t, next.tag(t.Context(), all, ""))
	for _, m := range all[1:] {
		require.NotContains(t, git(t, next.clone, "show", "v0.2.0:"+m.Dir+"/go.mod"), version, m.Dir)
	}
	require.NotContains(t, git(t, next.clone, "grep", "-h", "v0", "v0.2.0", "--", "*/go.sum"), version)
}

func TestAStrangerNoticesWhatIsMissing(t *testing.T) {
	root, all := repository(t)
	write(t, root, "README.md", "```go\npackage main\n\nimport _ \""+modules.Root+"/gone\"\n\nfunc main() {}\n```\n")
	r := tagged(t, root, all, true) // the trial takes what is not committed
	err := r.try(t.Context(), filepath.Join(t.TempDir(), "stranger"), all)
	require.ErrorContains(t, err, modules.Root+"/gone")
	require.Equal(t, "M README.md", git(t, root, "status", "--porcelain"), "the trial changes nothing here")

	write(t, root, "README.md", "No program.\n")
	r = tagged(t, root, all, true)
	err = r.try(t.Context(), filepath.Join(t.TempDir(), "stranger"), all)
	require.ErrorContains(t, err, "no program of README.md and docs/getting-started.md brings its own server")
}

// actions/checkout makes one.
func TestAShallowCheckoutCanBeTried(t *testing.T) {
	root, all := repository(t)
	write(t, root, "new.go", "package wechatws\n")
	commit(t, root)
	shallow := filepath.Join(t.TempDir(), "shallow")
	git(t, root, "clone", "--quiet", "--depth=1", fileURL(root), shallow)
	git(t, shallow, "checkout", "--quiet", "--detach")
	tagged(t, shallow, all, true)
	write(t, shallow, "README.md", "Changed.\n")
	r := tagged(t, shallow, all, true)
	require.Equal(t, "Changed.", git(t, r.clone, "show", version+":README.md"))
}

func TestTagRefusesWhatUsersCouldNotBuild(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"a library that requires a private module", "fleet/go.mod",
			"module " + modules.Root + "/fleet\n\ngo 1.26\n\nrequire " + modules.Root + "/examples/bot v0.0.0\n\nreplace " + modules.Root + "/examples/bot => ../examples/bot\n",
			modules.Root + "/fleet requires " + modules.Root + "/examples/bot, which is not released before it"},
		{"a replaced dependency", "go.mod",
			"module " + modules.Root + "\n\ngo 1.26\n\nreplace example.com/other => ./other\n",
			modules.Root + " replaces example.com/other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, all := repository(t)
			write(t, root, tt.file, tt.text)
			commit(t, root)
			r := newRelease(t, version)
			require.NoError(t, r.makeClone(t.Context(), root, false))
			require.ErrorContains(t, r.tag(t.Context(), all, ""), tt.want)
		})
	}
}

func TestThePushIsAllOrNothing(t *testing.T) {
	_, all := repository(t)
	r := &release{clone: "/ada's/clone", version: version}
	require.Equal(t, `git -C '/ada'\''s/clone' push --atomic origin \
    HEAD:main \
    v0.1.0 \
    metrics/wsprom/v0.1.0 \
    metrics/wsotel/v0.1.0 \
    fleet/v0.1.0 \
    fleet/fleetprom/v0.1.0 \
    cmd/hello/v0.1.0 \
    fleet/fleetctl/v0.1.0`, r.pushCommand(all))
}

// The clone of a release is pushed to where the repository is pushed, in the name that the repository has.
func TestTheCloneIsConfiguredAsTheRepository(t *testing.T) {
	root, all := repository(t)
	for _, name := range []string{"AUTHOR", "COMMITTER"} {
		for _, what := range []string{"NAME", "EMAIL"} {
			t.Setenv("GIT_"+name+"_"+what, "") // restored after the test
			os.Unsetenv("GIT_" + name + "_" + what)
		}
	}
	git(t, root, "config", "user.name", "Ada")
	git(t, root, "config", "user.email", "ada@localhost")
	git(t, root, "remote", "set-url", "--push", "origin", "https://example.com/push.git")
	r := tagged(t, root, all, false)
	require.Equal(t, "Ada", git(t, r.clone, "show", "--no-patch", "--format=%an", version+"^{commit}"))
	require.Equal(t, "https://example.com/push.git", git(t, r.clone, "remote", "get-url", "--push", "origin"))

	r = tagged(t, root, all, true)
	require.Equal(t, "trial", git(t, r.clone, "show", "--no-patch", "--format=%an", version+"^{commit}"))
}

func TestChecks(t *testing.T) {
	root, all := repository(t)
	for name, tt := range map[string]struct {
		check func(context.Context) error
		want  string // "" for no error
	}{
		"a version":                  {func(context.Context) error { return checkVersion("v0.1.0") }, ""},
		"a candidate":                {func(context.Context) error { return checkVersion("v1.2.3-rc.1") }, ""},
		"no v":                       {func(context.Context) error { return checkVersion("0.1.0") }, `the version "0.1.0" is not like v1.2.3 or v1.2.3-rc.1`},
		"two numbers":                {func(context.Context) error { return checkVersion("v0.1") }, "is not like v1.2.3"},
		"another import path":        {func(context.Context) error { return checkVersion("v2.0.0") }, "needs other module paths, which end in /v2"},
		"a clean tree":               {func(ctx context.Context) error { return checkClean(ctx, root) }, ""},
		"no tags":                    {func(ctx context.Context) error { return checkTags(ctx, root, version, all) }, ""},
		"a section with a date":      {func(context.Context) error { return checkChangelog(root, version) }, ""},
		"no section":                 {func(context.Context) error { return checkChangelog(root, "v0.1.1") }, `CHANGELOG.md has no section "## v0.1.1"`},
		"the beginning of a version": {func(context.Context) error { return checkChangelog(root, "v0.1") }, `CHANGELOG.md has no section "## v0.1"`},
		"an empty section":           {func(context.Context) error { return checkChangelog(root, "v0.0.9") }, "CHANGELOG.md says nothing"},
		"on main":                    {func(ctx context.Context) error { return checkBranch(ctx, root) }, ""},
	} {
		t.Run(name, func(t *testing.T) { requireError(t, tt.check(t.Context()), tt.want) })
	}

	git(t, root, "tag", "v0.2.0")
	git(t, root, "tag", "v-other")
	requireError(t, checkOrder(t.Context(), root, version), "the version v0.1.0 is older than v0.2.0, which is tagged")
	require.NoError(t, checkOrder(t.Context(), root, "v0.10.0"))
	requireError(t, checkOrder(t.Context(), root, "v0.2.0-rc.1"), "is older than v0.2.0")
	git(t, root, "tag", "fleet/v0.1.0")
	requireError(t, checkTags(t.Context(), root, version, all), "there are tags of this version already (a tag that is pushed stays; take the next version): fleet/v0.1.0")
	write(t, root, "new.go", "package wechatws\n")
	requireError(t, checkClean(t.Context(), root), "the working tree has changes; commit them or stash them:\n?? new.go")
	git(t, root, "switch", "--quiet", "--create", "next")
	requireError(t, checkBranch(t.Context(), root), `the current branch is "next"`)
	git(t, root, "switch", "--quiet", "--detach")
	requireError(t, checkBranch(t.Context(), root), `the current branch is ""`)
}

func TestOriginTakesThePush(t *testing.T) {
	root, all := repository(t)
	origin := filepath.Join(t.TempDir(), "origin")
	git(t, root, "init", "--quiet", "--bare", origin)
	git(t, root, "remote", "set-url", "origin", origin)
	var printed strings.Builder
	check := func() error { return checkOrigin(t.Context(), &printed, root, version, all) }
	require.NoError(t, check(), "it is empty")
	git(t, root, "push", "--quiet", "origin", "main")
	require.NoError(t, check())

	git(t, root, "push", "--quiet", "origin", "main:refs/tags/fleet/v0.0.9", "main:refs/tags/fleet/v0.1.0")
	requireError(t, check(), "origin has tags of this version already (take the next version): fleet/v0.1.0")

	write(t, root, "new.go", "package wechatws\n")
	commit(t, root)
	git(t, root, "push", "--quiet", "origin", "main", ":refs/tags/fleet/v0.1.0")
	git(t, root, "reset", "--quiet", "--hard", "HEAD^")
	requireError(t, check(), `run "git pull"`)
	require.Empty(t, printed.String())

	git(t, root, "remote", "set-url", "origin", origin+"-moved")
	require.NoError(t, check(), "the push finds it")
	require.Contains(t, printed.String(), "origin is not checked: ")
	git(t, root, "remote", "remove", "origin")
	requireError(t, check(), `add one with "git remote add origin …"`)
}

func requireError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, want)
}

func TestPrograms(t *testing.T) {
	page := "```go\npackage main\r\n\r\nfunc main() {}\r\n```\r\n\n```go\nclient.Send(1)\n```\n\n```go\npackage main\n\nimport \"" + modules.Root + "/liveroom/liveroomtest\"\n\nfunc main() {}\n```\n\n```go\npackage main\n\nfunc TestIt(t *testing.T) {}\n```\n"
	got := programs("docs/Getting-started.md", page)
	require.Len(t, got, 2)
	require.Equal(t, program{"program 1 of docs/Getting-started.md", "getting-started1", "package main\n\nfunc main() {}\n"}, got[0])
	require.False(t, got[0].hasServer())
	require.True(t, got[1].hasServer())
}
