package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A table is the result of a trial, as text.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

// print writes the table for a terminal.
func (t table) print(w io.Writer) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "\n%s\n", t.title)
	if t.note != "" {
		fmt.Fprintln(w, t.note)
	}
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprint(w, cell, pad)
			} else {
				fmt.Fprint(w, "  ", pad, cell)
			}
		}
		fmt.Fprintln(w)
	}
}

// markdown writes the table for a document, with a picture if there is one.
func (t table) markdown(w io.Writer, picture string) {
	fmt.Fprintf(w, "\n### %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(w, "%s\n\n", t.note)
	}
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	line(strings.Split("---"+strings.Repeat(" ---:", len(t.head)-1), " "))
	for _, row := range t.rows {
		line(row)
	}
	if picture != "" {
		fmt.Fprintf(w, "\n![%s](%s)\n", t.title, picture)
	}
}
