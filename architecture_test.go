package wechatws_test

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rooms has a row for every package of this repository: what it may import besides the standard
// library. A row is for a file, for a folder or, with /..., for a folder and those below it; the
// first row that matches counts. Of imports, "public" stands for all packages of this repository
// that users can import, and "modules" for all other modules.
//
// Direct imports are enough: every package has a row, so that a package cannot reach through
// another one what neither row allows. Tests may import everything, but in internal not this
// package, unless the row allows it: a room is tested without the client.
var rooms = []struct{ room, imports string }{
	// The client, and the rooms below it, which do not import it.
	{"log.go", "internal/printable"}, // see also TestTheLoggerUsesTheExportedAPI
	{"wechatws", "transport" +
		" internal/addresses internal/boundary internal/callbacks internal/fence internal/netmon internal/outbox" +
		" internal/peek internal/printable internal/record internal/serial internal/ws" +
		" github.com/cenkalti/backoff/v4 github.com/go-json-experiment/json/..."},
	{"internal/addresses", ""},
	{"internal/boundary", "transport internal/ws"}, // it makes a connection with ws's methods of a user's transport.Conn
	{"internal/callbacks", ""},
	{"internal/fence", ""},
	{"internal/handshake", ""},
	{"internal/netmon", "github.com/mdlayher/netlink golang.org/x/sys/unix"},
	{"internal/outbox", ""},
	{"internal/peek", ""},
	{"internal/printable", ""},
	{"internal/record", ""},
	{"internal/serial", ""},
	{"internal/ws", "internal/printable"},
	{"transport", "internal/printable"},
	{"transport/coder", "transport internal/handshake github.com/coder/websocket"},
	{"transport/nhooyr", "transport internal/handshake nhooyr.io/websocket"},

	// Built on the exported API, as programs of users are. callbacks is a list of functions,
	// printable cuts and escapes text, and boundary calls functions of users: none gives access to the
	// inside of a client.
	{"liveroom", "wechatws internal/boundary internal/callbacks internal/printable github.com/go-json-experiment/json/jsontext"},
	{"liveroom/liveroomtest", "wechatws liveroom wstest"},
	{"inspect", "wechatws internal/printable"},
	{"metrics/internal/tally", "wechatws"},
	{"metrics/wsprom", "wechatws metrics/internal/tally github.com/prometheus/client_golang/..."},
	{"metrics/wsotel", "wechatws metrics/internal/tally go.opentelemetry.io/otel/..."},
	{"wstest", "internal/freeport internal/handshake github.com/coder/websocket golang.org/x/sys/unix"}, // not for this client only

	// The fleet. internal/fence gives it the write fence, which users do not have. It calls functions
	// of users as the client does.
	{"fleet", "wechatws inspect internal/boundary internal/fence internal/printable fleet/internal/decision fleet/internal/names fleet/internal/placement github.com/gofrs/flock github.com/nats-io/..."},
	{"fleet/internal/audit", "wstest"},
	{"fleet/internal/decision", ""},
	{"fleet/internal/leasemodel", "fleet/internal/decision"},
	{"fleet/internal/names", ""},
	{"fleet/internal/natssim", "github.com/nats-io/..."},
	{"fleet/internal/placement", "github.com/cespare/xxhash/v2"},
	{"fleet/internal/placement/simulate", "fleet/internal/placement"},
	{"fleet/examples/fleet", "public modules fleet/internal/audit fleet/internal/placement"}, // it checks its own result
	{"fleet/internal/scale", "public modules fleet/internal/audit"},
	{"fleet/...", "public modules"},

	// Programs, and helpers of tests.
	{"internal/attacks", "public"},
	{"internal/freeport", ""},
	{"internal/mutants", ""},
	{"internal/netns", "golang.org/x/sys/unix"},
	{"internal/release/...", "modules internal/release/modules"},
	{"internal/conformance", "public modules"},
	{"internal/simulation", "public modules"},
	{"internal/soak", "public modules internal/freeport"},
	{"internal/trials", "public modules"},
	{"examples/backends/internal/backend", "modules internal/freeport"},
	{"examples/backends/...", "public modules examples/backends/internal/backend"},
	{"examples/...", "public modules examples/recipes/internal/..."},
	{"metrics/wsprom/example", "public modules"},
	{"internal/browsertest/...", "public modules internal/browsertest/chromium"},
	{"bench", "public modules"},

	// The command. doctor reads frames below messages, which users do not see.
	{"cmd/wechatws/internal/doctor", "wechatws transport internal/ws cmd/wechatws/internal/redact"},
	{"cmd/wechatws/...", "public modules cmd/wechatws/internal/..."},
}

const here = "github.com/wechatws/wechatws"

// The imports are read from the files: go list leaves out those for other platforms, and does
// not report which file has an import.
func TestEveryImportIsAllowed(t *testing.T) {
	for _, wrong := range wrongImports(t, os.DirFS(".")) {
		t.Error(wrong)
	}
}

func TestAForbiddenImportIsNamed(t *testing.T) {
	for _, tt := range []struct{ file, imported, wrong string }{
		{"internal/peek/peek.go", "encoding/json", ""},
		{"internal/peek/peek.go", here, "internal/peek may import only the standard library"},
		{"internal/peek/peek_windows.go", "golang.org/x/sys/windows", "internal/peek may import only the standard library"},
		{"internal/peek/peek_test.go", "github.com/stretchr/testify/require", ""},
		{"internal/peek/peek_test.go", here, "internal/peek may import only the standard library"},
		{"client.go", here + "/internal/peek", ""},
		{"client.go", here + "/transport/coder", "internal/ws"},
		{"internal/addresses/addresses.go", here + "/transport", "internal/addresses may import only the standard library"},
		{"internal/boundary/conn.go", here + "/internal/outbox", "internal/boundary may import only the standard library, transport, internal/ws"},
		{"client.go", here + "/liveroom", "internal/ws"},
		{"client.go", here + "/internal/freeport", "internal/ws"},
		{"client.go", "github.com/cenkalti/backoff/v5", "github.com/cenkalti/backoff/v4"},
		{"client_test.go", here + "/liveroom", ""},
		{"codec.go", "github.com/go-json-experiment/json", ""},
		{"codec.go", "github.com/go-json-experiment/json/v1", ""},
		{"log.go", here + "/internal/fence", "log.go may import only the standard library, internal/printable"},
		{"transport/coder/coder.go", here, "transport/coder may import only the standard library, transport"},
		{"inspect/page.go", here + "/internal/fence", "inspect may import only the standard library, wechatws, internal/printable"},
		{"metrics/wsprom/collector.go", here + "/internal/record", "metrics/wsprom may import only"},
		{"fleet/worker.go", here + "/internal/fence", ""},
		{"fleet/fleetctl/main.go", here + "/internal/fence", "fleet/... may import only"},
		{"examples/bot/main.go", here + "/wstest", ""},
		{"examples/bot/main.go", "golang.org/x/time/rate", ""},
		{"examples/bot/main.go", here + "/internal/printable", "examples/... may import only the standard library, public, modules"},
		{"internal/new/new.go", "fmt", "it is in no row of rooms"},
	} {
		code := "package x\n\nimport " + strconv.Quote(tt.imported) + "\n"
		wrong := wrongImports(t, fstest.MapFS{tt.file: {Data: []byte(code)}})
		if tt.wrong == "" {
			assert.Empty(t, wrong)
			continue
		}
		require.Len(t, wrong, 1, "%s imports %s", tt.file, tt.imported)
		assert.Contains(t, wrong[0], tt.wrong)
		assert.Contains(t, wrong[0], tt.file+":3:8: "+tt.imported)
	}
}

// wrongImports returns the imports that rooms does not allow, with the rule.
func wrongImports(t *testing.T, files fs.FS) (wrong []string) {
	require.NoError(t, fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		code, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, code, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rule := broken(name, imported); rule != "" {
				wrong = append(wrong, fmt.Sprintf("%v: %s is a wrong import: %s", set.Position(spec.Path.Pos()), imported, rule))
			}
		}
		return nil
	}))
	return wrong
}

// broken returns the rule that does not allow a file's import, or "".
func broken(file, imported string) string {
	if strings.HasSuffix(file, "_test.go") && !(strings.HasPrefix(file, "internal/") && imported == here) {
		return ""
	}
	folder := path.Dir(file)
	if folder == "." {
		folder = "wechatws"
	}
	for _, row := range rooms {
		if row.room != file && !fits(row.room, folder) {
			continue
		}
		if allowed(row.imports, imported) {
			return ""
		}
		list := append([]string{"the standard library"}, strings.Fields(row.imports)...)
		return row.room + " may import only " + strings.Join(list, ", ")
	}
	return "it is in no row of rooms"
}

// allowed reports whether a row's imports include a package.
func allowed(imports, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	name, ours := strings.CutPrefix(imported, here)
	if ours {
		name = cmp.Or(strings.TrimPrefix(name, "/"), "wechatws")
	}
	return slices.ContainsFunc(strings.Fields(imports), func(one string) bool {
		switch one {
		case "public":
			return ours && !slices.Contains(strings.Split(name, "/"), "internal")
		case "modules":
			return !ours
		}
		return fits(one, name)
	})
}

// fits reports whether a row's pattern is about a package.
func fits(pattern, name string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return name == root || below && strings.HasPrefix(name, root+"/")
}

// shared are unexported names that log.go uses nevertheless: with why its lines have the texts
// of DecodeError and DroppedError without the count, type and size, which are attributes.
var shared = []string{"why"}

// The logger is made of a trace and callbacks, as users can make one.
func TestTheLoggerUsesTheExportedAPI(t *testing.T) {
	assert.Empty(t, insides(t, "log.go"), "log.go may use only exported names, and its own")
	assert.NotEmpty(t, insides(t, "trace.go"), "trace.go uses the inside of the client")
}

// insides returns where a file of this package uses unexported names of other files.
func insides(t *testing.T, name string) (uses []string) {
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	require.Contains(t, sources, name)
	set := token.NewFileSet()
	var files []*ast.File
	for _, source := range sources {
		if !strings.HasSuffix(source, "_test.go") {
			file, err := parser.ParseFile(set, source, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			files = append(files, file)
		}
	}
	in := func(pos token.Pos) bool { return set.Position(pos).Filename == name }
	info := types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	// There are errors, since nothing is imported and files for all platforms are checked
	// together; names of this package are resolved all the same.
	config := types.Config{Importer: noImporter{}, Error: func(error) {}}
	checked, _ := config.Check(here, set, files, &info)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || !in(id.Pos()) || id.IsExported() || slices.Contains(shared, id.Name) {
				return true
			}
			_, defined := info.Defs[id]
			used := info.Uses[id] // nil: a field or method of a value whose type is not known
			if !defined && (used == nil || used.Pkg() == checked && !in(used.Pos())) {
				uses = append(uses, fmt.Sprintf("%v: %s", set.Position(id.Pos()), id.Name))
			}
			return true
		})
	}
	return uses
}

type noImporter struct{}

func (noImporter) Import(path string) (*types.Package, error) { return nil, errors.New("not imported") }
