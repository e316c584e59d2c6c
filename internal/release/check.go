package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// check returns everything that is in the way of releasing HEAD of the repository at root.
func check(ctx context.Context, root, version, ci string, all []modules.Module) error {
	return errors.Join(
		checkVersion(version),
		checkClean(ctx, root),
		checkTags(ctx, root, version, all),
		checkChangelog(root, version),
		checkCI(ctx, root, ci),
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

func checkClean(ctx context.Context, root string) error {
	changed, err := output(ctx, root, nil, "git", "status", "--porcelain")
	if err == nil && changed != "" {
		err = fmt.Errorf("the working tree has changes; commit them or stash them:\n%s", changed)
	}
	return err
}

func checkTags(ctx context.Context, root, version string, all []modules.Module) error {
	tags := []string{"tag", "--list"}
	for _, m := range modules.Of(all, modules.Library, modules.Command) {
		tags = append(tags, m.Tag(version))
	}
	existing, err := output(ctx, root, nil, "git", tags...)
	if err == nil && existing != "" {
		err = fmt.Errorf("there are tags of this version already (a tag that is pushed stays; take the next version): %s", strings.Join(strings.Fields(existing), ", "))
	}
	return err
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

// checkCI requires that .ci/run has passed for HEAD here, or a word on where it has.
func checkCI(ctx context.Context, root, ci string) error {
	if ci != "" {
		return nil
	}
	passed, err := output(ctx, root, nil, "git", "rev-parse", "--path-format=absolute", "--git-path", "ci-passed")
	if err != nil {
		return err
	}
	head, err := output(ctx, root, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	commit, err := os.ReadFile(passed) // .ci/run writes it
	if err == nil && strings.TrimSpace(string(commit)) == head {
		return nil
	}
	return fmt.Errorf("CI has not passed for %s here: run \"bash .ci/run\" with a clean tree, or say with -ci where it has", head)
}

func checkAPI(ctx context.Context, root string) error {
	_, err := output(ctx, filepath.Join(root, "internal/release"), nil, "go", "run", "./apicheck")
	return err
}
