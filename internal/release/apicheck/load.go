package main

import (
	"fmt"
	"go/types"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

// imports has every package that was loaded. The source of a snapshot can import these.
type imports struct{ packages map[string]*types.Package }

func (i *imports) Import(path string) (*types.Package, error) {
	if p := i.packages[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s is imported no more", path)
}

func (i *imports) add(p *packages.Package) {
	if i.packages == nil {
		i.packages = map[string]*types.Package{"unsafe": types.Unsafe}
	}
	if i.packages[p.PkgPath] == nil && p.Types != nil {
		i.packages[p.PkgPath] = p.Types
		for _, imported := range p.Imports {
			i.add(imported)
		}
	}
}

// load puts the API of a module's public packages into s, and counts their links.
func load(dir string, s snapshot, known *imports, links *linkCount) error {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps |
			packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedModule,
		Dir: dir,
		// The same on every machine.
		Env: append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false"),
	}, "./...")
	if err != nil {
		return err
	}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			return fmt.Errorf("%s does not compile: %v", p.PkgPath, p.Errors[0])
		}
		known.add(p)
		if public(p) {
			if s[p.PkgPath], err = render(p.Types); err != nil {
				return fmt.Errorf("%s: %w", p.PkgPath, err)
			}
			links.add(p, known)
		}
	}
	return nil
}

// public reports whether p is meant to be imported by other modules.
func public(p *packages.Package) bool {
	slashed := p.PkgPath + "/"
	return p.Name != "main" && !strings.Contains(slashed, "/internal/") && !strings.Contains(slashed, "/examples/")
}
