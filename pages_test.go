package wechatws_test

import (
	"cmp"
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

// pages returns the names and texts of the documents that match one of the patterns.
func pages(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			found[filepath.ToSlash(name)] = strings.ReplaceAll(string(text), "\r\n", "\n")
		}
	}
	return found
}

// A page has at most 250 lines, the README 200.
func TestPagesAreShort(t *testing.T) {
	t.Parallel()
	limits := map[string]int{"README.md": 200, "README.zh-CN.md": 200}
	for name, text := range pages(t, "README*.md", "docs/*.md", "docs/zh-CN/*.md") {
		if lines := strings.Count(text, "\n"); lines > cmp.Or(limits[name], 250) {
			t.Errorf("%s has %d lines; make it two pages", name, lines)
		}
	}
}

// Each page has a line in docs/README.md.
func TestPagesAreListed(t *testing.T) {
	t.Parallel()
	all := pages(t, "docs/*.md")
	for name := range all {
		if file := path.Base(name); file != "README.md" {
			require.Contains(t, all["docs/README.md"], "| ["+file+"]("+file+") |", "docs/README.md does not list the page")
		}
	}
}

var withOption = regexp.MustCompile(`(?m)^func (With\w+)\(`)

// docs/options.md has each option of a client.
func TestOptionsAreListed(t *testing.T) {
	t.Parallel()
	page := pages(t, "docs/options.md")["docs/options.md"]
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		code, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range withOption.FindAllStringSubmatch(string(code), -1) {
			require.Regexp(t, "`"+m[1]+"\\b", page, "docs/options.md does not list the option")
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	image    = regexp.MustCompile(`(?:src|srcset)="([^"]+)"`)
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)
)

// anchors returns the fragments that GitHub gives to the headings of a page.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		found[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// Links within the repository lead to files that exist, and to headings in them.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t, "*.md", "docs/*.md", "docs/*/*.md")
	for name, text := range all {
		text = fence.ReplaceAllString(text, "")
		for _, m := range append(link.FindAllStringSubmatch(text, -1), image.FindAllStringSubmatch(text, -1)...) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
			if page, ok := all[file]; ok && fragment != "" && !anchors(page)[fragment] {
				t.Errorf("%s links to %s, and there is no such heading", name, m[1])
			}
		}
	}
}

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// Code in pages is code that is compiled: the tokens of each block stand in one file of this
// repository, but for what "…" leaves out. Comments may differ, since pages are in two languages.
func TestCodeInPagesIsCompiled(t *testing.T) {
	t.Parallel()
	sources := sources(t)
	for name, text := range pages(t, "README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/*.md") {
		for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
			pieces := strings.Split(tokens([]byte(block[1])), "…")
			if !slices.ContainsFunc(sources, func(source string) bool { return containsInOrder(source, pieces) }) {
				t.Errorf("%s: no .go file has this code:\n%s", name, block[1])
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
