package liveroom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wechatws/wechatws/internal/printable"
)

// A Value is an id or a price: in JSON a string or a number, and backends differ.
// It is written in the form that it has: as it was read, or as Str and Num say.
// The zero Value is an empty string. Two Values mean the same when their String
// is the same.
type Value struct {
	text   string
	number bool
}

// Str is a Value that is a string in JSON.
func Str(s string) Value { return Value{text: s} }

// Num is a Value that is a number in JSON.
func Num[N ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](n N) Value {
	return Value{text: fmt.Sprint(n), number: true}
}

// String is the text, or the number as it was written.
func (v Value) String() string { return v.text }

// IsZero tells whether there is none.
func (v Value) IsZero() bool { return v.text == "" }

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.number {
		return []byte(v.text), nil
	}
	return json.Marshal(v.text)
}

// UnmarshalJSON implements json.Unmarshaler. It takes a string, a number, or
// null, which is none.
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

// A Text is a string that may arrive as a number: a backend that lets PHP check
// for numbers sends the comment 666 as one. Null is the empty string.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
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

// A Number is a count that may arrive as a string. Null and "" are 0.
type Number int64

// UnmarshalJSON implements json.Unmarshaler. It takes whole numbers only, in any
// notation.
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

// scalar reads a JSON value that is no list and no object.
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

// trim takes away what JSON calls white space.
func trim(data []byte) []byte { return bytes.Trim(data, " \t\r\n") }

// unfit says what was found, shortly: it may be large.
func unfit(data []byte, want string) error {
	return fmt.Errorf("liveroom: %s is not %s", printable.Quote(string(data)), want)
}

// History is a list of earlier comments, oldest first. PHP writes an empty one as
// [] or {}, none as null, and a list with gaps as an object; items that are no
// comments are left out.
type History []Comment

// UnmarshalJSON implements json.Unmarshaler.
func (h *History) UnmarshalJSON(data []byte) error {
	var items []json.RawMessage
	data = trim(data)
	switch {
	case !json.Valid(data):
		return unfit(data, "valid JSON")
	case data[0] == '[':
		if err := json.Unmarshal(data, &items); err != nil {
			return err
		}
	case data[0] == '{':
		var err error
		if items, err = members(data); err != nil {
			return err
		}
	case string(data) == "null", string(data) == `""`, string(data) == "false":
	default:
		return unfit(data, "a list of comments")
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

// members are the values of an object, in their order.
func members(data []byte) (values []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // {
		return nil, err
	}
	for d.More() {
		if _, err := d.Token(); err != nil { // the key
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	_, err = d.Token() // }
	return values, err
}
