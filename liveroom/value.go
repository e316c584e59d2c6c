package liveroom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/wechatws/wechatws/internal/printable"
)

// A Value is an id or a price. In JSON some backends write it as a string, others as a
// number; it is encoded in the form in which it was decoded, or as made by [Str] or [Num].
// The zero Value is an empty string.
//
// Values are compared with [Value.Equal]: Str("1") and Num(1) are the same id. They cannot
// be compared with ==, nor be keys of a map: use [Value.String] for that.
type Value struct {
	_      [0]func() // not comparable
	text   string
	number bool
}

// Str returns a Value that is a string in JSON.
func Str(s string) Value { return Value{text: s} }

// Num returns a Value that is a number in JSON.
func Num[N ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](n N) Value {
	return Value{text: fmt.Sprint(n), number: true}
}

// String returns the text, or the number as it was written.
func (v Value) String() string { return v.text }

// Equal reports whether v and other have the same [Value.String], whether they are strings
// or numbers in JSON.
func (v Value) Equal(other Value) bool { return v.text == other.text }

// IsZero reports whether v is empty.
func (v Value) IsZero() bool { return v.text == "" }

// MarshalJSON implements [json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) {
	if v.number {
		return []byte(v.text), nil
	}
	return json.Marshal(v.text)
}

// UnmarshalJSON implements [json.Unmarshaler]. It accepts a string, a number, or null,
// which is the zero Value.
func (v *Value) UnmarshalJSON(data []byte) error {
	text, kind, err := scalar(data)
	switch {
	case err != nil:
		return err
	case kind == isOther:
		return unfit(data, "a string or a number")
	}
	*v = Value{text: text, number: kind == isNumber}
	return nil
}

// A Text is a string that may be a number in JSON: PHP backends with JSON_NUMERIC_CHECK
// send the comment "666" as a number. Null is the empty string.
type Text string

// UnmarshalJSON implements [json.Unmarshaler]. It accepts a string, a number, or null.
func (t *Text) UnmarshalJSON(data []byte) error {
	text, kind, err := scalar(data)
	switch {
	case err != nil:
		return err
	case kind == isOther:
		return unfit(data, "a string or a number")
	}
	*t = Text(text)
	return nil
}

// A Number is a count that may be a string in JSON. Null and "" are 0.
type Number int64

// UnmarshalJSON implements [json.Unmarshaler]. It accepts whole numbers, in any notation.
func (n *Number) UnmarshalJSON(data []byte) error {
	text, kind, err := scalar(data)
	if err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	if kind != isOther && text == "" {
		*n = 0
		return nil
	}
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		*n = Number(whole)
		return nil
	}
	f, err := strconv.ParseFloat(text, 64) // 12.0, 1e3
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return unfit(data, "a whole number")
	}
	*n = Number(f)
	return nil
}

const (
	isNull = iota
	isString
	isNumber
	isOther
)

// scalar decodes a JSON value that is neither a list nor an object.
func scalar(data []byte) (text string, kind int, err error) {
	data = trim(data)
	switch {
	case len(data) == 0:
		return "", isOther, unfit(data, "a JSON value")
	case string(data) == "null":
		return "", isNull, nil
	case data[0] == '"':
		err = json.Unmarshal(data, &text)
		return text, isString, err
	case data[0] == '-' || data[0] >= '0' && data[0] <= '9':
		var n json.Number
		err = json.Unmarshal(data, &n)
		return n.String(), isNumber, err
	}
	return "", isOther, nil
}

// trim removes JSON white space.
func trim(data []byte) []byte { return bytes.Trim(data, " \t\r\n") }

// unfit returns an error with the beginning of data, which may be large.
func unfit(data []byte, want string) error {
	return fmt.Errorf("liveroom: %s is not %s", printable.Quote(string(data)), want)
}

// History is a list of earlier comments, oldest first. PHP encodes an empty list as [] or
// {}, an absent one as null, and a list with gaps as an object; items that are not
// comments are skipped. Of a longer list the newest 10,000 items are decoded.
type History []Comment

const maxHistory = 10_000

// UnmarshalJSON implements [json.Unmarshaler].
func (h *History) UnmarshalJSON(data []byte) error {
	items, err := values(trim(data))
	if err != nil {
		return err
	}
	*h = nil
	for _, item := range items {
		var c struct {
			Comment
			Name Text `json:"name"`
		}
		if json.Unmarshal(item, &c) != nil || c.FromName == "" && c.Name == "" && c.Content == "" {
			continue
		}
		if c.FromName == "" {
			c.FromName = c.Name
		}
		*h = append(*h, c.Comment)
	}
	return nil
}

// values returns the newest values of a list or an object, in their order and undecoded, in
// one pass over data.
func values(data []byte) (items [][]byte, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	kind := d.PeekKind()
	switch kind {
	case '[', '{':
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
	default:
		switch string(data) {
		case "null", `""`, "false":
			return nil, nil
		}
		if !json.Valid(data) {
			return nil, unfit(data, "valid JSON")
		}
		return nil, unfit(data, "a list of comments")
	}
	for k := d.PeekKind(); k != ']' && k != '}'; k = d.PeekKind() {
		if kind == '{' {
			if err := d.SkipValue(); err != nil { // the key
				return nil, err
			}
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		if len(items) == 2*maxHistory {
			items = items[:copy(items, items[maxHistory:])]
		}
		end := d.InputOffset()
		items = append(items, data[end-int64(len(value)):end])
	}
	if _, err := d.ReadToken(); err != nil { // the end
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, unfit(data, "valid JSON")
	}
	return items[max(0, len(items)-maxHistory):], nil
}
