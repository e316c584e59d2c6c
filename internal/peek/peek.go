// Package peek finds the type of a JSON message without decoding the message. A router needs
// the type before it knows the Go type to decode into. Decoding every message twice, first into
// a struct with only the type field, costs a hundred times as much as reading a type that
// stands first, and six allocations a message; see BenchmarkType.
//
// The time is linear in the size of the message. Memory is allocated only for names and types
// with escapes, and for nesting beyond 32 levels: a byte a level. There is no recursion, so that
// nested input cannot exhaust the stack; more than 10,000 levels are invalid, as in
// encoding/json. UTF-8 is not checked.
package peek

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
	"strconv"
)

// The errors of [Type]. Package wechatws exports them under the same names.
var (
	ErrNoType  = errors.New("no type")
	ErrNotJSON = errors.New("not valid JSON")
)

// maxDepth is how deep JSON may be nested, the same as in encoding/json.
const maxDepth = 10000

// bom is the byte order mark that some servers put in front of JSON.
const bom = "\xef\xbb\xbf"

// Type returns the value at a path: the content of a string, or the text of a number or boolean.
// It may be a part of data. The elements of the path are names of fields, that JSON writes
// without escapes; one that is a decimal number is also the index of an array's element. Type
// returns [ErrNoType] if nothing is there, or another value. Of fields of one name the first
// counts. It reads up to the value, or to the end if there is none, and returns [ErrNotJSON] if
// data is not valid JSON up to there; decoding the message checks the rest.
func Type(data []byte, path []string) ([]byte, error) {
	if len(path) == 1 {
		if typ, ok := leading(data, path[0]); ok {
			return typ, nil
		}
	}
	raw, ok := Token(data, path)
	if !ok {
		return nil, ErrNotJSON
	}
	if len(raw) > 0 {
		switch raw[0] {
		case '"':
			return unquote(raw), nil
		case '{', '[', 'n':
		default: // a number or a boolean
			return raw, nil
		}
	}
	return nil, ErrNoType
}

// Token returns the first token of the value at a path, as [Type] finds it: a whole string with its
// quotes, number, boolean or null, or an opening bracket; nil if nothing is there. ok is false if
// data is not valid JSON up to there.
func Token(data []byte, path []string) (token []byte, ok bool) {
	s := newScanner(data)
	return s.scan(path)
}

// Missing says where the path of a message for which [Type] has returned [ErrNoType] ends: it
// returns how many of its elements are there, and the first byte of the value at the last of
// these, which is that of the message for none.
func Missing(data []byte, path []string) (found int, first byte) {
	s := newScanner(data)
	_, _ = s.scan(path)
	return s.found, s.first
}

// Valid reports whether data is one valid JSON value.
func Valid(data []byte) bool {
	s := newScanner(data)
	_, ok := s.scan(nil)
	return ok
}

// Text returns data without a byte order mark in front.
func Text(data []byte) []byte { return bytes.TrimPrefix(data, []byte(bom)) }

// leading is Type for messages that begin with the field, such as
// {"msg_type":"message", which are nearly all.
func leading(data []byte, field string) (typ []byte, ok bool) {
	name := len(`{"`)
	value := name + len(field) + len(`":"`)
	if len(data) <= value || string(data[:name]) != `{"` || string(data[name:name+len(field)]) != field || string(data[name+len(field):value]) != `":"` {
		return nil, false
	}
	end := plain(data, value)
	return data[value:min(end, len(data))], end < len(data) && data[end] == '"'
}

// unquote returns the content of a valid JSON string.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return []byte(s)
}

// A scanner reads JSON text. Each method moves past the element that it is named after, and
// reports whether it was there.
type scanner struct {
	data []byte
	at   int

	found int  // how many elements of the path are there
	first byte // the first byte of the value that these lead to
}

func newScanner(data []byte) scanner { return scanner{data: data, at: len(data) - len(Text(data))} }

// scan reads up to the value at the path, whose first token it returns. If the path is empty,
// or the value is not there, it reads everything, or up to the value at which the path ends.
func (s *scanner) scan(path []string) (value []byte, ok bool) {
	var room [32]byte
	open := room[:0]        // open brackets
	wanted := len(path) > 0 // the next value is at path[:s.found]
	index, last := 0, -1    // of the array there: the next element, and the wanted one
	for {
		s.space()
		start := s.at
		entered := false
		c := s.next()
		switch c {
		case '{', '[':
			if len(open) == maxDepth {
				return nil, false
			}
			s.at++
			open = append(open, c)
			s.space()
			entered = s.next() != closing(c)
			ok = true
		case '"':
			ok = s.str()
		case 't', 'f', 'n':
			ok = s.literal()
		default:
			ok = s.number()
		}
		if !ok {
			return nil, false
		}
		if wanted {
			s.first = c
			switch {
			case s.found == len(path):
				return s.data[start:s.at], s.ended(start, open)
			case !entered && s.found > 0:
				return nil, s.ended(start, open)
			case c == '[':
				index, last = 0, indexOf(path[s.found])
			}
		}
		if !entered && !s.leave(&open) {
			return nil, len(open) == 0 && s.at == len(s.data)
		}
		// Another value follows: in an object, after its name.
		inside := len(open) == s.found+1 && s.found < len(path) // in the one at path[:s.found]
		wanted = false
		switch {
		case len(open) <= s.found: // that has ended
			return nil, true
		case open[len(open)-1] == '{':
			name, ok := s.key()
			if !ok {
				return nil, false
			}
			wanted = inside && unquoteIs(name, path[s.found])
		case inside:
			wanted = index == last
			index++
		}
		if wanted {
			s.found++
		}
	}
}

// indexOf returns the index that an element of a path is; -1: none.
func indexOf(element string) int {
	if element == "" || element[0] < '0' || element[0] > '9' {
		return -1
	}
	n, err := strconv.Atoi(element)
	if err != nil {
		return -1
	}
	return n
}

// closing returns the bracket that closes c, which comes two later in ASCII for both kinds.
func closing(c byte) byte { return c + 2 }

// leave moves past closing brackets and the comma after them, and reports whether there was a
// comma.
func (s *scanner) leave(open *[]byte) bool {
	for {
		s.space()
		n := len(*open)
		switch c := s.next(); {
		case n == 0:
			return false
		case c == closing((*open)[n-1]):
			s.at++
			*open = (*open)[:n-1]
		case c == ',':
			s.at++
			return true
		default:
			return false
		}
	}
}

// key moves past a field's name, which it returns in quotes, and its colon.
func (s *scanner) key() (name []byte, ok bool) {
	s.space()
	start := s.at
	if !s.str() {
		return nil, false
	}
	name = s.data[start:s.at]
	s.space()
	if s.next() != ':' {
		return nil, false
	}
	s.at++
	return name, true
}

// unquoteIs reports whether the content of a valid JSON string is s, which needs no escapes. It
// does not allocate unless there is an escape.
func unquoteIs(raw []byte, s string) bool {
	if string(raw[1:len(raw)-1]) == s {
		return true
	}
	escaped := len(raw)-2 > len(s) && bytes.IndexByte(raw, '\\') >= 0 // an escape is longer than its character
	return escaped && string(unquote(raw)) == s
}

// next returns the next byte without moving past it, or 0 at the end.
func (s *scanner) next() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.data) && s.data[s.at] <= ' ' {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) str() bool {
	if s.next() != '"' {
		return false
	}
	for i := s.at + 1; ; {
		i = plain(s.data, i)
		if i >= len(s.data) {
			return false
		}
		switch s.data[i] {
		case '"':
			s.at = i + 1
			return true
		case '\\':
			n := escape(s.data[i:])
			if n == 0 {
				return false
			}
			i += n
		default:
			return false
		}
	}
}

// plain returns the index of the next quote, backslash or control character in a string. It
// compares eight bytes at a time.
func plain(data []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; i+8 <= len(data); i += 8 {
		x := binary.LittleEndian.Uint64(data[i:])
		quote, backslash := x^('"'*ones), x^('\\'*ones)
		found := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-' '*ones)&^x) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(data) && data[i] != '"' && data[i] != '\\' && data[i] >= ' ' {
		i++
	}
	return i
}

// escape returns the length of the escape that data begins with, or 0 if there is none.
func escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(data) >= 6 && isHex(data[2]) && isHex(data[3]) && isHex(data[4]) && isHex(data[5]) {
			return 6
		}
	}
	return 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *scanner) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.data[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.at += len(word)
			return true
		}
	}
	return false
}

func (s *scanner) number() bool {
	if s.next() == '-' {
		s.at++
	}
	if s.next() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.next() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if c := s.next(); c == 'e' || c == 'E' {
		s.at++
		if c := s.next(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits()
	}
	return true
}

// ended reports whether the token that began at start ends here: 12 may be the beginning of
// 123, or of invalid JSON.
func (s *scanner) ended(start int, open []byte) bool {
	switch s.data[start] {
	case '"', '{', '[':
		return true
	}
	switch c := s.next(); c {
	case ' ', '\t', '\r', '\n', ',':
		return true
	default:
		return c == closing(open[len(open)-1])
	}
}

// digits moves past one digit or more.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
