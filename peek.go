package wechatws

import (
	"bytes"
	"encoding/json"
)

// maxDepth is how deep JSON may be nested, the same as in encoding/json.
const maxDepth = 10000

// peekType checks that data is one valid JSON value and, when it is an object,
// finds the string in its field of the given name, all in one pass and without
// recursion: what a server sends must not be able to exhaust the stack. Of
// several fields of that name the last one counts, as in encoding/json. It does
// not check UTF-8.
//
// What it returns is part of data, unless it has to be unescaped.
func peekType(data []byte, field string) (typ []byte, err error) {
	p := peeker{data: data}
	raw, ok := p.scan(field)
	switch {
	case !ok:
		return nil, ErrNotJSON
	case len(raw) < 2 || raw[0] != '"':
		return nil, ErrNoType
	}
	return unquote(raw), nil
}

// unquote reads a valid JSON string.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return []byte(s)
}

// A peeker walks over JSON text. Its methods move past what they are named
// after and tell whether it was there.
type peeker struct {
	data []byte
	at   int
}

// scan walks over everything, and returns the first token of the value that the
// field has at the top level.
func (p *peeker) scan(field string) (found []byte, ok bool) {
	var room [32]byte
	open := room[:0] // the brackets that are open
	wanted := false  // the value that comes is the field's
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
		default:
			ok = p.literal() || p.number()
		}
		if !ok {
			return nil, false
		}
		if wanted {
			found = p.data[start:p.at]
		}
		if !entered && !p.leave(&open) {
			return found, len(open) == 0 && p.at == len(p.data)
		}
		// Another value comes: in an object, behind its name.
		wanted = false
		if open[len(open)-1] == '{' {
			if wanted, ok = p.key(field, len(open)); !ok {
				return nil, false
			}
		}
	}
}

// closing is the bracket that closes c, two places on in ASCII for both kinds.
func closing(c byte) byte { return c + 2 }

// leave moves past the brackets that close and the comma behind them, and tells
// whether there was one.
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

// key moves past a field's name and colon, and tells whether it is the one
// wanted.
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
	return depth == 1 && unquoteIs(name, field), true
}

// unquoteIs compares without allocating when there is no escape.
func unquoteIs(raw []byte, s string) bool {
	if string(raw[1:len(raw)-1]) == s {
		return true
	}
	return bytes.IndexByte(raw, '\\') >= 0 && string(unquote(raw)) == s
}

// peek is the byte that comes, or 0 at the end.
func (p *peeker) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *peeker) space() {
	for p.at < len(p.data) {
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
	for i := p.at + 1; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.at = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			i++
			if i == len(p.data) {
				return false
			}
			switch p.data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i == len(p.data) || !isHex(p.data[i]) {
						return false
					}
				}
			default:
				return false
			}
		}
	}
	return false
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

// digits moves past one digit or more.
func (p *peeker) digits() bool {
	start := p.at
	for p.at < len(p.data) && p.data[p.at] >= '0' && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}
