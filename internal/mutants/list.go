package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is a change that makes the code wrong, so that a test must fail with it.
type mutant struct {
	number    int    // from 1
	list      string // the file in which it stands
	title     string
	edits     []edit
	tests     string // those that notice it, separated by |; empty: unknown
	explained string // why no test has to notice it; empty: one has to
}

// An edit replaces whole lines of a file.
type edit struct{ file, before, after string }

//go:embed *.txt
var lists embed.FS

// readLists returns the mutants of all lists.
func readLists() (all []mutant, err error) {
	names, err := fs.Glob(lists, "*.txt")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := lists.ReadFile(name)
		if err != nil {
			return nil, err
		}
		mutants, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for i := range mutants {
			mutants[i].list, mutants[i].number = name, len(all)+i+1
		}
		all = append(all, mutants...)
	}
	return all, nil
}

// parse reads a list. A mutant begins with its title; the file that its edits change stands
// above them, and what else is known of it below them:
//
//	# The title
//	conn.go
//	<<<<
//	whole lines, which occur once in the file
//	====
//	what replaces them; nothing: they are removed
//	>>>>
//	tests: TestOne|TestTwo
//	explained: why no test has to notice it
//
// The last two lines may be left out. The tests save time: they run first, and the others only if
// these pass.
func parse(text string) (list []mutant, err error) {
	lines := strings.SplitAfter(text, "\n")
	upTo := func(marker string) (block string, err error) {
		end := slices.Index(lines, marker+"\n")
		if end < 0 {
			return "", fmt.Errorf("%q: %s is missing", list[len(list)-1].title, marker)
		}
		block = strings.Join(lines[:end], "")
		lines = lines[end+1:]
		return block, nil
	}
	file := ""
	for len(lines) > 0 {
		line := strings.TrimSpace(lines[0])
		lines = lines[1:]
		title, begins := strings.CutPrefix(line, "# ")
		switch {
		case line == "":
			continue
		case begins:
			list, file = append(list, mutant{title: title}), ""
			continue
		case len(list) == 0:
			return nil, fmt.Errorf("%q stands before the first title", line)
		}
		m := &list[len(list)-1]
		if line == "<<<<" {
			e := edit{file: file}
			if e.before, err = upTo("===="); err == nil {
				e.after, err = upTo(">>>>")
			}
			if err != nil {
				return nil, err
			}
			m.edits = append(m.edits, e)
		} else if tests, ok := strings.CutPrefix(line, "tests: "); ok {
			m.tests = tests
		} else if why, ok := strings.CutPrefix(line, "explained: "); ok {
			m.explained = why
		} else {
			file = line
		}
	}
	return list, nil
}

// changed returns the files that m changes, with their new contents. root is the folder of the
// module.
func (m mutant) changed(root string) (files map[string]string, err error) {
	files = map[string]string{}
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count("\n"+text, "\n"+e.before); n != 1 {
			return nil, fmt.Errorf("%s: these lines occur %d times instead of once:\n%s", e.file, n, e.before)
		}
		// The lines behind it keep their numbers, for what failed tests print.
		padding := strings.Repeat("\n", max(strings.Count(e.before, "\n")-strings.Count(e.after, "\n"), 0))
		files[e.file] = strings.Replace("\n"+text, "\n"+e.before, "\n"+e.after+padding, 1)[1:]
	}
	return files, nil
}

// packages returns the folders whose tests may notice m, the nearest first. The root is the last
// one: its tests use all other packages.
func (m mutant) packages() (folders []string) {
	for _, e := range m.edits {
		if folder := path.Dir(e.file); folder != "." && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return append(folders, ".")
}
