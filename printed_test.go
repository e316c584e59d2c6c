package wechatws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/liveroom"
)

func TestPrintable(t *testing.T) {
	assert.Equal(t, "茶 ☕ \\", wechatws.Printable("茶 ☕ \\"))
	assert.Equal(t, `\x1b[2J\u202e\r\n\x00`, wechatws.Printable([]byte("\x1b[2J\u202e\r\n\x00")))
	assert.Equal(t, `\u009b2J\xff`, wechatws.Printable(liveroom.Text("\u009b2J\xff")))
	assert.Len(t, wechatws.Printable(strings.Repeat("\x00", 10_000)), 40_000, "nothing is cut")
}

// What a message or the peer brings into an error or a log line is short there, whatever the type
// of the error.
func TestTextFromOutsideIsCut(t *testing.T) {
	const limit = 300 // 200 bytes of it, and the words around
	long := strings.Repeat("x", 1<<20) + "\x1b"
	for _, v := range []any{
		&wechatws.PanicError{Value: long},
		&wechatws.PanicError{Value: errors.New(long)},
		&wechatws.CloseError{Code: 1006, Err: errors.New(long)},
		&wechatws.DecodeError{Type: "x", Err: errors.New(long)},
		wechatws.MessageInfo{Type: long},
		&wechatws.CloseError{Code: 1008, Reason: long},
		&wechatws.HandshakeError{Status: 403, Body: []byte(long)},
	} {
		text, object := inLogs(v)
		b, err := json.Marshal(v)
		require.NoError(t, err)
		shown := []string{text, object, string(b)}
		if err, ok := v.(error); ok {
			shown = append(shown, err.Error())
			if _, ok := v.(*wechatws.PanicError); ok { // its fields are the program's
				shown = []string{err.Error(), text}
			}
		}
		for _, s := range shown {
			assert.Less(t, len(s), limit, "%T", v)
			assert.NotContains(t, s, "\x1b", "%T", v)
		}
	}
}

// outside returns the names of the exported fields of the structs in a file that are text; of those
// with a json tag only, if tagged is true.
func outside(file *ast.File, tagged bool) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range s.Fields.List {
			if tagged && f.Tag == nil {
				continue
			}
			switch typ := f.Type.(type) {
			case *ast.Ident:
				if !slices.Contains([]string{"string", "any", "Text", "Value"}, typ.Name) {
					continue
				}
			case *ast.SelectorExpr: // json.RawMessage, liveroom.Text
				if !slices.Contains([]string{"RawMessage", "Text", "Value"}, typ.Sel.Name) {
					continue
				}
			case *ast.ArrayType:
				if name, ok := typ.Elt.(*ast.Ident); !ok || name.Name != "byte" {
					continue
				}
			default:
				continue
			}
			for _, name := range f.Names {
				if name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
		return true
	})
	return names
}

var verb = regexp.MustCompile(`%[-+# 0]*[0-9.]*[a-zA-Z%]`)

// unescaped returns the arguments of printing calls that are text of a message and are printed
// neither with Printable nor with %q, nor with %d as a number.
func unescaped(file *ast.File, text []string) (found []ast.Node) {
	printing := regexp.MustCompile(`^F?[Pp]rint(f|ln)?$|^(Fatal|Panic)(f|ln)?$`)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		_, isFormat := append(call.Args, ast.Expr(nil))[0].(*ast.BasicLit)
		say := callee(call) == "say" && isFormat // the recipes' variable with a logger's Printf
		if !say && !printing.MatchString(callee(call)) {
			return true
		}
		quoted := map[int]bool{}
		for i, arg := range call.Args {
			if format, ok := arg.(*ast.BasicLit); ok && format.Kind == token.STRING {
				s, _ := strconv.Unquote(format.Value)
				verbs := slices.DeleteFunc(verb.FindAllString(s, -1), func(v string) bool { return v == "%%" })
				for j, v := range verbs {
					quoted[i+1+j] = strings.HasSuffix(v, "q") || strings.HasSuffix(v, "d")
				}
			}
		}
		for i, arg := range call.Args {
			if quoted[i] {
				continue
			}
			ast.Inspect(arg, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && slices.Contains([]string{"Printable", "len"}, callee(call)) {
					return false
				}
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(text, s.Sel.Name) {
					found = append(found, s)
				}
				return true
			})
		}
		return true
	})
	return found
}

// callee returns the name of the function of a call, without its package and its types.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// No program of this repository prints the text of a message as it comes: it could control the
// terminal.
func TestProgramsPrintPrintableText(t *testing.T) {
	files := token.NewFileSet()
	parse := func(path string) *ast.File {
		file, err := parser.ParseFile(files, path, nil, 0)
		require.NoError(t, err)
		return file
	}
	known := []string{"Data", "Type", "Text", "Reason", "Body", "Subprotocol", "Field"} // of this package
	for _, path := range []string{"liveroom/messages.go", "liveroom/state.go"} {
		known = append(known, outside(parse(path), false)...)
	}
	require.Contains(t, known, "FromName")
	programs := 0
	for _, root := range []string{"examples", "fleet/examples", "fleet/fleetctl", "metrics/wsprom/example"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			programs++
			file := parse(path)
			for _, found := range unescaped(file, append(outside(file, true), known...)) {
				t.Errorf("%v prints the text of a message: use wechatws.Printable", files.Position(found.Pos()))
			}
			return nil
		}))
	}
	require.Greater(t, programs, 50)

	blocks := regexp.MustCompile("(?s)```go\n(.*?)```")
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "README.zh-CN.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			code := block[1]
			for _, source := range []string{code, "package p\n" + code, "package p\nfunc _() {\n" + code + "}"} {
				file, err := parser.ParseFile(files, page, source, 0)
				if err != nil {
					continue
				}
				for _, found := range unescaped(file, append(outside(file, true), known...)) {
					s := found.(*ast.SelectorExpr)
					t.Errorf("%s prints the text of a message, .%s: use wechatws.Printable", page, s.Sel.Name)
				}
				break
			}
		}
	}
}

// The check sees what it has to see.
func TestUnescapedTextIsFound(t *testing.T) {
	const program = `package p
	type comment struct{ Name string ` + "`json:\"name\"`" + `; N int ` + "`json:\"n\"`" + ` }
	func _(c comment, m Message) {
		log.Printf("%s: %d", c.Name, c.N)
		fmt.Println(string(m.Data))
		fmt.Fprintf(out, "%s %q %s", c.N, c.Name, strings.ToUpper(c.Name))
		log.Printf("%s %d", wechatws.Printable(m.Data), len(m.Data))
		log.Printf("%d %s", m.Data.N, m.Field("a"))
	}`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", program, 0)
	require.NoError(t, err)
	var lines []string
	for _, n := range unescaped(file, append(outside(file, true), "Data", "Field")) {
		lines = append(lines, fmt.Sprint(files.Position(n.Pos()).Line))
	}
	require.Equal(t, []string{"4", "5", "6", "8"}, lines)
}
