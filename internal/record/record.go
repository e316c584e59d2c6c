// Package record writes structs to logs and to JSON, with the names in their json tags. A
// duration is written as text, such as "1.5s", and an error as its text. Unexported fields,
// fields with the tag "-", and zero values of fields with omitzero are left out.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	errorType    = reflect.TypeFor[error]()
)

// Log returns a struct as a group of attributes.
func Log(v any) slog.Value {
	var group []slog.Attr
	for name, field := range fields(reflect.ValueOf(v)) {
		if !field.omitted() {
			group = append(group, slog.Any(name, field.shown()))
		}
	}
	return slog.GroupValue(group...)
}

// JSON returns a struct as a JSON object.
func JSON(v any) ([]byte, error) {
	b := []byte{'{'}
	for name, field := range fields(reflect.ValueOf(v)) {
		if field.omitted() {
			continue
		}
		text, err := json.Marshal(field.shown())
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(append(b, '"'), name...), `":`...), text...)
	}
	return append(b, '}'), nil
}

// Read sets the fields of the struct that p points to from the output of [JSON]. Fields that are
// missing in data keep their values. Errors are made from their text.
func Read(data []byte, p any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	for name, field := range fields(reflect.ValueOf(p).Elem()) {
		text, ok := object[name]
		if !ok || string(text) == "null" {
			continue
		}
		if err := field.read(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// A field is a field of a struct that is written.
type field struct {
	reflect.Value
	omitzero bool
}

// fields yields the fields that are written, with their names.
func fields(v reflect.Value) iter.Seq2[string, field] {
	return func(yield func(string, field) bool) {
		for i := range v.NumField() {
			about := v.Type().Field(i)
			options := strings.Split(about.Tag.Get("json"), ",")
			if !about.IsExported() || options[0] == "-" {
				continue
			}
			if !yield(options[0], field{v.Field(i), slices.Contains(options[1:], "omitzero")}) {
				return
			}
		}
	}
}

// omitted reports whether the field is left out because it is zero.
func (f field) omitted() bool { return f.omitzero && f.IsZero() }

// shown returns the value that is written.
func (f field) shown() any {
	switch v := f.Interface().(type) {
	case time.Duration:
		return v.String()
	case error:
		return fmt.Sprint(v) // unlike Error, it does not panic for a nil pointer
	default:
		return v
	}
}

// read sets the field from the value that was written.
func (f field) read(data []byte) error {
	if f.Type() != durationType && f.Type() != errorType {
		return json.Unmarshal(data, f.Addr().Interface())
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if f.Type() == errorType {
		f.Set(reflect.ValueOf(errors.New(text)))
		return nil
	}
	d, err := time.ParseDuration(text)
	f.SetInt(int64(d))
	return err
}
