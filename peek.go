package wechatws

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// maxDepth is how deep JSON may be nested, the same as in encoding/json.
const maxDepth = 10000

// peekType returns the value of a top-level field of a JSON object: the string, or the text of
// a number or boolean. It returns ErrNoType if there is no such field, or its value is another
// one. It reads up to the first field of that name, or to the end if there is none, and returns
// ErrNotJSON if data is not valid JSON up to there; decoding the message checks the rest. It
// uses no recursion, so that nested input cannot exhaust the stack. It does not check UTF-8.
func peekType(data []byte, field string) (typ []byte, err error) {
	if typ, ok := leading(data, field); ok {
		return typ, nil
	}
	p := peeker{data: data}
	raw, ok := p.scan(field)
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

// leading is peekType for messages that begin with the field, such as
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

// isJSON reports whether data is one valid JSON value.
func isJSON(data []byte) bool {
	p := peeker{data: data}
	_, ok := p.scan("")
	return ok
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

// A peeker reads JSON text. Each method moves past the element that it is named after, and
// reports whether it was there.
type peeker struct {
	data []byte
	at   int
}

// scan reads up to the value of the top-level field, whose first token it returns. If field is
// empty, or not found, it reads everything.
func (p *peeker) scan(field string) (found []byte, ok bool) {
	var room [32]byte
	open := room[:0] // open brackets
	wanted := false  // the next value is the field's
	for {
		p.space()
		start := p.at
		entered := false
		switch c := p.peek(); c {
		case '{', '[':
			if len(open) == maxDepth {
				return nil, false
			}
			p.at++
			open = append(open, c)
			p.space()
			entered = p.peek() != closing(c)
			ok = true
		case '"':
			ok = p.str()
		case 't', 'f', 'n':
			ok = p.literal()
		default:
			ok = p.number()
		}
		if !ok {
			return nil, false
		}
		if wanted {
			return p.data[start:p.at], p.ended(start)
		}
		if !entered && !p.leave(&open) {
			return nil, len(open) == 0 && p.at == len(p.data)
		}
		// Another value follows: in an object, after its name.
		wanted = false
		if open[len(open)-1] == '{' {
			if wanted, ok = p.key(field, len(open)); !ok {
				return nil, false
			}
		}
	}
}

// closing returns the bracket that closes c, which comes two later in ASCII for both kinds.
func closing(c byte) byte { return c + 2 }

// leave moves past closing brackets and the comma after them, and reports whether there was a
// comma.
func (p *peeker) leave(open *[]byte) bool {
	for {
		p.space()
		n := len(*open)
		switch c := p.peek(); {
		case n == 0:
			return false
		case c == closing((*open)[n-1]):
			p.at++
			*open = (*open)[:n-1]
		case c == ',':
			p.at++
			return true
		default:
			return false
		}
	}
}

// key moves past a field's name and colon, and reports whether it is the wanted field.
func (p *peeker) key(field string, depth int) (wanted, ok bool) {
	p.space()
	start := p.at
	if !p.str() {
		return false, false
	}
	name := p.data[start:p.at]
	p.space()
	if p.peek() != ':' {
		return false, false
	}
	p.at++
	return depth == 1 && field != "" && unquoteIs(name, field), true
}

// unquoteIs reports whether the content of a valid JSON string is s. It does not allocate
// unless there is an escape.
func unquoteIs(raw []byte, s string) bool {
	if string(raw[1:len(raw)-1]) == s {
		return true
	}
	escaped := len(raw)-2 > len(s) && bytes.IndexByte(raw, '\\') >= 0 // an escape is longer than its character
	return escaped && string(unquote(raw)) == s
}

// peek returns the next byte, or 0 at the end.
func (p *peeker) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *peeker) space() {
	for p.at < len(p.data) && p.data[p.at] <= ' ' {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

func (p *peeker) str() bool {
	if p.peek() != '"' {
		return false
	}
	for i := p.at + 1; ; {
		i = plain(p.data, i)
		if i >= len(p.data) {
			return false
		}
		switch p.data[i] {
		case '"':
			p.at = i + 1
			return true
		case '\\':
			n := escape(p.data[i:])
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

func (p *peeker) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := p.data[p.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			p.at += len(word)
			return true
		}
	}
	return false
}

func (p *peeker) number() bool {
	if p.peek() == '-' {
		p.at++
	}
	if p.peek() == '0' {
		p.at++
	} else if !p.digits() {
		return false
	}
	if p.peek() == '.' {
		p.at++
		if !p.digits() {
			return false
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		return p.digits()
	}
	return true
}

// ended reports whether the token that began at start ends here: 12 may be the beginning of
// 123, or of invalid JSON.
func (p *peeker) ended(start int) bool {
	switch p.data[start] {
	case '"', '{', '[':
		return true
	}
	switch p.peek() {
	case ' ', '\t', '\r', '\n', ',', '}':
		return true
	}
	return false
}

// digits moves past one digit or more.
func (p *peeker) digits() bool {
	start := p.at
	for p.at < len(p.data) && p.data[p.at] >= '0' && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}
