package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const library = `package lib

import "io"

// A Client does things.
type Client struct {
	Name   string ` + "`json:\"name\"`" + `
	secret int
	sync   func()
}

func (c *Client) Send(text string) error { return nil }
func (c *Client) internal()              {}

type Event struct{ At int }

type Codec interface{ Marshal(v any) ([]byte, error) }

type Option func(*config)

type config struct{ limit int }

func WithLimit(n int) Option { return func(c *config) { c.limit = n } }

func On[T any](c *Client, fn func(T)) {}

type Number interface{ ~int | ~float64 }

type Reader struct {
	io.Reader
	base
}

type base struct{ Depth int }

func (b base) Len() int { return b.Depth }

type Short = Client

const (
	Default     = 3
	Half        = 0.5
	Kind   Step = "kind"
)

type Step string

var ErrClosed error
`

var (
	files    = token.NewFileSet()
	standard = importer.ForCompiler(files, "source", nil)
)

func snapshotOf(t *testing.T, source string) (string, *imports) {
	t.Helper()
	file, err := parser.ParseFile(files, "lib.go", source, parser.SkipObjectResolution)
	require.NoError(t, err)
	config := types.Config{Importer: standard}
	p, err := config.Check(prefix+"/lib", files, []*ast.File{file}, nil)
	require.NoError(t, err)
	text, err := render(p)
	require.NoError(t, err)
	all := &imports{packages: map[string]*types.Package{}}
	for _, imported := range p.Imports() {
		all.packages[imported.Path()] = imported
	}
	return text, all
}

func TestWhatBreaksPrograms(t *testing.T) {
	for name, test := range map[string]struct{ from, to, breaking, other string }{
		"nothing":                         {"", "", "", ""},
		"a private field":                 {"secret int", "secret, second string", "", ""},
		"a private method":                {"internal()", "external()", "", ""},
		"a body":                          {"return nil", "panic(1)", "", ""},
		"a private type behind an option": {"limit int", "limit int; more string", "", ""},
		"a method renamed":                {"Send(", "Emit(", "(*Client).Send: removed", "(*Client).Emit: added"},
		"another parameter":               {"Send(text string)", "Send(text, more string)", "(*Client).Send: changed", ""},
		"a variadic one":                  {"Send(text string)", "Send(text string, more ...int)", "(*Client).Send: changed", ""},
		"a field more":                    {"At int", "At int; By string", "", "Event.By: added"},
		"a field less":                    {"Name   string", "Names string", "Client.Name: removed", "Client.Names: added"},
		"another tag":                     {`json:\"name\"`, `json:\"title\"`, `Client.Name: tag changed`, ""},
		"not comparable any more":         {"At int", "At int; f func()", "Event: old is comparable, new is not", ""},
		"an interface that grows":         {"Marshal(v any) ([]byte, error)", "Marshal(v any) ([]byte, error); Name() string", "Codec.Name: added", ""},
		"a function more":                 {"var ErrClosed error", "var ErrClosed, ErrOpen error", "", "ErrOpen: added"},
		"a constant's value":              {"= 3", "= 4", "Default: value changed from 3 to 4", ""},
		"half of it":                      {"= 0.5", "= 0.25", "Half: value changed", ""},
		"a constraint":                    {"On[T any]", "On[T comparable]", "On: type parameters changed from [any] to [comparable]", ""},
		"a parameter's name":              {"Send(text", "Send(message", "", "no program"},
		"a promoted field":                {"Depth", "Height", "Reader.Depth: removed", "Reader.Height: added"},
		"a promoted method":               {"Len()", "Size()", "Len, method set of *Reader: removed", "base.Size: added"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := strings.ReplaceAll(test.from, `\"`, `"`), strings.ReplaceAll(test.to, `\"`, `"`)
			require.Contains(t, library, from)
			before, _ := snapshotOf(t, library)
			after, imports := snapshotOf(t, strings.ReplaceAll(library, from, to))
			breaking, other, err := compare(snapshot{prefix + "/lib": before}, snapshot{prefix + "/lib": after}, imports)
			require.NoError(t, err)
			for _, is := range []struct {
				want string
				got  []string
			}{{test.breaking, breaking}, {test.other, other}} {
				if is.want == "" {
					require.Empty(t, is.got)
				} else {
					require.Contains(t, strings.Join(is.got, "\n"), is.want)
				}
			}
			if test.breaking == "" && test.other == "" {
				require.Equal(t, before, after, "no reason to touch the snapshot")
			}
		})
	}
}

func TestPackagesThatComeAndGo(t *testing.T) {
	text, imports := snapshotOf(t, library)
	breaking, other, err := compare(snapshot{prefix: text}, snapshot{prefix + "/lib": text}, imports)
	require.NoError(t, err)
	require.Equal(t, []string{"wechatws.txt: the package is gone"}, breaking)
	require.Equal(t, []string{"lib.txt: the package is new"}, other)
}

// A snapshot may speak of a package that nobody imports any more.
func TestASnapshotThatDoesNotCompile(t *testing.T) {
	text, imports := snapshotOf(t, library)
	old := strings.ReplaceAll(text, `"io"`, `"example.com/io"`)
	breaking, _, err := compare(snapshot{prefix: old}, snapshot{prefix: text}, imports)
	require.NoError(t, err)
	require.Len(t, breaking, 1)
	require.Contains(t, breaking[0], "does not compile any more")
}

func TestSnapshotsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "api")
	empty, err := readSnapshot(dir)
	require.NoError(t, err)
	require.Empty(t, empty)
	s := snapshot{prefix: "package a\n", prefix + "/b/c": "package c\n"}
	require.NoError(t, snapshot{prefix + "/old": "package old\n"}.write(dir))
	require.NoError(t, s.write(dir))
	got, err := readSnapshot(dir)
	require.NoError(t, err)
	require.Equal(t, s, got)
}
