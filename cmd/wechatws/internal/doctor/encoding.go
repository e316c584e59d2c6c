package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wechatws/wechatws"
)

var encodingCheck = check{name: "encoding", run: (*examination).encoding, open: true}

// encoding says how messages are written, so that a program declares the right types.
func (x *examination) encoding() Finding {
	if len(x.seen) == 0 {
		return Finding{Verdict: Unknown, Summary: "no message has arrived"}
	}
	var binary, lines, other, wrong, escaped, largest int
	kinds := map[string][]string{} // of the fields, by type and path
	for _, e := range x.seen {
		largest = max(largest, e.size)
		v, ok := valueOf(e)
		switch {
		case !e.text:
			binary++
		case !utf8.Valid(e.data) && e.size <= maxKept:
			wrong++
		case !ok && manyDocuments(e.data):
			lines++
		case !ok:
			other++
		default:
			if bytes.Contains(e.data, []byte(`\u`)) || bytes.Contains(e.data, []byte(`\/`)) {
				escaped++
			}
			fieldKinds(v, short(typeOf(e, x.path)), 3, kinds)
		}
	}
	f := Finding{Verdict: OK, Summary: "JSON, one document a message"}
	note := func(format string, args ...any) {
		f.Verdict, f.Evidence = Note, append(f.Evidence, fmt.Sprintf(format, args...))
	}
	if binary+lines+other > 0 {
		f.Summary = "not only JSON, one document a message"
	}
	if binary > 0 {
		note("%d of %d messages are binary%s: see WithUnpack", binary, len(x.seen), x.packed())
	}
	if lines > 0 {
		note("%d messages hold several JSON documents: see WithUnpack", lines)
	}
	if other > 0 {
		note("%d text messages are not JSON: see WithTypeFunc, OnMessage", other)
	}
	if wrong > 0 {
		note("%d text messages are not UTF-8: they are skipped", wrong)
	}
	for _, where := range slices.Sorted(maps.Keys(kinds)) {
		switch k := kinds[where]; {
		case slices.Contains(k, "number in a string") && onlyNumbers(k):
			note("%s: a number in a string; decode it with `json:\",string\"`", where)
		case len(k) > 1:
			note("%s: %s; its Go type must take all", where, strings.Join(k, ", or "))
		}
	}
	if escaped > 0 {
		f.Evidence = append(f.Evidence, `text has escapes (\uXXXX or \/) that JSON does not need: Decode handles them`)
	}
	f.Evidence = append(f.Evidence, x.identifiers()...)
	if largest > readLimit {
		limit := int64(1) << bits.Len64(uint64(largest))
		f.Verdict = Needs
		f.Evidence = append(f.Evidence, fmt.Sprintf("the largest message has %s: the default limit, 1 MiB, skips it", size(largest)))
		f.Options = []Option{{Code: fmt.Sprintf("wechatws.WithReadLimit(%d)", limit), sets: "limit", value: wechatws.WithReadLimit(limit)}}
	}
	return f
}

// packed says how the binary messages seem to be compressed.
func (x *examination) packed() string {
	for _, e := range x.seen {
		if s := compressed(e.data); !e.text && s != "" {
			return s
		}
	}
	return ""
}

// manyDocuments reports whether data is several JSON documents.
func manyDocuments(data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	for n := 0; ; n++ {
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return n > 1 && d.InputOffset() >= int64(len(bytes.TrimSpace(data)))
		}
	}
}

// maxKinds is how many fields have their kinds compared.
const maxKinds = 200

// fieldKinds adds the kinds of values at each path.
func fieldKinds(v any, where string, depth int, kinds map[string][]string) {
	if depth == 0 {
		return
	}
	add := func(name string, inner any) {
		at := strings.TrimPrefix(where+"."+short(name), ".")
		if kinds[at] == nil && len(kinds) == maxKinds {
			return
		}
		if k := kindOf(inner); k != "" && !slices.Contains(kinds[at], k) {
			kinds[at] = append(kinds[at], k)
			slices.Sort(kinds[at])
		}
		fieldKinds(inner, at, depth-1, kinds)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			add(name, inner)
		}
	case []any:
		for _, inner := range v[:min(len(v), 20)] {
			if object, ok := inner.(map[string]any); ok {
				fieldKinds(object, where+"[]", depth-1, kinds)
			}
		}
	}
}

// kindOf returns the kind of a value; empty: it says nothing.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case json.Number:
		return "number"
	case string:
		switch {
		case v == "":
			return ""
		case isNumber(v) && len(v) < 16:
			return "number in a string"
		}
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return "object"
}

func onlyNumbers(kinds []string) bool {
	return !slices.ContainsFunc(kinds, func(k string) bool { return k != "number in a string" })
}

// identifiers says which fields identify the connection, or do not.
func (x *examination) identifiers() (lines []string) {
	first := map[int]map[string]any{}
	kind := map[int]string{}
	for _, e := range x.seen {
		v, _ := valueOf(e)
		if object, ok := v.(map[string]any); ok && first[e.conn] == nil {
			first[e.conn], kind[e.conn] = object, short(typeOf(e, x.path))
		}
	}
	values := map[string]map[string]int{}
	for conn, object := range first {
		for name, v := range object {
			s, ok := v.(string)
			if ok && strings.HasSuffix(strings.ToLower(name), "id") {
				at := strings.TrimPrefix(kind[conn]+"."+short(name), ".")
				if values[at] == nil {
					values[at] = map[string]int{}
				}
				values[at][s]++
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(values)) {
		total := 0
		for _, n := range values[at] {
			total += n
		}
		switch {
		case total < 2:
		case len(values[at]) == 1:
			lines = append(lines, at+" is the same on each connection")
		case len(values[at]) == total:
			lines = append(lines, at+" is another one on each connection")
		}
	}
	return lines
}

func sortedNames(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }

// jsonText returns a value as JSON.
func jsonText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // it was decoded from JSON
	return strings.TrimSpace(b.String())
}
