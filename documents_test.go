package wechatws_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// phrases must not be in comments and documents; instead is what to write.
var phrases = []struct{ pattern, instead string }{
	{`\b[Tt]ells? (whether|that|what|which|how|why)\b`, "reports whether, returns, describes"},
	{`\b(is|are|was|were|been|be|being) told\b`, "receives, is called with"},
	{`\b(has|have|had|having) \S+ told\b`, "calls its functions as things happen"},
	{`\b[Tt]ells \S+ (whether|that|what|about|of|which)\b`, "calls, reports to"},
	{`(^|[.;:] )Who \w+`, "the caller, the peer, the server"},
	{`\b(for|by|to|of|from) (who|whoever|those who)\b`, "for callers, for servers that"},
	{`\b[Ww]hoever\b`, "the caller, the peer, the server"},
	{`\b[Ss]omebody\b`, "the caller, another goroutine"},
	{`\bnobody\b`, "nothing, no goroutine"},
	{`\beverybody\b`, "all"},
	{`\bhas no say\b`, "is not used"},
	{`\blast word\b`, "decides"},
	{`\bgood-?bye\b`, "close handshake"},
	{`\bnot to be taken\b`, "invalid"},
	{`\bgone through\b`, "restarts"},
	{`(?i)\b(recognis|behaviour|colour|synchronis|initialis|normalis|serialis)\w*`, "the American spelling"},
}

func phrasePatterns() []*regexp.Regexp {
	patterns := make([]*regexp.Regexp, len(phrases))
	for i, phrase := range phrases {
		patterns[i] = regexp.MustCompile(phrase.pattern)
	}
	return patterns
}

// Comments are plain technical English: the subject of a sentence is a thing in the program.
func TestCommentsArePlain(t *testing.T) {
	t.Parallel()
	patterns := phrasePatterns()
	files := 0
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			text := strings.Join(strings.Fields(group.Text()), " ")
			for i, pattern := range patterns {
				for _, found := range pattern.FindAllString(text, -1) {
					t.Errorf("%s: %q; write: %s", set.Position(position(group, found)), found, phrases[i].instead)
				}
			}
		}
		return nil
	}))
	require.Greater(t, files, 100)
}

// position is where the found text begins in a comment: the line of a comment can end in it.
func position(group *ast.CommentGroup, found string) token.Pos {
	first, _, _ := strings.Cut(strings.TrimLeft(found, ".;: "), " ")
	for _, whole := range []string{found, first} {
		for _, line := range group.List {
			if strings.Contains(line.Text, whole) {
				return line.Pos()
			}
		}
	}
	return group.Pos()
}

// So are documents, apart from their code.
func TestDocumentsArePlain(t *testing.T) {
	t.Parallel()
	patterns := phrasePatterns()
	for name, text := range pages(t, "*.md", "docs/*.md", ".github/ISSUE_TEMPLATE/*.yml") {
		text = inline.ReplaceAllString(fence.ReplaceAllString(text, ""), "x")
		text = strings.Join(strings.Fields(text), " ")
		for i, pattern := range patterns {
			for _, found := range pattern.FindAllString(text, -1) {
				t.Errorf("%s: %q; write: %s", name, found, phrases[i].instead)
			}
		}
	}
}

var testName = regexp.MustCompile("`(?:(\\w+)\\.)?((?:Test|Fuzz)[A-Z]\\w*)(…?)`")

// Each test that a document names as proof exists, in the package that it names.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	declared := map[string]string{} // by package, "" for the root
	for _, folder := range []string{"", "liveroom/", "inspect/", "examples/*/", "internal/*/", "fleet/internal/*/"} {
		files, err := filepath.Glob(folder + "*_test.go")
		require.NoError(t, err)
		for _, name := range files {
			code, err := os.ReadFile(name)
			require.NoError(t, err)
			declared[strings.TrimPrefix(filepath.Base(filepath.Dir(name)), ".")] += string(code)
		}
	}
	for _, name := range []string{"docs/reliability.md", "docs/faults.md", "docs/dependencies.md", "docs/design.md", "CONTRIBUTING.md"} {
		document, err := os.ReadFile(name)
		require.NoError(t, err)
		found := testName.FindAllStringSubmatch(string(document), -1)
		require.NotEmpty(t, found, name)
		for _, m := range found {
			declaration := "func " + m[2]
			if m[3] == "" { // otherwise the beginning of several names
				declaration += "("
			}
			assert.True(t, strings.Contains(declared[m[1]], declaration), "%s names %s", name, m[0])
		}
	}
}

var update = flag.Bool("update", false, "write what the tests have printed into the documents that show it")

// requireDocumented compares output with the block that a document has behind the comment
// <!-- name -->, so that what the document shows is what happens.
func requireDocumented(t *testing.T, file, name, output string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	mark := "<!-- " + name + " -->\n```\n"
	before, rest, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), mark)
	require.True(t, found, "%s: no block after <!-- %s -->", file, name)
	block, after, found := strings.Cut(rest, "```\n")
	require.True(t, found, "%s: the block after <!-- %s --> has no end", file, name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+mark+output+"```\n"+after), 0o644))
		return
	}
	require.Equal(t, block, output, "%s is not what happens; go test -run %s . -update", file, t.Name())
}
