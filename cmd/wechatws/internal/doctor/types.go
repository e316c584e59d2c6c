package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws"
)

var typeCheck = check{name: "type", run: (*examination).types, open: true}

func (x *examination) types() Finding {
	x.guessPath()
	switch {
	case len(x.seen) == 0:
		return Finding{Verdict: Unknown, Summary: "no message has arrived to find the type in"}
	case !x.typed:
		return Finding{Verdict: Note, Summary: "no usual field has a type: see WithTypeField, WithTypePath and WithTypeFunc; On(client, \"\", …) receives messages without one"}
	}
	_, with := x.typeNames()
	f := Finding{Verdict: OK, Summary: fmt.Sprintf("%s has it, the default, in %d of %d messages", field(x.path), with, len(x.seen))}
	f.Evidence = x.largestOfEach()
	if len(x.path) == 1 && x.path[0] == "msg_type" {
		return f
	}
	f.Verdict, f.Summary = Needs, fmt.Sprintf("%s has it, in %d of %d messages", field(x.path), with, len(x.seen))
	option := Option{Code: "wechatws.WithTypePath(" + strings.Join(quoted(x.path), ", ") + ")", sets: "type", value: wechatws.WithTypePath(x.path...)}
	if _, err := strconv.Atoi(x.path[0]); len(x.path) == 1 && err != nil {
		option.Code, option.value = "wechatws.WithTypeField("+strconv.Quote(x.path[0])+")", wechatws.WithTypeField(x.path[0])
	}
	f.Options = []Option{option}
	return f
}

// largestOfEach describes the largest message of each type.
func (x *examination) largestOfEach() (lines []string) {
	const most = 12
	largest := map[string]event{}
	for _, e := range x.seen {
		if kind := typeOf(e, x.path); e.text && e.size >= largest[kind].size {
			largest[kind] = e
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(largest)) {
		if len(lines) == most {
			return append(lines, fmt.Sprintf("… and %d other types", len(largest)-most))
		}
		lines = append(lines, describe(largest[kind], x.path))
	}
	return lines
}

// typeNames returns the types that messages had, and how many messages had one.
func (x *examination) typeNames() (names []string, with int) {
	const most = 12
	for _, e := range x.seen {
		s := typeOf(e, x.path)
		if s == "" {
			continue
		}
		with++
		if s = strconv.Quote(printable(s)); !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return names, with
}

// field names a path for people.
func field(path []string) string {
	if _, err := strconv.Atoi(path[0]); err == nil && len(path) == 1 {
		return "the first element of an array"
	}
	return "the field " + strings.Join(path, ".")
}

// guessPath takes the path of types from the messages so far.
func (x *examination) guessPath() {
	if path, n := guess(x.seen); n > 0 {
		x.path, x.typed = path, true
	}
}
