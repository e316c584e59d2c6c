package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// A release is made in a clone of the repository.
type release struct {
	clone   string
	version string
	proxy   string   // the directory that serves the modules as the Go module proxy does
	env     []string // of the Go command
	out     io.Writer
}

func (r *release) git(ctx context.Context, arguments ...string) (string, error) {
	return output(ctx, r.clone, nil, "git", arguments...)
}

// makeClone clones HEAD of the repository at root. For a trial, it takes the working tree with what is
// not committed.
func (r *release) makeClone(ctx context.Context, root string, trial bool) error {
	commit, err := output(ctx, root, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if trial && checkClean(ctx, root) != nil {
		if commit, err = r.commitWorkingTree(ctx, root, commit); err != nil {
			return err
		}
	}
	if _, err := output(ctx, root, nil, "git", "clone", "--quiet", "--shared", "--no-checkout", root, r.clone); err != nil {
		return err
	}
	// A clone of a shallow repository shares nothing, so it has no commit that no branch leads to.
	if _, err := output(ctx, root, nil, "git", "push", "--quiet", "--no-verify", r.clone, commit+":refs/heads/to-release"); err != nil {
		return err
	}
	settings := [][2]string{{"user.name", "trial"}, {"user.email", "trial@localhost"}, {"commit.gpgSign", "false"}, {"tag.gpgSign", "false"}}
	if !trial { // a machine of CI has no name, and nothing is signed
		if settings, err = settingsOf(ctx, root); err != nil {
			return err
		}
	}
	for _, setting := range settings {
		if _, err := r.git(ctx, "config", setting[0], setting[1]); err != nil {
			return err
		}
	}
	_, err = r.git(ctx, "checkout", "--quiet", "--detach", commit)
	return err
}

// settingsOf returns what a clone of the repository at root needs to make commits and tags as the repository
// does, and to push them to where it does.
func settingsOf(ctx context.Context, root string) (settings [][2]string, err error) {
	local, err := output(ctx, root, nil, "git", "config", "--local", "--null", "--list")
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(local, "\x00") {
		name, value, _ := strings.Cut(entry, "\n")
		if section, _, _ := strings.Cut(name, "."); slices.Contains([]string{"user", "gpg", "commit", "tag"}, section) {
			settings = append(settings, [2]string{name, value})
		}
	}
	origin, err := output(ctx, root, nil, "git", "remote", "get-url", "--push", "origin")
	return append(settings, [2]string{"remote.origin.url", origin}), err
}

// commitWorkingTree returns a commit that no branch leads to. Neither the index nor the working tree
// of the repository changes.
func (r *release) commitWorkingTree(ctx context.Context, root, parent string) (string, error) {
	index := []string{"GIT_INDEX_FILE=" + r.clone + ".index", "GIT_AUTHOR_NAME=trial", "GIT_AUTHOR_EMAIL=trial@localhost", "GIT_COMMITTER_NAME=trial", "GIT_COMMITTER_EMAIL=trial@localhost"}
	for _, arguments := range [][]string{{"read-tree", "HEAD"}, {"add", "--all"}} {
		if _, err := output(ctx, root, index, "git", arguments...); err != nil {
			return "", err
		}
	}
	tree, err := output(ctx, root, index, "git", "write-tree")
	if err != nil {
		return "", err
	}
	return output(ctx, root, index, "git", "commit-tree", "-p", parent, "-m", "the working tree", tree)
}

// tag makes the commit of the release with its tags, and the one behind it. In the tagged commit, the
// released modules require each other in this version: "go install" refuses a module with a replace
// directive. The commit behind it has the directives again, so that one commit can change two modules.
func (r *release) tag(ctx context.Context, all []modules.Module, ci string) error {
	released := modules.Of(all, modules.Library, modules.Command)
	for i, m := range released {
		if err := r.requireReleased(m, all, released[:i]); err != nil {
			return err
		}
		if i > 0 { // what it requires is in the proxy now
			if _, err := output(ctx, filepath.Join(r.clone, m.Dir), r.env, "go", "mod", "tidy"); err != nil {
				return err
			}
		}
		if _, err := r.git(ctx, "add", "--all"); err != nil {
			return err
		}
		tree, err := r.git(ctx, "write-tree")
		if err != nil {
			return err
		}
		if err := r.publish(m, tree); err != nil {
			return err
		}
	}
	for _, m := range modules.Of(all, modules.Private) {
		if err := r.rewrite(m, all, func(*modfile.File) error { return nil }); err != nil {
			return err
		}
	}
	if _, err := r.git(ctx, "commit", "--quiet", "--allow-empty", "--all", "-m", "release "+r.version); err != nil {
		return err
	}
	for _, m := range released {
		tag := m.Tag(r.version)
		if _, err := r.git(ctx, "tag", "--annotate", "-m", tag, "-m", "CI: "+ci, tag); err != nil {
			return err
		}
	}
	if _, err := r.git(ctx, "restore", "--source=HEAD^", "--staged", "--worktree", "--", "."); err != nil {
		return err
	}
	for _, m := range all {
		if err := r.rewrite(m, all, func(*modfile.File) error { return nil }); err != nil {
			return err
		}
	}
	_, err := r.git(ctx, "commit", "--quiet", "--allow-empty", "--all", "-m", "go.mod: develop behind "+r.version)
	return err
}

// requireReleased makes m require only modules that are released, without replace directives.
func (r *release) requireReleased(m modules.Module, all, before []modules.Module) error {
	return r.rewrite(m, all, func(file *modfile.File) error {
		for _, required := range file.Require {
			if !ours(required.Mod.Path) {
				continue
			}
			if !slices.ContainsFunc(before, func(b modules.Module) bool { return b.Path() == required.Mod.Path }) {
				return fmt.Errorf("%s requires %s, which is not released before it", m.Path(), required.Mod.Path)
			}
		}
		for _, replaced := range slices.Clone(file.Replace) {
			if !ours(replaced.Old.Path) {
				return fmt.Errorf("%s replaces %s; \"go install\" refuses modules that do, and others ignore it", m.Path(), replaced.Old.Path)
			}
			if err := file.DropReplace(replaced.Old.Path, replaced.Old.Version); err != nil {
				return err
			}
		}
		return nil
	})
}

// rewrite changes the go.mod of m, after the modules of this repository that it requires were set to the
// version.
func (r *release) rewrite(m modules.Module, all []modules.Module, change func(*modfile.File) error) error {
	name := filepath.Join(r.clone, m.Dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := modfile.Parse(name, text, nil)
	if err != nil {
		return err
	}
	for _, required := range all {
		if slices.ContainsFunc(file.Require, func(q *modfile.Require) bool { return q.Mod.Path == required.Path() }) {
			if err := file.AddRequire(required.Path(), r.version); err != nil {
				return err
			}
		}
	}
	if err := change(file); err != nil {
		return err
	}
	file.Cleanup()
	if text, err = file.Format(); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

// ours reports whether path is that of a module of this repository.
func ours(path string) bool {
	return path == modules.Root || strings.HasPrefix(path, modules.Root+"/")
}
