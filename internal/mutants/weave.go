package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// chosen is the environment variable with the number of the mutant that a woven program is.
const chosen = "MUTANT"

// A weave is the code of many mutants in one program, which is compiled once and not once for each.
// Beside each function that a mutant changes stands the changed one, which the function calls if that
// mutant is chosen. The files are by their names.
type weave map[string]*wovenFile

// A wovenFile is a file with the functions of mutants.
type wovenFile struct {
	*source
	calls map[*ast.FuncDecl]string // of the changed functions
	added strings.Builder          // these functions
}

// A source is a parsed file.
type source struct {
	text string
	set  *token.FileSet
	*ast.File
}

func parseSource(text string) (*source, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	return &source{text, set, f}, err
}

// between returns the text between two positions.
func (s *source) between(from, to token.Pos) string {
	return s.text[s.set.Position(from).Offset:s.set.Position(to).Offset]
}

// add adds a mutant, and reports whether that is possible: it must change nothing but the bodies of
// functions, the parameters of which have names.
func (w weave) add(m mutant, root string) bool {
	changed, err := m.changed(root)
	if err != nil {
		return false
	}
	var apply []func()
	for name, text := range changed {
		f, err := w.file(root, name)
		if err != nil {
			return false
		}
		after, err := parseSource(text)
		if err != nil || len(after.Decls) != len(f.Decls) {
			return false
		}
		for i, decl := range f.Decls {
			was, is := f.between(decl.Pos(), decl.End()), after.between(after.Decls[i].Pos(), after.Decls[i].End())
			if was == is {
				continue
			}
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				return false
			}
			head := f.between(fn.Pos(), fn.Body.Lbrace)
			call, ok := callOf(fn, m.function(fn))
			if !ok || !strings.HasPrefix(is, head) {
				return false
			}
			apply = append(apply, func() {
				f.calls[fn] += fmt.Sprintf(" if mutant == %d { %s };", m.number, call)
				name := int(fn.Name.Pos() - fn.Pos())
				fmt.Fprintf(&f.added, "\n//line mutant%d.go:%d\n%s%s%s\n", m.number, f.set.Position(fn.Pos()).Line,
					is[:name], m.function(fn), is[name+len(fn.Name.Name):])
			})
		}
	}
	for _, do := range apply {
		do()
	}
	return true
}

func (w weave) file(root, name string) (*wovenFile, error) {
	if f := w[name]; f != nil {
		return f, nil
	}
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	s, err := parseSource(string(b))
	if err != nil {
		return nil, err
	}
	f := &wovenFile{source: s, calls: map[*ast.FuncDecl]string{}}
	w[name] = f
	return f, nil
}

// function returns the name of a function that m changes.
func (m mutant) function(fn *ast.FuncDecl) string {
	return fmt.Sprintf("mutant%d%s", m.number, fn.Name.Name)
}

// callOf returns a statement that calls another function in the place of fn, with its arguments.
func callOf(fn *ast.FuncDecl, other string) (call string, ok bool) {
	names := func(list *ast.FieldList) (all []string, ok bool) {
		for _, field := range list.List {
			if len(field.Names) == 0 {
				return nil, false
			}
			for _, name := range field.Names {
				if name.Name == "_" {
					return nil, false
				}
				all = append(all, name.Name)
			}
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				all[len(all)-1] += "..."
			}
		}
		return all, true
	}
	arguments, ok := names(fn.Type.Params)
	if !ok {
		return "", false
	}
	call = other
	if fn.Type.TypeParams != nil {
		types, _ := names(fn.Type.TypeParams)
		call += "[" + strings.Join(types, ", ") + "]"
	}
	call += "(" + strings.Join(arguments, ", ") + ")"
	if fn.Recv != nil {
		receiver, ok := names(fn.Recv)
		if !ok {
			return "", false
		}
		call = receiver[0] + "." + call
	}
	if fn.Type.Results == nil {
		return call + "; return", true
	}
	return "return " + call, true
}

// contents returns the files of the program: those that are changed, and one for each package that
// has the number of the chosen mutant.
func (w weave) contents() map[string]string {
	all := map[string]string{}
	for name, f := range w {
		var b strings.Builder
		from := f.FileStart
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.calls[fn] != "" {
				b.WriteString(f.between(from, fn.Body.Lbrace+1) + f.calls[fn])
				from = fn.Body.Lbrace + 1
			}
		}
		all[name] = b.String() + f.between(from, f.FileEnd) + f.added.String()
		all[path.Join(path.Dir(name), "mutant.go")] = fmt.Sprintf(
			"package %s\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar mutant, _ = strconv.Atoi(os.Getenv(%q))\n", f.Name.Name, chosen)
	}
	return all
}

var inMutant = regexp.MustCompile(`mutant(\d+)\.go:\d`)

// culprits returns the numbers of the mutants that the errors of a compiler are about.
func culprits(output string) map[int]bool {
	numbers := map[int]bool{}
	for _, found := range inMutant.FindAllStringSubmatch(output, -1) {
		n, _ := strconv.Atoi(found[1])
		numbers[n] = true
	}
	return numbers
}
