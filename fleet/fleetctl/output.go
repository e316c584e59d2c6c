package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws"
)

// writeJSON writes one object and a newline.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// A deed is what was done with a room or a worker, as JSON.
type deed struct {
	Room   string `json:"room,omitempty"`
	Worker string `json:"worker,omitempty"`
	// DeadLetter is its ID.
	DeadLetter uint64 `json:"dead_letter,omitempty"`
	// Done is added, there (it existed already), updated, removed, moved, unpinned, sent,
	// draining, drained, replayed or dropped.
	Done string `json:"done"`
	// Undelivered is the number of messages to a removed room that had not been sent.
	Undelivered uint64 `json:"undelivered,omitempty"`
}

// say writes what was done, in words or as JSON.
func (s *settings) say(c *cobra.Command, d deed, words string, args ...any) error {
	if s.json {
		return writeJSON(c.OutOrStdout(), d)
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), wechatws.Printable(fmt.Sprintf(words, args...)))
	return err
}

// A table aligns its columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = wechatws.Printable(c) // names and messages, which any program can choose
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// place returns an endpoint without the parts that may be secret.
func place(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Opaque != "" { // user:password@host without a scheme
		return "(not a URL)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u.String()
}

func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}
