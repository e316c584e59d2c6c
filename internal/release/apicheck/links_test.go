package main

import (
	"go/ast"
	"go/parser"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

const linked = `// Package lib has a [Client], [lib.New] and [io.EOF].
package lib

import (
	"io"
	web "bytes"
)

// A Client has a [Client.Name], [*Client.Send] and an embedded [Client.Read]. It is no
// [client], a []byte, an [Cleint], a [Client.Nmae] or a [config].
//
// # No [Link] in a heading
//
//   - one [Client] in a list
//
// [bytes.Buffer], [web.Buffer], [encoding/json.Marshaler], [io.Reader.Read]; [io.Raeder],
// [json.Number], [liveroom.Room], [github.com/wechatws/wechatws/liveroom.Room].
type Client struct {
	io.Reader
	Name string // as in [New]
	Nick string // as in [Enw]
	note string // as in [Nowhere]
}

// Send is of [Client], and not of [Sneder].
func (c *Client) Send() {}

// New makes a Client.
func New() *Client { return &Client{note: ""} }

// config has [Nowhere].
type config struct{}

// Has [Nowhere].
func (config) Exported() {}

// Both are [Client], [Ones].
var (
	One web.Buffer // [Client]
	two int        // [Nowhere]
)

// A Sender has [Sender.Send], [Sender.Sned].
type Sender interface {
	// Send is [New], [Wen].
	Send()
}
`

func TestLinksOfComments(t *testing.T) {
	file, err := parser.ParseFile(files, "lib.go", linked, parser.ParseComments)
	require.NoError(t, err)
	p, err := (&types.Config{Importer: standard}).Check(prefix+"/lib", files, []*ast.File{file}, nil)
	require.NoError(t, err)
	known := &imports{packages: map[string]*types.Package{p.Path(): p}}
	for _, imported := range p.Imports() {
		known.packages[imported.Path()] = imported
	}
	var links linkCount
	links.add(&packages.Package{PkgPath: p.Path(), Name: "lib", Fset: files, Syntax: []*ast.File{file}, Types: p}, known)
	var broken []string
	for _, link := range links.broken {
		_, text, _ := strings.Cut(link, ": ")
		broken = append(broken, text)
	}
	require.ElementsMatch(t, []string{
		"[Cleint]", "[Client.Nmae]", "[io.Raeder]", "[json.Number]", "[liveroom.Room]", "[github.com/wechatws/wechatws/liveroom.Room]",
		"[Enw]", "[Sneder]", "[Ones]", "[Sender.Sned]", "[Wen]",
	}, broken)
	require.Equal(t, 17, links.valid[p.Path()])
	require.Contains(t, links.broken, "lib.go:21: [Enw]")
}

func TestExportedNamesAreCounted(t *testing.T) {
	file, err := parser.ParseFile(files, "lib.go", library, parser.SkipObjectResolution)
	require.NoError(t, err)
	p, err := (&types.Config{Importer: standard}).Check(prefix+"/lib", files, []*ast.File{file}, nil)
	require.NoError(t, err)
	require.Equal(t, 14, exported(p))
}

func TestLimits(t *testing.T) {
	require.NoError(t, limits(mostNames, leastLinks, 0))
	require.ErrorContains(t, limits(mostNames+1, leastLinks, 0), "exports 131 names, at most 130 are allowed")
	require.ErrorContains(t, limits(0, leastLinks-1, 0), "have 149 links, at least 150 are needed")
	require.ErrorContains(t, limits(0, leastLinks, 2), "2 links lead to nothing that is exported")
}
