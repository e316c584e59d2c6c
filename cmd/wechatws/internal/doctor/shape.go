package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// TypeNames are the usual names of the field that messages are routed by, the likelier one first.
var TypeNames = []string{
	"msg_type", "type", "event", "op", "t", "method", "action", "cmd", "command", "kind", "post_type",
	"janus", "msgType", "messageType", "message_type", "event_type", "eventType", "evt",
}

// headers are the usual names of the object that has such a field.
var headers = []string{"header", "head", "meta", "message", "data", "body"}

// valueOf decodes a text message; ok is false if it is not one JSON value.
func valueOf(e event) (v any, ok bool) {
	if !e.text || e.size > maxKept {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(e.data))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return nil, false
	}
	return v, true
}

// at returns the scalar at a path as text.
func at(v any, path []string) (string, bool) {
	for _, name := range path {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(inner) {
				return "", false
			}
			v = inner[i]
		default:
			return "", false
		}
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// typeOf returns the type of a message at a path, or "".
func typeOf(e event, path []string) string {
	if v, ok := valueOf(e); ok {
		s, _ := at(v, path)
		return s
	}
	return ""
}

// candidates are the paths that a type may have, the likelier ones first.
func candidates() (paths [][]string) {
	for _, name := range TypeNames {
		paths = append(paths, []string{name})
	}
	for _, header := range headers {
		for _, name := range TypeNames {
			paths = append(paths, []string{header, name})
		}
	}
	return append(paths, []string{"0"}) // ["EVENT", {…}]
}

// guess returns the path that most messages have their type at, and how many of them.
func guess(seen []event) (path []string, n int) {
	paths := candidates()
	found := make([]int, len(paths))
	for _, e := range seen {
		v, ok := valueOf(e)
		if !ok {
			continue
		}
		for i, candidate := range paths {
			if s, _ := at(v, candidate); s != "" && len(s) <= maxType {
				found[i]++
			}
		}
	}
	for i, candidate := range paths {
		if found[i] > n && (n == 0 || i < len(paths)-1) { // an array's element only if nothing else is one
			path, n = candidate, found[i]
		}
	}
	return path, n
}

// maxType is how long a type, or the name of a field, is at most, in bytes. Longer ones are not shown: a
// part of one may be a part of a secret.
const maxType = 64

// short returns a name or a type for people.
func short(s string) string {
	if len(s) > maxType {
		return fmt.Sprintf("(of %d bytes)", len(s))
	}
	return printable(s)
}

// maxFields is how many fields of an object a shape shows.
const maxFields = 16

// shape describes a JSON value without its values: names, kinds, and lengths.
func shape(v any, depth int) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		switch {
		case v == "":
			return `""`
		case isNumber(v):
			return "number in a string"
		}
		return fmt.Sprintf("string of %d", utf8.RuneCountInString(v))
	case []any:
		switch {
		case len(v) == 0:
			return "[]"
		case depth == 0:
			return fmt.Sprintf("[%d …]", len(v))
		}
		return fmt.Sprintf("[%d × %s]", len(v), shape(v[0], depth-1))
	case map[string]any:
		switch {
		case len(v) == 0:
			return "{}"
		case depth == 0:
			return "{…}"
		}
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if len(fields) == maxFields {
				fields = append(fields, "…")
				break
			}
			fields = append(fields, short(name)+": "+shape(v[name], depth-1))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	}
	return "unknown"
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && strings.Trim(s, "0123456789.-") == ""
}

// describe describes a message without its values, apart from its type.
func describe(e event, path []string) string {
	v, ok := valueOf(e)
	switch {
	case e.data == nil && e.size > 0:
		return fmt.Sprintf("%s, larger than the default of WithReadLimit", size(e.size))
	case !e.text:
		return "binary, " + size(e.size) + compressed(e.data)
	case !ok:
		return "text that is not one JSON value, " + size(e.size)
	}
	s := shape(v, 3)
	if t, ok := at(v, path); ok {
		return fmt.Sprintf("type %q, %s: %s", short(t), size(e.size), s)
	}
	return fmt.Sprintf("no type, %s: %s", size(e.size), s)
}

// compressed says with what binary data seems to be compressed.
func compressed(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return ", gzip"
	case len(data) > 2 && data[0] == 0x78 && (int(data[0])<<8|int(data[1]))%31 == 0:
		return ", zlib"
	}
	return ""
}
