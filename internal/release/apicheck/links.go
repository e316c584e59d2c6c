package main

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/token"
	"go/types"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// A linkCount counts the links in brackets, such as [Client.Send], in the doc comments of
// exported names.
type linkCount struct {
	valid  map[string]int // by package
	broken []string       // links to names that are not exported, with their places
}

// add counts the links of one package.
func (c *linkCount) add(p *packages.Package, known *imports) {
	if c.valid == nil {
		c.valid = map[string]int{}
	}
	names := names{p.Types, map[string]string{p.Name: ""}, known}
	for _, file := range p.Syntax {
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			switch imported := p.Imports[path]; {
			case spec.Name != nil:
				names.imported[spec.Name.Name] = path
			case imported != nil:
				names.imported[imported.Name] = path
			}
		}
	}
	for _, file := range p.Syntax {
		exportedComments(file, func(group *ast.CommentGroup) {
			for _, link := range names.links(group.Text()) {
				if names.lead(link) {
					c.valid[p.PkgPath]++
					continue
				}
				at := p.Fset.Position(group.Pos())
				c.broken = append(c.broken, fmt.Sprintf("%s:%d: [%s]", at.Filename, at.Line, textOf(link)))
			}
		})
	}
}

// names are the names that a doc comment of a package can link to.
type names struct {
	pkg      *types.Package
	imported map[string]string // import paths by name; empty is the package itself
	known    *imports
}

// unknown is the import path of a package that the comment's package does not import.
const unknown = "?"

// links returns the links of a comment, including broken ones.
func (n *names) links(text string) (links []*comment.DocLink) {
	parser := comment.Parser{
		LookupPackage: func(name string) (path string, ok bool) {
			if path, ok = n.imported[name]; ok {
				return path, true
			}
			if path, ok = comment.DefaultLookupPackage(name); ok {
				return path, true
			}
			return unknown, true
		},
		LookupSym: func(_, name string) bool { return name != "" },
	}
	var blocks func([]comment.Block)
	blocks = func(list []comment.Block) {
		for _, one := range list {
			switch one := one.(type) {
			case *comment.Paragraph:
				for _, text := range one.Text {
					link, ok := text.(*comment.DocLink)
					if ok && (link.Name != "" || link.ImportPath != unknown) { // otherwise a word in brackets
						links = append(links, link)
					}
				}
			case *comment.List:
				for _, item := range one.Items {
					blocks(item.Content)
				}
			}
		}
	}
	blocks(parser.Parse(text).Content)
	return links
}

// lead reports whether a link leads to an exported name.
func (n *names) lead(link *comment.DocLink) bool {
	pkg := n.pkg
	switch path := link.ImportPath; {
	case path == unknown:
		return false
	case path != "":
		pkg = n.known.packages[path]
		if pkg == nil || link.Name == "" {
			return !strings.HasPrefix(path, prefix) || pkg != nil // others were not loaded
		}
	}
	if link.Recv == "" {
		return token.IsExported(link.Name) && pkg.Scope().Lookup(link.Name) != nil
	}
	typ, ok := pkg.Scope().Lookup(link.Recv).(*types.TypeName)
	if !ok || !typ.Exported() {
		return false
	}
	member, _, _ := types.LookupFieldOrMethod(typ.Type(), true, pkg, link.Name)
	return member != nil && member.Exported()
}

// textOf returns the text between a link's brackets, without a star.
func textOf(link *comment.DocLink) string {
	var text strings.Builder
	for _, one := range link.Text {
		if plain, ok := one.(comment.Plain); ok {
			text.WriteString(string(plain))
		}
	}
	return strings.TrimPrefix(text.String(), "*")
}

// exportedComments calls fn with the package comment of a file and with the comments of its
// exported names, including fields and methods of interfaces.
func exportedComments(file *ast.File, fn func(*ast.CommentGroup)) {
	visit := func(groups ...*ast.CommentGroup) {
		for _, group := range groups {
			if group != nil {
				fn(group)
			}
		}
	}
	visit(file.Doc)
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || token.IsExported(receiver(d.Recv.List[0].Type))) {
				visit(d.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() {
							exported = true
							visit(spec.Doc, spec.Comment)
							break
						}
					}
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						exported = true
						visit(spec.Doc, spec.Comment)
						members(spec.Type, visit)
					}
				}
			}
			if exported {
				visit(d.Doc)
			}
		}
	}
}

// members visits the comments of exported fields, and of methods of an interface.
func members(typ ast.Expr, visit func(...*ast.CommentGroup)) {
	var list *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return
	}
	for _, field := range list.List {
		if len(field.Names) == 0 || field.Names[0].IsExported() {
			visit(field.Doc, field.Comment)
		}
	}
}

// receiver returns the name of a method's type.
func receiver(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return receiver(typ.X)
	case *ast.IndexExpr:
		return receiver(typ.X)
	case *ast.IndexListExpr:
		return receiver(typ.X)
	case *ast.Ident:
		return typ.Name
	}
	return ""
}
