package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// A snapshot is the API of packages, as source, by import path.
type snapshot map[string]string

const (
	prefix = modules.Root
	suffix = ".txt" // not .go, so that tools ignore it
)

// fileOf returns the file of a package below api/.
func fileOf(path string) string {
	if path == prefix {
		return "wechatws" + suffix
	}
	return strings.TrimPrefix(path, prefix+"/") + suffix
}

func pathOf(file string) string {
	if file == "wechatws"+suffix {
		return prefix
	}
	return prefix + "/" + strings.TrimSuffix(filepath.ToSlash(file), suffix)
}

func (s snapshot) equal(other snapshot) bool { return maps.Equal(s, other) }

func readSnapshot(dir string) (snapshot, error) {
	s := snapshot{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, suffix) {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, file))
		// A checkout on Windows may have other line ends.
		s[pathOf(file)] = strings.ReplaceAll(string(text), "\r\n", "\n")
		return err
	})
	if errors.Is(err, fs.ErrNotExist) { // before the first one was written
		return s, nil
	}
	return s, err
}

// readTag reads the snapshot of a release.
func readTag(root, tag string) (snapshot, error) {
	git := func(arguments ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", root}, arguments...)...).Output()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			err = fmt.Errorf("git %s: %s", strings.Join(arguments, " "), failed.Stderr)
		}
		return string(out), err
	}
	files, err := git("ls-tree", "-r", "--name-only", tag, "--", "api")
	if err != nil {
		return nil, err
	}
	s := snapshot{}
	for _, file := range strings.Fields(files) {
		if s[pathOf(strings.TrimPrefix(file, "api/"))], err = git("show", tag+":"+file); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// write replaces the content of dir.
func (s snapshot) write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for path, text := range s {
		file := filepath.Join(dir, filepath.FromSlash(fileOf(path)))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
