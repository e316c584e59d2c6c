package wechatws_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A function that defers something ends by returning: log.Fatal and os.Exit run no deferred calls.
// People copy programs with their faults.
func TestNoExitBehindADefer(t *testing.T) {
	t.Parallel()
	check := func(name string, code any) {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, code, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return // a block of a page that is no file
		}
		for _, call := range exitsBehindDefer(file) {
			t.Errorf("%s ends the process, and calls that were deferred before do not run", set.Position(call.Pos()))
		}
	}
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case !entry.IsDir() && path.Ext(name) == ".go":
			check(name, nil)
		}
		return nil
	}))
	for name, text := range pages(t, "README.md", "docs/*.md") {
		for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
			check(name, block[1])
			check(name, "package p\n"+block[1])
		}
	}
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var program strings.Builder
	for line := range strings.Lines(string(doc)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			program.WriteString(code)
		}
	}
	require.Contains(t, program.String(), "func main() {")
	check("doc.go", "package main\n"+program.String())
}

// exitsBehindDefer returns the calls of log.Fatal and os.Exit that stand behind a defer statement of
// the same function.
func exitsBehindDefer(file *ast.File) (calls []*ast.CallExpr) {
	ast.Inspect(file, func(n ast.Node) bool {
		var body *ast.BlockStmt
		switch f := n.(type) {
		case *ast.FuncDecl:
			body = f.Body
		case *ast.FuncLit:
			body = f.Body
		}
		if body == nil {
			return true
		}
		deferred := false
		ast.Inspect(body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.DeferStmt:
				deferred = true
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && deferred {
					if x, ok := s.X.(*ast.Ident); ok && (x.Name == "log" && strings.HasPrefix(s.Sel.Name, "Fatal") || x.Name == "os" && s.Sel.Name == "Exit") {
						calls = append(calls, n)
					}
				}
			}
			return true
		})
		return true
	})
	return calls
}
