package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// check returns what the tags' messages say about CI, and an error for each check that HEAD of the repository at
// root does not pass.
func check(ctx context.Context, out io.Writer, root, version, ci string, all []modules.Module) (string, error) {
	passed, err := checkCI(ctx, root, ci, githubAPI)
	return passed, errors.Join(
		checkVersion(version),
		checkOrder(ctx, root, version),
		checkClean(ctx, root),
		checkBranch(ctx, root),
		checkTags(ctx, root, version, all),
		checkOrigin(ctx, out, root, version, all),
		checkChangelog(root, version),
		err,
		checkAPI(ctx, root),
	)
}

func checkVersion(version string) error {
	if semver.Canonical(version) != version {
		return fmt.Errorf("the version %q is not like v1.2.3 or v1.2.3-rc.1", version)
	}
	if major := semver.Major(version); major != "v0" && major != "v1" {
		return fmt.Errorf("the version %s needs other module paths, which end in /%s", version, major)
	}
	return nil
}

// checkOrder requires that no newer version is tagged: main has what that one has.
func checkOrder(ctx context.Context, root, version string) error {
	tags, err := output(ctx, root, nil, "git", "tag", "--list", "v*")
	if err != nil {
		return err
	}
	for _, tag := range strings.Fields(tags) {
		if semver.Compare(tag, version) > 0 {
			return fmt.Errorf("the version %s is older than %s, which is tagged", version, tag)
		}
	}
	return nil
}

func checkClean(ctx context.Context, root string) error {
	changed, err := output(ctx, root, nil, "git", "status", "--porcelain")
	if err == nil && changed != "" {
		err = fmt.Errorf("the working tree has changes; commit them or stash them:\n%s", changed)
	}
	return err
}

// checkBranch requires main, to which the release is pushed.
func checkBranch(ctx context.Context, root string) error {
	branch, err := output(ctx, root, nil, "git", "branch", "--show-current")
	if err == nil && branch != "main" {
		err = fmt.Errorf("a release is made on the branch main, and the current branch is %q", branch)
	}
	return err
}

func checkTags(ctx context.Context, root, version string, all []modules.Module) error {
	list := []string{"tag", "--list"}
	for _, m := range modules.Of(all, modules.Library, modules.Command) {
		list = append(list, m.Tag(version))
	}
	existing, err := output(ctx, root, nil, "git", list...)
	if err == nil && existing != "" {
		err = fmt.Errorf("there are tags of this version already (a tag that is pushed stays; take the next version): %s", strings.Join(strings.Fields(existing), ", "))
	}
	return err
}

// originTimeout limits reading the refs of origin.
const originTimeout = time.Minute

// checkOrigin requires a remote to push to, without tags of the version and without commits on main that HEAD
// does not have. Without network, only the push can find them, which then changes nothing.
func checkOrigin(ctx context.Context, out io.Writer, root, version string, all []modules.Module) error {
	if _, err := output(ctx, root, nil, "git", "remote", "get-url", "--push", "origin"); err != nil {
		return fmt.Errorf("there is no remote to push to; add one with \"git remote add origin …\": %w", err)
	}
	timed, cancel := context.WithTimeout(ctx, originTimeout)
	defer cancel()
	list := []string{"ls-remote", "--refs", "origin", "refs/heads/main"}
	for _, m := range modules.Of(all, modules.Library, modules.Command) {
		list = append(list, "refs/tags/"+m.Tag(version))
	}
	refs, err := output(timed, root, []string{"GIT_TERMINAL_PROMPT=0"}, "git", list...)
	if err != nil {
		fmt.Fprintf(out, "origin is not checked: %v\n", err)
		return nil
	}
	var tags []string
	for line := range strings.Lines(refs) {
		commit, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
			tags = append(tags, tag)
		} else if _, err := output(ctx, root, nil, "git", "merge-base", "--is-ancestor", commit, "HEAD"); err != nil {
			return errors.New("main of origin has commits that HEAD does not have: run \"git pull\"")
		}
	}
	if tags != nil {
		return fmt.Errorf("origin has tags of this version already (take the next version): %s", strings.Join(tags, ", "))
	}
	return nil
}

// checkChangelog requires a section with content: "## v1.2.3", which may go on with a date.
func checkChangelog(root, version string) error {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	heading := regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(version) + `(?: .*)?$`)
	at := heading.FindIndex(text)
	if at == nil {
		return fmt.Errorf("CHANGELOG.md has no section %q", "## "+version)
	}
	section, _, _ := strings.Cut(string(text[at[1]:]), "\n## ")
	if strings.TrimSpace(section) == "" {
		return fmt.Errorf("CHANGELOG.md says nothing in its section %q", "## "+version)
	}
	return nil
}

func checkAPI(ctx context.Context, root string) error {
	_, err := output(ctx, filepath.Join(root, "internal/release"), nil, "go", "run", "./apicheck")
	return err
}
