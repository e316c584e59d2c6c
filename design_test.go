package wechatws_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A machine is what docs/design.md describes: the root package, and the packages of this module
// that it uses, whose names begin with the package.
type machine struct {
	packages map[string]bool // true for those of internal
	names    map[string]bool // of types, fields, functions and methods
	spawns   map[string]bool // functions with a go statement, or that call WaitGroup.Go
	timers   map[string]bool // functions that call AfterFunc
	mutexes  map[string]bool
	order    string // the comment about it
}

func readMachine(t *testing.T) *machine {
	m := &machine{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, ""}
	folders := []string{"."}
	for n := 0; n < len(folders); n++ {
		files, err := filepath.Glob(folders[n] + "/*.go")
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			require.NoError(t, err)
			prefix := ""
			if n > 0 {
				prefix = f.Name.Name + "."
			}
			m.read(f, prefix)
			for _, i := range f.Imports {
				imported, _ := strconv.Unquote(i.Path.Value)
				folder, ok := strings.CutPrefix(imported, here+"/")
				if ok && !slices.Contains(folders, folder) {
					folders = append(folders, folder)
					m.packages[folder] = strings.HasPrefix(folder, "internal/")
				}
			}
		}
	}
	return m
}

func (m *machine) read(f *ast.File, prefix string) {
	for _, c := range f.Comments {
		if text := strings.Join(strings.Fields(c.Text()), " "); strings.HasPrefix(text, "Mutexes are locked in this order: ") {
			m.order = text
		}
	}
	for _, d := range f.Decls {
		name := ""
		if fn, ok := d.(*ast.FuncDecl); ok {
			if name = fn.Name.Name; fn.Recv != nil {
				name = typeName(fn.Recv.List[0].Type) + "." + name
			}
			m.names[prefix+name] = true
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				m.names[prefix+n.Name.Name] = true
				if s, ok := n.Type.(*ast.StructType); ok {
					m.fields(s, prefix+n.Name.Name)
				}
			case *ast.GoStmt:
				m.spawns[prefix+name] = true
			case *ast.SelectorExpr:
				switch n.Sel.Name {
				case "Go":
					m.spawns[prefix+name] = true
				case "AfterFunc":
					m.timers[prefix+name] = true
				}
			}
			return true
		})
	}
}

func (m *machine) fields(s *ast.StructType, owner string) {
	for _, field := range s.Fields.List {
		typ := typeName(field.Type)
		if len(field.Names) == 0 && (typ == "Mutex" || typ == "RWMutex") {
			m.mutexes[owner+"."+typ] = true
		}
		for _, name := range field.Names {
			m.names[owner+"."+name.Name] = true
			if typ == "Mutex" || typ == "RWMutex" {
				m.mutexes[owner+"."+name.Name] = true
			}
		}
	}
}

// typeName returns the name of a type without its package, pointer and parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// The tables of docs/design.md, by their heads.
const (
	spawnTable = "| started in | goroutine | waited for by |"
	timerTable = "| started in | what it does |"
	mutexTable = "| | mutex | guards |"
)

var (
	inCode    = regexp.MustCompile("`([^`\n]+)`")
	aName     = regexp.MustCompile("`([\\w./]+)`") // not a command
	inPicture = regexp.MustCompile(`(internal/\w+)  `)
)

func codes(text string, pattern *regexp.Regexp) (codes []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		codes = append(codes, match[1])
	}
	return codes
}

// rows returns the cells of the rows below the head of a table.
func rows(text, head string) (rows [][]string) {
	_, table, _ := strings.Cut(text, head+"\n")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows = append(rows, strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"))
	}
	return rows[min(1, len(rows)):] // without the line below the head
}

// wrongInDesign returns how the text of the page differs from the code.
func wrongInDesign(text string, m *machine) (wrong []string) {
	compare := func(what string, listed []string, exist map[string]bool) {
		for i, name := range listed {
			switch {
			case !exist[name]:
				wrong = append(wrong, what+" "+name+" does not exist")
			case slices.Contains(listed[:i], name):
				wrong = append(wrong, what+" "+name+" is listed twice")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(exist)) {
			if exist[name] && !slices.Contains(listed, name) {
				wrong = append(wrong, what+" "+name+" is not listed")
			}
		}
	}
	first := func(head string) (names []string) {
		for _, row := range rows(text, head) {
			names = append(names, codes(row[0], inCode)...)
		}
		return names
	}
	compare("goroutine", first(spawnTable), m.spawns)
	compare("timer", first(timerTable), m.timers)

	_, picture, _ := strings.Cut(text, "\n\n below:")
	picture, text, _ = strings.Cut(picture, "```")
	compare("package", codes(picture, inPicture), m.packages)

	var mutexes []string
	order, number := "Mutexes are locked in this order: ", 1
	for i, row := range rows(text, mutexTable) {
		listed := codes(row[1], inCode)
		mutexes = append(mutexes, listed...)
		n, _ := strconv.Atoi(strings.TrimSpace(row[0]))
		if n < number || n > number+1 {
			wrong = append(wrong, fmt.Sprintf("row %d of the mutexes: number %d after %d", i+1, n, number))
		}
		switch parts := strings.Split(listed[0], "."); {
		case len(listed) > 1: // not in the comment
		case i == 0:
			order += parts[len(parts)-2]
		case n == number:
			order += " or " + parts[len(parts)-2]
		default:
			order += ", " + parts[len(parts)-2]
		}
		number = n
	}
	compare("mutex", mutexes, m.mutexes)
	if !strings.HasPrefix(m.order, order+", and then all others") {
		wrong = append(wrong, fmt.Sprintf("the comment in client.go has %q, and the table %q", m.order, order))
	}

	for _, name := range codes(text, aName) {
		if _, err := os.Stat(name); err != nil && !m.has(name) {
			wrong = append(wrong, name+" does not exist")
		}
	}
	return wrong
}

// has reports whether there is something of that name, or a method or field. Tests are left to
// TestDocumentsNameTestsThatExist.
func (m *machine) has(name string) bool {
	if strings.HasPrefix(name, "Test") {
		return true
	}
	for one := range m.names {
		if one == name || strings.HasSuffix(one, "."+name) {
			return true
		}
	}
	return false
}

func TestDesignPage(t *testing.T) {
	page, err := os.ReadFile("docs/design.md")
	require.NoError(t, err)
	for _, wrong := range wrongInDesign(string(page), readMachine(t)) {
		t.Error(wrong)
	}
	assert.LessOrEqual(t, strings.Count(string(page), "\n"), 120, "it is one page")
}

func TestWhatIsWrongInTheDesignPageIsNamed(t *testing.T) {
	page, err := os.ReadFile("docs/design.md")
	require.NoError(t, err)
	m := readMachine(t)
	for _, tt := range []struct{ old, new, wrong string }{
		{"| `Client.start` |", "| |", "goroutine Client.start is not listed"},
		{"| `Client.start` |", "| `Client.start`, `Client.end` |", "goroutine Client.end does not exist"},
		{"| `heartbeat.arm` |", "| `heartbeat.arm`, `Client.ask` |", "timer Client.ask is listed twice"},
		{"internal/peek  ", "internal/pick  ", "package internal/pick does not exist"},
		{"internal/record  ", "", "package internal/record is not listed"},
		{"| 6 | `drops.mu` |", "| 6 | `drops.lock` |", "mutex drops.mu is not listed"},
		{"| 3 | `writer.mu` |", "| 2 | `writer.mu` |", "the comment in client.go has"},
		{"| 5 | `requests.mu` |", "| 7 | `requests.mu` |", "number 7 after 4"},
		{"`conn.go`", "`link.go`", "link.go does not exist"},
		{"(`internal/serial`)", "(`internal/handoff`)", "internal/handoff does not exist"},
		{"`link.settle`", "`link.setle`", "link.setle does not exist"},
	} {
		text := strings.Replace(string(page), tt.old, tt.new, 1)
		require.NotEqual(t, string(page), text, "%s is not in the page", tt.old)
		assert.Contains(t, strings.Join(wrongInDesign(text, m), "\n"), tt.wrong)
	}
}
