package wechatws_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Phrases that comments must not have, and what to write.
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
}

// Comments are plain technical English: things in the program do things, and "who" is no
// thing in a program.
func TestCommentsArePlain(t *testing.T) {
	patterns := make([]*regexp.Regexp, len(phrases))
	for i, phrase := range phrases {
		patterns[i] = regexp.MustCompile(phrase.pattern)
	}
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
