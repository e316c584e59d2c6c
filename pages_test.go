package wechatws_test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages are the documents that users read.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md", "README.zh-CN.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			found = append(found, filepath.ToSlash(name))
		}
	}
	return found
}

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// Code in pages is code that is compiled: the tokens of each block stand in one file of this
// repository, but for what "…" leaves out. Comments may differ, since pages are in two languages.
func TestCodeInPagesIsCompiled(t *testing.T) {
	t.Parallel()
	sources := sources(t)
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, block := range goBlock.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
			pieces := strings.Split(tokens([]byte(block[1])), "…")
			if !slices.ContainsFunc(sources, func(source string) bool { return containsInOrder(source, pieces) }) {
				t.Errorf("%s: no .go file has this code:\n%s", page, block[1])
			}
		}
	}
}

// sources returns the tokens of each .go file.
func sources(t *testing.T) []string {
	t.Helper()
	var found []string
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || entry.Name() == "testdata" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		code, err := os.ReadFile(name)
		found = append(found, tokens(code))
		return err
	}))
	return found
}

// tokens returns the tokens of Go code without comments, each behind a space.
func tokens(code []byte) string {
	var s scanner.Scanner
	set := token.NewFileSet()
	s.Init(set.AddFile("", -1, len(code)), code, nil, 0)
	var b strings.Builder
	for {
		_, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return b.String()
		case kind == token.SEMICOLON: // also inserted at the end of a line
			continue
		case literal == "":
			literal = kind.String()
		}
		b.WriteString(" " + literal + " ")
	}
}

func containsInOrder(text string, pieces []string) bool {
	for _, piece := range pieces {
		_, after, found := strings.Cut(text, strings.TrimSpace(piece))
		if !found {
			return false
		}
		text = after
	}
	return true
}
