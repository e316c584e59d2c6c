package main

import (
	"cmp"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// settings are the flags.
type settings struct {
	workloads, only []string
	rounds          int
	scale           float64
	window          time.Duration // for which a fleet is watched
	interval        time.Duration // between the heartbeats of a fleet, and before a reconnect
	out             string
	profile         string // where the CPU profiles of fleets go
}

// times scales a number of messages or clients.
func (s settings) times(n int) int { return max(1, int(math.Round(float64(n)*s.scale))) }

// chosen reports whether a contender takes part: by its name, or by the part of it before a
// hyphen or a plus. A name after = selects only the contender of exactly that name.
func (s settings) chosen(name string) bool {
	return len(s.only) == 0 || slices.ContainsFunc(s.only, func(only string) bool {
		if name == strings.TrimPrefix(only, "=") {
			return true
		}
		rest, ok := strings.CutPrefix(name, only)
		return ok && strings.ContainsRune("+-", rune(rest[0]))
	})
}

// A trial is the same work for several contenders, with one table.
type trial struct {
	workload string // W1 to W6, W1t and W1r
	title    string
	note     string
	rounds   int // zero: as many as the settings say
	entries  []entry
	columns  []column
	chart    metric
	run      func(e entry) (result, error)
	// draw makes another chart, if the bars of one metric are not enough.
	draw func(path string) error
}

// An entry is one row.
type entry struct {
	name  string // a contender's, and perhaps how it decodes
	size  int    // messages or clients
	label string // instead of the name
	floor string // the label of the row to compare with
}

func (e entry) String() string { return cmp.Or(e.label, e.name) }

// entries are rows of one size, compared with the first of them.
func entries(size int, names ...string) []entry {
	var all []entry
	for _, name := range names {
		all = append(all, entry{name: name, size: size, floor: names[0]})
	}
	return all
}

// results are the results of one row, one for each round.
type results []result

// quartiles returns the quartiles of a metric.
func (r results) quartiles(m metric) (q1, median, q3 float64) {
	var values []float64
	for _, one := range r {
		values = append(values, one[m])
	}
	slices.Sort(values)
	at := func(part float64) float64 { // interpolated
		place := part * float64(len(values)-1)
		below, above := values[int(place)], values[int(math.Ceil(place))]
		return below + (above-below)*(place-math.Floor(place))
	}
	return at(0.25), at(0.5), at(0.75)
}

func (r results) median(m metric) float64 {
	_, median, _ := r.quartiles(m)
	return median
}

// patience is the longest time of one run, which does not end if a message is lost.
const patience = 5 * time.Minute

// race runs every entry once a round, each round in a new order, so that other load of the
// machine affects all of them alike.
func (t trial) race(rounds int) (map[string]results, error) {
	all := map[string]results{}
	for range cmp.Or(t.rounds, rounds) {
		for _, i := range rand.Perm(len(t.entries)) {
			e := t.entries[i]
			stuck := time.AfterFunc(patience, func() { log.Fatalf("bench: %s, %v: something has not come for %v", t.title, e, patience) })
			r, err := t.run(e)
			stuck.Stop()
			if err != nil {
				return nil, fmt.Errorf("%s, %v: %w", t.title, e, err)
			}
			all[e.String()] = append(all[e.String()], r)
		}
	}
	return all, nil
}

// A column shows the median of a metric.
type column struct {
	metric
	digits int
	spread bool // the quartiles too
	ratio  bool // to the entry's floor too
	lead   bool // how many times cheaper than gorilla, too
}

// table makes the table of the results of race.
func (t trial) table(all map[string]results) table {
	out := table{title: t.workload + " " + t.title, note: t.note, head: []string{""}}
	for _, c := range t.columns {
		out.head = append(out.head, string(c.metric))
		if c.spread {
			out.head = append(out.head, "q1–q3")
		}
		if c.ratio {
			out.head = append(out.head, "× floor")
		}
		if c.lead {
			out.head = append(out.head, "gorilla ÷ it")
		}
	}
	for _, e := range t.entries {
		row := []string{e.String()}
		for _, c := range t.columns {
			q1, median, q3 := all[e.String()].quartiles(c.metric)
			row = append(row, figure(median, c.digits))
			if c.spread {
				row = append(row, figure(q1, c.digits)+"–"+figure(q3, c.digits))
			}
			if c.ratio {
				row = append(row, quotient(median, all[e.floor], c.metric))
			}
			if c.lead {
				row = append(row, lead(all["gorilla"], c.metric, median))
			}
		}
		out.rows = append(out.rows, row)
	}
	return out
}

func quotient(value float64, floor results, m metric) string {
	if len(floor) == 0 || floor.median(m) == 0 {
		return "–"
	}
	return figure(value/floor.median(m), 2)
}

func lead(gorilla results, m metric, value float64) string {
	if len(gorilla) == 0 || value == 0 {
		return "–"
	}
	return figure(gorilla.median(m)/value, 2)
}

// figure formats a number with separated thousands.
func figure(value float64, digits int) string {
	text := fmt.Sprintf("%.*f", digits, value)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return whole + rest
}
