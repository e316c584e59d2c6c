// Apicheck compares the exported API of the modules that users import with the snapshot
// in api/. It fails if a change can break programs, or is not in the snapshot yet:
//
//	go run -C internal/release ./apicheck            # check; CI does
//	go run -C internal/release ./apicheck -write     # add compatible changes to the snapshot
//	go run -C internal/release ./apicheck -accept    # add all changes, also those that break programs
//	go run -C internal/release ./apicheck -since v1.2.0   # print the changes since a tag
//
// Package golang.org/x/exp/apidiff decides what is compatible. It compares type-checked
// packages, which could be stored as export data; that is binary, and a review does not show
// what has changed in it. So the snapshot is Go source: the exported declarations without
// their bodies. Both sides of a comparison are made from such source.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wechatws/wechatws/internal/release/modules"
)

// mostNames is the maximum number of exported top-level names of the root package, since a
// reader of its documentation sees all of them. To add one at the limit, remove another, or
// move it to a package that fewer users import.
const mostNames = 130

// leastLinks is the minimum number of links in the doc comments of the root package.
const leastLinks = 150

func main() {
	var write, accept bool
	var since string
	flag.BoolVar(&write, "write", false, "take compatible changes into the snapshot")
	flag.BoolVar(&accept, "accept", false, "take all changes into the snapshot, also those that break programs")
	flag.StringVar(&since, "since", "", "compare with the snapshot of this `tag` and change nothing")
	flag.Parse()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err == nil {
		err = run(os.Stdout, strings.TrimSpace(string(root)), write || accept, accept, since)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out io.Writer, root string, write, accept bool, since string) error {
	var stored snapshot
	var err error
	if since == "" {
		stored, err = readSnapshot(filepath.Join(root, "api"))
	} else {
		stored, err = readTag(root, since)
	}
	if err != nil {
		return err
	}
	current := snapshot{}
	var known imports
	var links linkCount
	for _, module := range modules.Libraries {
		if err := load(filepath.Join(root, module.Dir), current, &known, &links); err != nil {
			return err
		}
	}
	for _, link := range links.broken {
		fmt.Fprintln(out, "BROKEN LINK: ", strings.TrimPrefix(link, root+"/"))
	}
	names, linked := exported(known.packages[prefix]), links.valid[prefix]
	fmt.Fprintf(out, "the root package exports %d names (at most %d), its comments have %d links (at least %d)\n", names, mostNames, linked, leastLinks)
	breaking, other, err := compare(stored, current, &known)
	if err != nil {
		return err
	}
	for _, change := range other {
		fmt.Fprintln(out, "compatible:  ", change)
	}
	for _, change := range breaking {
		fmt.Fprintln(out, "INCOMPATIBLE:", change)
	}
	switch {
	case since != "":
		return nil
	case len(breaking) > 0 && !accept:
		fmt.Fprint(out, broken)
		return errors.New("apicheck: incompatible changes")
	case write:
		return current.write(filepath.Join(root, "api"))
	case !current.equal(stored):
		fmt.Fprint(out, behind)
		return errors.New("apicheck: the snapshot is not up to date")
	}
	fmt.Fprintf(out, "the API of %d packages is that of api/\n", len(current))
	return limits(names, linked, len(links.broken))
}

// limits returns an error if a count is beyond its limit.
func limits(names, linked, broken int) error {
	var errs []error
	if names > mostNames {
		errs = append(errs, fmt.Errorf("apicheck: the root package exports %d names, at most %d are allowed", names, mostNames))
	}
	if linked < leastLinks {
		errs = append(errs, fmt.Errorf("apicheck: the comments of the root package have %d links, at least %d are needed", linked, leastLinks))
	}
	if broken > 0 {
		errs = append(errs, fmt.Errorf("apicheck: %d links lead to nothing that is exported", broken))
	}
	return errors.Join(errs...)
}

// exported returns the number of top-level names that a package exports.
func exported(p *types.Package) (n int) {
	for _, name := range p.Scope().Names() {
		if token.IsExported(name) {
			n++
		}
	}
	return n
}

// Advice after a failure.
const (
	broken = `
These changes break programs that compile today; docs/compatibility.md says which are
allowed when. If it was not meant, take it back: keep the old name, mark it Deprecated,
and add the new one beside it. If it is meant:
    go run -C internal/release ./apicheck -accept
and say in CHANGELOG.md, under "Changed" or "Removed", what users have to do.
`
	behind = `
Nothing here breaks a program, but the snapshot in api/ is not up to date:
    go run -C internal/release ./apicheck -write
and commit what it has changed, with a line under "Added" in CHANGELOG.md.
`
)
