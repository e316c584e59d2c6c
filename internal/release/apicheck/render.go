package main

import (
	"bytes"
	"fmt"
	"go/constant"
	"go/format"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// render returns source of the exported declarations of a package, and of the unexported types
// that these refer to. Bodies, comments and unexported fields are left out, so that only
// changes that affect users change it.
func render(p *types.Package) (string, error) {
	r := &renderer{pkg: p, imports: map[string]string{}, seen: map[*types.TypeName]bool{}}
	var declarations []string
	for _, name := range p.Scope().Names() { // sorted
		if token.IsExported(name) {
			declarations = append(declarations, r.declare(p.Scope().Lookup(name)))
		}
	}
	for len(r.waiting) > 0 {
		next := r.waiting[0]
		r.waiting = r.waiting[1:]
		declarations = append(declarations, r.declare(next))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "package %s\n\n", p.Name())
	for _, path := range slices.Sorted(func(yield func(string) bool) {
		for path := range r.imports {
			if !yield(path) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "import %s %q\n", r.imports[path], path)
	}
	for _, d := range declarations {
		fmt.Fprintf(&b, "\n%s\n", d)
	}
	text, err := format.Source(b.Bytes())
	return string(text), err
}

type renderer struct {
	pkg     *types.Package
	imports map[string]string // names by path
	seen    map[*types.TypeName]bool
	waiting []types.Object // unexported types to declare
}

// qualify returns the name of another package, and records its import.
func (r *renderer) qualify(p *types.Package) string {
	if p == r.pkg {
		return ""
	}
	if name, ok := r.imports[p.Path()]; ok {
		return name
	}
	name := p.Name()
	for n := 2; slices.Contains(r.names(), name); n++ {
		name = fmt.Sprintf("%s%d", p.Name(), n)
	}
	r.imports[p.Path()] = name
	return name
}

func (r *renderer) names() (names []string) {
	for _, name := range r.imports {
		names = append(names, name)
	}
	return names
}

// text returns a type as source.
func (r *renderer) text(t types.Type) string {
	r.mention(t, map[types.Type]bool{})
	return types.TypeString(t, r.qualify)
}

// mention queues the unexported types of the package that t refers to.
func (r *renderer) mention(t types.Type, done map[types.Type]bool) {
	if done[t] {
		return
	}
	done[t] = true
	name := func(o *types.TypeName, arguments *types.TypeList) {
		for argument := range arguments.Types() {
			r.mention(argument, done)
		}
		if o.Pkg() == r.pkg && !o.Exported() && o.Parent() == r.pkg.Scope() && !r.seen[o] {
			r.seen[o] = true
			r.waiting = append(r.waiting, o)
		}
	}
	switch t := t.(type) {
	case *types.Named:
		name(t.Obj(), t.TypeArgs())
	case *types.Alias:
		name(t.Obj(), t.TypeArgs())
	case *types.Pointer:
		r.mention(t.Elem(), done)
	case *types.Slice:
		r.mention(t.Elem(), done)
	case *types.Array:
		r.mention(t.Elem(), done)
	case *types.Chan:
		r.mention(t.Elem(), done)
	case *types.Map:
		r.mention(t.Key(), done)
		r.mention(t.Elem(), done)
	case *types.Signature:
		for p := range t.TypeParams().TypeParams() {
			r.mention(p.Constraint(), done)
		}
		r.mention(t.Params(), done)
		r.mention(t.Results(), done)
	case *types.Tuple:
		for v := range t.Variables() {
			r.mention(v.Type(), done)
		}
	case *types.Struct:
		for f := range t.Fields() {
			r.mention(f.Type(), done)
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			r.mention(m.Type(), done)
		}
		for e := range t.EmbeddedTypes() {
			r.mention(e, done)
		}
	case *types.Union:
		for term := range t.Terms() {
			r.mention(term.Type(), done)
		}
	}
}

func (r *renderer) declare(o types.Object) string {
	switch o := o.(type) {
	case *types.Const:
		typ := ""
		if b, ok := o.Type().(*types.Basic); !ok || b.Info()&types.IsUntyped == 0 {
			typ = r.text(o.Type()) + " "
		}
		value := o.Val().ExactString()
		if o.Val().Kind() == constant.Float {
			value = o.Val().String() // not a fraction, which would be divided as integers
		}
		return fmt.Sprintf("const %s %s= %s", o.Name(), typ, value)
	case *types.Var:
		return fmt.Sprintf("var %s %s", o.Name(), r.text(o.Type()))
	case *types.Func:
		return "func " + o.Name() + r.signature(o)
	case *types.TypeName:
		return r.declareType(o)
	}
	return ""
}

func (r *renderer) signature(f *types.Func) string {
	text := strings.TrimPrefix(r.text(f.Type()), "func")
	if s := f.Signature(); s.TypeParams().Len() > 0 || s.RecvTypeParams().Len() > 0 {
		text += " {}" // a generic function must have a body
	}
	return text
}

func (r *renderer) declareType(o *types.TypeName) string {
	if alias, ok := o.Type().(*types.Alias); ok {
		return fmt.Sprintf("type %s%s = %s", o.Name(), r.parameters(alias.TypeParams()), r.text(alias.Rhs()))
	}
	named := o.Type().(*types.Named)
	var b strings.Builder
	fmt.Fprintf(&b, "type %s%s %s\n", o.Name(), r.parameters(named.TypeParams()), r.underlying(named))
	var methods []*types.Func
	for m := range named.Methods() {
		if m.Exported() {
			methods = append(methods, m)
		}
	}
	slices.SortFunc(methods, func(a, b *types.Func) int { return strings.Compare(a.Name(), b.Name()) })
	for _, m := range methods {
		fmt.Fprintf(&b, "func (%s) %s%s\n", r.text(m.Signature().Recv().Type()), m.Name(), r.signature(m))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (r *renderer) parameters(list *types.TypeParamList) string {
	if list.Len() == 0 {
		return ""
	}
	var all []string
	for p := range list.TypeParams() {
		all = append(all, p.Obj().Name()+" "+r.text(p.Constraint()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// underlying returns the definition of a type, one field or method a line.
func (r *renderer) underlying(named *types.Named) string {
	var b strings.Builder
	switch t := named.Underlying().(type) {
	case *types.Struct:
		b.WriteString("struct {\n")
		hidden := false
		for i := range t.NumFields() {
			f := t.Field(i)
			switch {
			case f.Embedded() && (f.Exported() || promotes(f.Type())):
				b.WriteString(r.text(f.Type()))
			case f.Exported():
				fmt.Fprintf(&b, "%s %s", f.Name(), r.text(f.Type()))
			default:
				hidden = true
				continue
			}
			if tag := t.Tag(i); tag != "" {
				fmt.Fprintf(&b, " %q", tag)
			}
			b.WriteString("\n")
		}
		switch {
		case hidden && !types.Comparable(t):
			b.WriteString("_ func() // unexported fields; it cannot be compared with ==\n")
		case hidden:
			b.WriteString("_ int // unexported fields\n")
		}
		b.WriteString("}")
	case *types.Interface:
		b.WriteString("interface {\n")
		for e := range t.EmbeddedTypes() {
			b.WriteString(r.text(e) + "\n")
		}
		var methods []*types.Func
		for m := range t.ExplicitMethods() {
			methods = append(methods, m)
		}
		slices.SortFunc(methods, func(a, b *types.Func) int { return strings.Compare(a.Name(), b.Name()) })
		for _, m := range methods {
			b.WriteString(m.Name() + r.signature(m) + "\n")
		}
		b.WriteString("}")
	default:
		b.WriteString(r.text(t))
	}
	return b.String()
}

// promotes reports whether a type that is embedded has exported fields or methods.
func promotes(t types.Type) bool {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	for m := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		if m.Obj().Exported() {
			return true
		}
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return false
	}
	for f := range s.Fields() {
		if f.Exported() || f.Embedded() && promotes(f.Type()) {
			return true
		}
	}
	return false
}
