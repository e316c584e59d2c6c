package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"

	"golang.org/x/exp/apidiff"
)

// compare returns the changes that can break a program, and those that cannot.
func compare(before, after snapshot, known *imports) (breaking, other []string, err error) {
	paths := slices.Collect(maps.Keys(before))
	for path := range after {
		if _, ok := before[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		name := fileOf(path)
		if after[path] == "" {
			breaking = append(breaking, name+": the package is gone")
			continue
		}
		now, err := check(path, after[path], known)
		if err != nil {
			return nil, nil, fmt.Errorf("render makes no Go of it: %w", err)
		}
		switch {
		case before[path] == "":
			other = append(other, name+": the package is new")
			continue
		case before[path] == after[path]:
			continue
		}
		then, err := check(path, before[path], known)
		if err != nil {
			// It refers to a name that no longer exists, which breaks its users.
			breaking = append(breaking, fmt.Sprintf("%s: the snapshot does not compile any more: %v", name, err))
			continue
		}
		said := len(breaking) + len(other)
		for _, change := range apidiff.Changes(then, now).Changes {
			if change.Compatible {
				other = append(other, name+": "+change.Message)
			} else {
				breaking = append(breaking, name+": "+change.Message)
			}
		}
		for _, change := range append(tags(then, now), constraints(then, now)...) {
			breaking = append(breaking, name+": "+change)
		}
		if said == len(breaking)+len(other) {
			other = append(other, name+": differs in what breaks no program, such as a parameter's name")
		}
	}
	return breaking, other, nil
}

// check makes a package of a snapshot's source.
func check(path, source string, known *imports) (*types.Package, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, fileOf(path), source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	config := types.Config{Importer: known, IgnoreFuncBodies: true}
	return config.Check(path, files, []*ast.File{file}, nil)
}

// tags returns the fields whose struct tags have changed, which apidiff does not compare: in
// JSON such a field is another field.
func tags(then, now *types.Package) (changes []string) {
	for _, name := range then.Scope().Names() {
		before, after := structOf(then, name), structOf(now, name)
		if before == nil || after == nil {
			continue
		}
		for i := range before.NumFields() {
			for j := range after.NumFields() {
				field := before.Field(i).Name()
				if field != "_" && field == after.Field(j).Name() && before.Tag(i) != after.Tag(j) {
					changes = append(changes, fmt.Sprintf("%s.%s: tag changed from %q to %q", name, field, before.Tag(i), after.Tag(j)))
				}
			}
		}
	}
	return changes
}

func structOf(p *types.Package, name string) *types.Struct {
	o, ok := p.Scope().Lookup(name).(*types.TypeName)
	if !ok {
		return nil
	}
	s, _ := o.Type().Underlying().(*types.Struct)
	return s
}

// constraints returns the type parameters whose constraints have changed, which apidiff does
// not compare either.
func constraints(then, now *types.Package) (changes []string) {
	for _, name := range then.Scope().Names() {
		before, after := parametersOf(then, name), parametersOf(now, name)
		if after != "" && before != after {
			changes = append(changes, fmt.Sprintf("%s: type parameters changed from %s to %s", name, before, after))
		}
	}
	return changes
}

func parametersOf(p *types.Package, name string) string {
	var list *types.TypeParamList
	switch o := p.Scope().Lookup(name).(type) {
	case *types.Func:
		list = o.Signature().TypeParams()
	case *types.TypeName:
		if named, ok := o.Type().(*types.Named); ok {
			list = named.TypeParams()
		}
	case nil:
		return ""
	}
	var all []string
	for parameter := range list.TypeParams() {
		all = append(all, types.TypeString(parameter.Constraint(), (*types.Package).Name))
	}
	return fmt.Sprint(all)
}
